/** Conversations and events as the backend shows them, read field by field: nothing is trusted. */

import { fields, list, number, text } from "../shared/json";
import type { Fields } from "../shared/json";

export const KINDS = [
  "message",
  "turn_started",
  "turn_ended",
  "tool_call",
  "tool_result",
  "transcription",
  "speech",
  "interruption",
  "thinking",
  "user_action",
  "agent_state",
  "participant_joined",
  "participant_left",
  "handoff",
  "reconnect",
  "state_changed",
  "summary",
  "context_cleared",
  "call_ended",
  "error",
  "lost",
] as const;

export interface StoredEvent {
  readonly id: string;
  readonly kind: string;
  /** RFC 3339, as it was sent. */
  readonly at: string;
  /** Null: shown live and not kept. */
  readonly position: number | null;
  readonly session: number;
  readonly fence: number;
  readonly ordinal: number;
  readonly turnId: string | null;
  /** Everything, for what only this kind has. */
  readonly all: Fields;
}

export function storedEvent(value: unknown): StoredEvent {
  const all = fields(value);
  return {
    id: text(all, "event_id"),
    kind: text(all, "kind"),
    at: text(all, "at"),
    position: number(all, "position"),
    session: number(all, "session_number") ?? 0,
    fence: number(all, "fence") ?? 0,
    ordinal: number(all, "ordinal") ?? 0,
    turnId: text(all, "turn_id") || null,
    all,
  };
}

export interface Gap {
  readonly writerId: string;
  readonly count: number;
}

export interface Conversation {
  readonly id: string;
  readonly key: string;
  readonly session: number;
  readonly lastPosition: number;
  readonly turnCount: string;
  readonly createdAt: string;
  readonly updatedAt: string;
  /** Until when the running writer's lease lasts; null: nobody writes. */
  readonly leaseUntil: string | null;
  readonly missing: readonly Gap[];
}

export function storedConversation(value: unknown): Conversation {
  const all = fields(value);
  return {
    id: text(all, "id"),
    key: text(all, "key"),
    session: number(all, "session_number") ?? 0,
    lastPosition: number(all, "last_position") ?? 0,
    turnCount: text(all, "version"),
    createdAt: text(all, "created_at"),
    updatedAt: text(all, "updated_at"),
    leaseUntil: text(fields(all["owner"]), "lease_until") || null,
    missing: list(all, "missing").map((each) => gap(fields(each))),
  };
}

function gap(all: Fields): Gap {
  const first = number(all, "from") ?? 0;
  const last = number(all, "to") ?? first;
  return { writerId: text(all, "writer_id"), count: last - first + 1 };
}
