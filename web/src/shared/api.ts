/** What the call page asks of the backend. Every failure comes out as a ProblemError. */

import type { Http } from "./http";
import { fields, list, number, text } from "./json";
import type { Fields } from "./json";
import { ProblemError } from "./problem";

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

export class Api {
  constructor(private readonly http: Http) {}

  /** Ask for a call: the conversation's running room if it has one, else a new room. */
  async openCall(request: CallRequest, signal: AbortSignal): Promise<Call> {
    const body = {
      ...(request.conversationId ? { conversation_id: request.conversationId } : {}),
      ...(request.identity ? { identity: request.identity } : {}),
      ...(request.name ? { name: request.name } : {}),
    };
    const answer = await this.http.post("v1/calls", signal, body);
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
    const answer = await this.http.get(`v1/calls/${encodeURIComponent(room)}`, signal);
    const agent = text(answer, "agent");
    return {
      agent: agent === "joined" || agent === "absent" ? agent : "dispatching",
      attempts: number(answer, "attempts") ?? 0,
      detail: text(answer, "detail"),
    };
  }

  /** Ask the backend to make sure again that an agent is there. May be repeated. */
  async requestAgent(room: string, signal: AbortSignal): Promise<void> {
    await this.http.post(`v1/calls/${encodeURIComponent(room)}/agent`, signal);
  }

  /** The newest messages of a conversation, oldest first. */
  async messages(
    conversationId: string,
    last: number,
    signal: AbortSignal,
  ): Promise<readonly StoredMessage[]> {
    const path = `v1/conversations/${encodeURIComponent(conversationId)}/messages?last=${last}`;
    const answer = await this.http.get(path, signal);
    return list(answer, "items").map((item) => storedMessage(fields(item)));
  }
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
