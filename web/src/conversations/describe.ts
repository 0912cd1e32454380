/** What the page says about an event, in a few words. Pure, so that every sentence has its test. */

import { fields, number, text } from "../shared/json";
import type { Fields } from "../shared/json";
import type { StoredEvent } from "./stored";

export type Tone = "plain" | "words" | "tool" | "boundary" | "trouble";

export interface Description {
  readonly label: string;
  readonly summary: string;
  readonly tone: Tone;
}

const TONES: Readonly<Record<string, Tone>> = {
  message: "words",
  summary: "words",
  tool_call: "tool",
  tool_result: "tool",
  context_cleared: "boundary",
  call_ended: "boundary",
  participant_joined: "boundary",
  participant_left: "boundary",
  error: "trouble",
  lost: "trouble",
};

export function describeEvent(event: StoredEvent): Description {
  const { all, kind } = event;
  const failed = kind === "tool_result" && all["is_error"] === true;
  return {
    label: kind === "" ? "unknown" : kind.replaceAll("_", " "),
    summary: (SUMMARIES[kind] ?? nothing)(all, event).trim(),
    tone: failed || (kind === "reconnect" && all["outcome"] === "failed") ? "trouble" : (TONES[kind] ?? "plain"),
  };
}

type Summary = (all: Fields, event: StoredEvent) => string;

const nothing: Summary = () => "";

const SUMMARIES: Readonly<Record<string, Summary>> = {
  message: (all) => `${speakerOf(all)}: ${text(all, "text")}`,
  transcription: (all) => parts(speakerOf(all), counted(number(all, "word_count"), "word")),
  speech: (all) =>
    parts(text(all, "source").replaceAll("_", " "), all["interrupted"] === true && "interrupted"),
  tool_call: (all) => `${text(all, "name")}(${text(all, "arguments")})`,
  tool_result: (all) =>
    `${text(all, "name")} ${all["is_error"] === true ? "failed" : "→"} ${text(all, "output")}`,
  thinking: (all) => text(all, "text"),
  user_action: (all) => parts(text(all, "action"), text(all, "identity"), compact(all["detail"])),
  turn_started: (all) => `by ${all["initiator"] === "agent" ? "the agent" : speakerOf(all)}`,
  turn_ended: (all) => parts(text(all, "outcome"), ...delays(fields(all["delays"]))),
  agent_state: (all) => text(all, "state"),
  participant_joined: (all) => participant(all),
  participant_left: (all) => parts(participant(all), text(all, "reason").replaceAll("_", " ")),
  handoff: (all) => `${text(all, "from_agent") || "—"} → ${text(all, "to_agent")}`,
  reconnect: (all) =>
    parts(text(all, "provider"), text(all, "outcome"), ...renewal(fields(all["detail"]))),
  state_changed: (all) => compact(all["state"]),
  summary: (all) => text(all, "text"),
  context_cleared: (all, event) =>
    parts(`session ${event.session} begins`, text(all, "reason")),
  call_ended: (all) => text(all, "reason").replaceAll("_", " "),
  error: (all) =>
    parts(
      text(all, "source"),
      text(all, "error_type"),
      text(all, "detail"),
      all["recoverable"] === true ? "recoverable" : "not recoverable",
    ),
  lost: (all) => `a record was ${text(all, "reason") || "lost"}`,
};

/** Who said it: a name, an identity, or the part they play. */
export function speakerOf(all: Fields): string {
  const speaker = fields(all["speaker"]);
  const named = text(speaker, "name") || text(speaker, "identity");
  return named || (ROLES[text(all, "role")] ?? "User");
}

const ROLES: Readonly<Record<string, string>> = { assistant: "Agent", system: "System" };

const DELAYS: readonly (readonly [string, string])[] = [
  ["e2e_s", "answer after"],
  ["transcription_s", "transcript"],
  ["end_of_turn_s", "end of turn"],
  ["llm_ttft_s", "first token"],
  ["tts_ttfb_s", "first audio"],
];

/** A turn's delays, the one that people feel first. */
export function delays(from: Fields): readonly string[] {
  return DELAYS.flatMap(([name, words]) => {
    const seconds = number(from, name);
    return seconds === null ? [] : [`${words} ${seconds.toFixed(2)} s`];
  });
}

/** Why a model's session was renewed, what had to be told, how long it took and what it spared. */
function renewal(detail: Fields): readonly string[] {
  const sent = number(detail, "sent_count") ?? 0;
  const spared = number(detail, "tokens_spared") ?? 0;
  const tookMs = number(detail, "took_ms");
  return [
    text(detail, "cause"),
    sent > 0 ? `${counted(sent, "item")} sent` : "",
    tookMs === null || tookMs === 0 ? "" : `after ${(tookMs / 1000).toFixed(2)} s`,
    spared > 0 ? `${counted(spared, "token")} not replayed` : "",
  ];
}

function participant(all: Fields): string {
  const who = fields(all["participant"]);
  return parts(text(who, "name") || text(who, "identity"), text(who, "kind"));
}

function counted(count: number | null, word: string): string {
  return count === null ? "" : `${count} ${word}${count === 1 ? "" : "s"}`;
}

function compact(value: unknown): string {
  if (value === undefined || value === null) {
    return "";
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

function parts(...all: readonly (string | false)[]): string {
  return all.filter((each) => each !== "" && each !== false).join(" · ");
}

const ACTIVITIES: Readonly<Record<string, string>> = {
  initializing: "The agent is getting ready",
  listening: "The agent is listening",
  thinking: "The agent is thinking",
  speaking: "The agent is speaking",
};

/** What a live `agent_state` says; null for a state this page does not know. */
export function activityOf(event: StoredEvent): string | null {
  return event.kind === "agent_state" ? (ACTIVITIES[text(event.all, "state")] ?? null) : null;
}
