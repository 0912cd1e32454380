/**
 * The backend's HTTP API as a page sees it. Every failure comes out as a ProblemError; every
 * call has a deadline, because a backend that hangs must not leave a person looking at a spinner.
 */

import { ProblemError, problemOfStatus } from "./problem";

const DEADLINE_MS = 10_000;

export interface Call {
  readonly url: string;
  readonly token: string;
  readonly room: string;
  readonly conversationId: string;
  readonly identity: string;
}

export type Dispatch = "dispatching" | "joined" | "absent";

export interface CallStatus {
  readonly agent: Dispatch;
  readonly attempts: number;
  readonly detail: string;
}

export interface StoredMessage {
  readonly eventId: string;
  readonly role: string;
  readonly text: string;
  readonly speakerIdentity: string | null;
  readonly speakerName: string | null;
  readonly interrupted: boolean;
  readonly modality: "voice" | "text";
}

export interface CallRequest {
  readonly conversationId: string | null;
  readonly identity: string | null;
  readonly name: string | null;
}

export type Fields = Readonly<Record<string, unknown>>;

export class Api {
  constructor(
    private readonly base: URL,
    private readonly token: () => string | null,
  ) {}

  /** Ask for a call: the conversation's running room if it has one, else a new room. */
  async openCall(request: CallRequest, signal: AbortSignal): Promise<Call> {
    const body = {
      ...(request.conversationId ? { conversation_id: request.conversationId } : {}),
      ...(request.identity ? { identity: request.identity } : {}),
      ...(request.name ? { name: request.name } : {}),
    };
    const answer = await this.send("POST", "v1/calls", signal, body);
    const call = {
      url: text(answer, "url"),
      token: text(answer, "token"),
      room: text(answer, "room"),
      conversationId: text(answer, "conversation_id"),
      identity: text(answer, "identity"),
    };
    if (!call.url || !call.token || !call.room) {
      throw new ProblemError({ kind: "backend_broken", detail: "the answer is incomplete" });
    }
    return call;
  }

  /** Say what the backend knows about the agent of a room. */
  async callStatus(room: string, signal: AbortSignal): Promise<CallStatus> {
    const answer = await this.send("GET", `v1/calls/${encodeURIComponent(room)}`, signal);
    const agent = text(answer, "agent");
    return {
      agent: agent === "joined" || agent === "absent" ? agent : "dispatching",
      attempts: typeof answer["attempts"] === "number" ? answer["attempts"] : 0,
      detail: text(answer, "detail"),
    };
  }

  /** Ask the backend to make sure again that an agent is there. May be repeated. */
  async requestAgent(room: string, signal: AbortSignal): Promise<void> {
    await this.send("POST", `v1/calls/${encodeURIComponent(room)}/agent`, signal);
  }

  /** The newest messages of a conversation, oldest first. */
  async messages(
    conversationId: string,
    last: number,
    signal: AbortSignal,
  ): Promise<readonly StoredMessage[]> {
    const path = `v1/conversations/${encodeURIComponent(conversationId)}/messages?last=${last}`;
    const answer = await this.send("GET", path, signal);
    const items: readonly unknown[] = Array.isArray(answer["items"]) ? answer["items"] : [];
    return items.map((item) => storedMessage(fields(item)));
  }

  /** Read any endpoint's JSON object. */
  async read(path: string, signal: AbortSignal): Promise<Fields> {
    return this.send("GET", path, signal);
  }

  /** Open a stream: only its beginning has a deadline. */
  async stream(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const opening = new AbortController();
    const timer = setTimeout(
      () => opening.abort(new DOMException("slow", "TimeoutError")),
      DEADLINE_MS,
    );
    try {
      const response = await this.request("GET", path, signal, opening.signal);
      if (response.body === null) {
        throw new ProblemError({ kind: "backend_broken", detail: "the answer is empty" });
      }
      return response.body;
    } finally {
      clearTimeout(timer);
    }
  }

  private async send(
    method: "GET" | "POST",
    path: string,
    signal: AbortSignal,
    body?: Fields,
  ): Promise<Fields> {
    const deadline = AbortSignal.timeout(DEADLINE_MS);
    return readJson(await this.request(method, path, signal, deadline, body));
  }

  /** Send one request; what is no success comes out as a ProblemError. */
  private async request(
    method: "GET" | "POST",
    path: string,
    signal: AbortSignal,
    deadline: AbortSignal,
    body?: Fields,
  ): Promise<Response> {
    const token = this.token();
    if (token === null) {
      throw new ProblemError({ kind: "token_missing" });
    }
    let response: Response;
    try {
      response = await fetch(new URL(path, this.base), {
        method,
        headers: {
          Authorization: `Bearer ${token}`,
          ...(body ? { "Content-Type": "application/json" } : {}),
        },
        signal: AbortSignal.any([signal, deadline]),
        cache: "no-store",
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
    } catch (error) {
      signal.throwIfAborted(); // given up on purpose: not a problem to tell
      throw new ProblemError({ kind: "backend_away", detail: silence(error) });
    }
    if (!response.ok) {
      const answer = await readJson(response);
      const retryAfter = response.headers.get("Retry-After");
      const detail = text(answer, "detail") || text(answer, "title");
      throw new ProblemError(problemOfStatus(response.status, detail, retryAfter));
    }
    return response;
  }
}

function silence(error: unknown): string {
  const timedOut = error instanceof DOMException && error.name === "TimeoutError";
  return timedOut ? `no answer within ${DEADLINE_MS / 1000} seconds` : "no connection";
}

async function readJson(response: Response): Promise<Fields> {
  try {
    return fields(await response.json());
  } catch {
    return {}; // not JSON (a proxy's own page): the status says enough
  }
}

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function text(from: Fields, name: string): string {
  const value = from[name];
  return typeof value === "string" ? value : "";
}

function storedMessage(event: Fields): StoredMessage {
  const speaker = fields(event["speaker"]);
  return {
    eventId: text(event, "event_id"),
    role: text(event, "role"),
    text: text(event, "text"),
    speakerIdentity: text(speaker, "identity") || null,
    speakerName: text(speaker, "name") || null,
    interrupted: event["interrupted"] === true,
    modality: event["modality"] === "text" ? "text" : "voice",
  };
}
