/** What this page asks of the backend. */

import type { Http } from "../shared/http";
import { fields, list, number, text } from "../shared/json";
import { ProblemError } from "../shared/problem";
import { filterQuery } from "./filter";
import type { Filter } from "./filter";
import type { EventPage } from "./history";
import { storedConversation, storedEvent } from "./stored";
import type { Conversation, StoredEvent } from "./stored";
import { storedUsage } from "./usage";
import type { Usage } from "./usage";

export interface Conversations {
  readonly items: readonly Conversation[];
  readonly next: string | null;
}

export interface Messages {
  readonly items: readonly StoredEvent[];
  /** The `before` of older ones; null at the beginning. */
  readonly next: string | null;
}

export class LogApi {
  constructor(private readonly http: Http) {}

  /** A page of conversations, newest first. */
  async conversations(
    limit: number,
    after: string | null,
    signal: AbortSignal,
  ): Promise<Conversations> {
    const query = new URLSearchParams({ limit: String(limit), ...(after ? { after } : {}) });
    const answer = await this.http.get(`v1/conversations?${query}`, signal);
    return {
      items: list(answer, "items").map(storedConversation),
      next: text(answer, "next") || null,
    };
  }

  async conversation(id: string, signal: AbortSignal): Promise<Conversation> {
    return storedConversation(await this.http.get(path(id), signal));
  }

  /** The last messages before one (null: of all), oldest first, in conversation order. */
  async messages(
    id: string,
    last: number,
    before: string | null,
    signal: AbortSignal,
  ): Promise<Messages> {
    const query = new URLSearchParams({ last: String(last), ...(before ? { before } : {}) });
    const answer = await this.http.get(`${path(id)}/messages?${query}`, signal);
    return { items: list(answer, "items").map(storedEvent), next: text(answer, "next") || null };
  }

  /** Events after a position, ascending. */
  async events(
    id: string,
    filter: Filter,
    range: { readonly after: number; readonly limit: number },
    signal: AbortSignal,
  ): Promise<EventPage> {
    const query = filterQuery(filter);
    query.set("limit", String(range.limit));
    query.set("after", String(range.after));
    try {
      return eventPage(await this.http.get(`${path(id)}/events?${query}`, signal));
    } catch (error) {
      if (range.after === 0 || !answeredWith(error, 410)) {
        throw error;
      }
      query.set("after", "0"); // what lay here is pruned: go on with the oldest there is
      return eventPage(await this.http.get(`${path(id)}/events?${query}`, signal));
    }
  }

  /** The messages that fit best; null where this backend cannot search yet. */
  async search(
    id: string,
    words: string,
    limit: number,
    signal: AbortSignal,
  ): Promise<readonly StoredEvent[] | null> {
    const query = new URLSearchParams({ q: words, limit: String(limit) });
    try {
      const answer = await this.http.get(`${path(id)}/search?${query}`, signal);
      return list(answer, "items").map((item) => storedEvent(fields(item)["event"]));
    } catch (error) {
      if (answeredWith(error, 501)) {
        return null;
      }
      throw error;
    }
  }

  /** What models used up, and a page of calls; null where this backend does not say. */
  async usage(id: string, after: string | null, signal: AbortSignal): Promise<Usage | null> {
    const query = after === null ? "" : `?${new URLSearchParams({ after })}`;
    try {
      return storedUsage(await this.http.get(`${path(id)}/usage${query}`, signal));
    } catch (error) {
      if (answeredWith(error, 404) || answeredWith(error, 501)) {
        return null;
      }
      throw error;
    }
  }

  /** The live stream after a position. */
  async stream(
    id: string,
    after: number,
    signal: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>> {
    return this.http.open(`${path(id)}/events/stream?after=${after}`, signal);
  }
}

function path(id: string): string {
  return `v1/conversations/${encodeURIComponent(id)}`;
}

function eventPage(answer: Readonly<Record<string, unknown>>): EventPage {
  return { events: list(answer, "items").map(storedEvent), next: number(answer, "next") };
}

function answeredWith(error: unknown, status: number): boolean {
  return error instanceof ProblemError && error.problem.status === status;
}
