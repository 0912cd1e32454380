/** The endpoints this page reads. */

import type { Api } from "../shared/api";
import { asFields, readEvent, words } from "./events";
import type { LogEvent } from "./events";

export interface Conversation {
  readonly id: string;
  readonly key: string;
  readonly session: number;
  readonly version: string;
  readonly lastPosition: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly isLive: boolean;
  readonly missing: number;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

export class ConversationsApi {
  constructor(private readonly api: Api) {}

  async list(after: string | null, signal: AbortSignal): Promise<Page<Conversation>> {
    const cursor = after === null ? "" : `&after=${encodeURIComponent(after)}`;
    const answer = await this.api.read(`v1/conversations?limit=50${cursor}`, signal);
    return { items: list(answer["items"]).map(conversation), next: words(answer["next"]) || null };
  }

  async one(id: string, signal: AbortSignal): Promise<Conversation> {
    return conversation(await this.api.read(path(id), signal));
  }

  async events(id: string, after: number, limit: number, signal: AbortSignal): Promise<readonly LogEvent[]> {
    const answer = await this.api.read(path(id, `events?after=${after}&limit=${limit}`), signal);
    return events(answer["items"]);
  }

  async search(id: string, query: string, signal: AbortSignal): Promise<readonly LogEvent[]> {
    const answer = await this.api.read(path(id, `search?q=${encodeURIComponent(query)}&limit=20`), signal);
    return events(list(answer["items"]).map((hit) => asFields(hit)["event"]));
  }

  stream(id: string, after: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    return this.api.stream(path(id, `events/stream?after=${after}`), signal);
  }
}

function path(id: string, rest = ""): string {
  return `v1/conversations/${encodeURIComponent(id)}${rest ? `/${rest}` : ""}`;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function events(value: unknown): readonly LogEvent[] {
  return list(value)
    .map(readEvent)
    .filter((event) => event !== null);
}

function conversation(value: unknown): Conversation {
  const from = asFields(value);
  const number = (name: string): number => (typeof from[name] === "number" ? from[name] : 0);
  return {
    id: words(from["id"]),
    key: words(from["key"]),
    session: number("session_number"),
    version: words(from["version"]) || "0",
    lastPosition: number("last_position"),
    createdAt: new Date(words(from["created_at"])),
    updatedAt: new Date(words(from["updated_at"])),
    isLive: from["owner"] !== null && from["owner"] !== undefined,
    missing: list(from["missing"]).length,
  };
}
