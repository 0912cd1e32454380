/**
 * What was said, in the order in which it began. Pure: every function returns a new transcript
 * and leaves the lines it did not touch as the same objects, so that a view redraws only what
 * changed.
 */

import type { StoredMessage } from "../shared/api";

export type Side = "me" | "agent" | "other";

export interface Line {
  readonly id: string;
  readonly side: Side;
  /** Who spoke, where that is neither this page's person nor the agent. */
  readonly name: string | null;
  readonly text: string;
  /** False while the words may still change. */
  readonly final: boolean;
  readonly interrupted: boolean;
  readonly modality: "voice" | "text";
  /** `waiting`: typed before an agent could read it. */
  readonly delivery: "done" | "waiting" | "failed";
  /** Which stream wrote the text; an older stream never overwrites a newer one. */
  readonly revision: number;
}

/** A line across the transcript: where one call ended and the next began. */
export interface Divider {
  readonly id: string;
  readonly side: "divider";
  readonly text: string;
}

export type Entry = Line | Divider;

export interface Transcript {
  /** From earlier calls, as the backend stored it. */
  readonly history: readonly Line[];
  /** Since the page was opened. */
  readonly live: readonly Entry[];
}

export const EMPTY: Transcript = { history: [], live: [] };

/** One state of one segment, as a text stream on `lk.transcription` brought it. */
export interface Heard {
  readonly segmentId: string;
  readonly side: Side;
  readonly name: string | null;
  /** The whole text of the segment so far, not only what is new. */
  readonly text: string;
  readonly final: boolean;
  readonly revision: number;
}

/** Put a segment's newest words in its place; its place is where it first appeared. */
export function hear(transcript: Transcript, heard: Heard): Transcript {
  const held = transcript.live.find((entry) => entry.id === heard.segmentId);
  if (held === undefined) {
    return heard.text.trim() === "" ? transcript : appended(transcript, lineOf(heard));
  }
  if (held.side === "divider" || heard.revision < held.revision) {
    return transcript;
  }
  if (held.final && !heard.final) {
    return transcript;
  }
  return heard.final && heard.text.trim() === ""
    ? without(transcript, held.id)
    : replaced(transcript, { ...held, ...words(heard) });
}

/** Show a typed line at once. */
export function type(
  transcript: Transcript,
  id: string,
  text: string,
  delivery: Line["delivery"],
): Transcript {
  return appended(transcript, {
    id,
    side: "me",
    name: null,
    text,
    final: true,
    interrupted: false,
    modality: "text",
    delivery,
    revision: 0,
  });
}

/** Note what became of a typed line. */
export function deliver(
  transcript: Transcript,
  id: string,
  delivery: Line["delivery"],
): Transcript {
  const held = transcript.live.find((entry) => entry.id === id);
  return held === undefined || held.side === "divider"
    ? transcript
    : replaced(transcript, { ...held, delivery });
}

/** Draw a line across, unless nothing was said since the last one. */
export function divide(transcript: Transcript, id: string, text: string): Transcript {
  const last = transcript.live.at(-1);
  return last === undefined || last.side === "divider"
    ? transcript
    : appended(transcript, { id, side: "divider", text });
}

/** Close what is still open: the call is over, no more words will come. */
export function close(transcript: Transcript): Transcript {
  const live = transcript.live.map((entry) =>
    entry.side === "divider" || (entry.final && entry.delivery !== "waiting")
      ? entry
      : { ...entry, final: true, delivery: entry.delivery === "waiting" ? "failed" : entry.delivery },
  );
  return { ...transcript, live: live as readonly Entry[] };
}

/**
 * Take the stored messages as history. Only while nothing was said since: afterwards the page
 * has seen more than the backend may have stored, and the two would show the same words twice.
 */
export function recall(
  transcript: Transcript,
  messages: readonly StoredMessage[],
  myIdentity: string | null,
): Transcript {
  if (transcript.live.length > 0) {
    return transcript;
  }
  const spoken = messages.filter((message) => message.role !== "system" && message.text !== "");
  return { ...transcript, history: spoken.map((message) => lineOfMessage(message, myIdentity)) };
}

function lineOf(heard: Heard): Line {
  return {
    id: heard.segmentId,
    side: heard.side,
    name: heard.name,
    interrupted: false,
    modality: "voice",
    delivery: "done",
    ...words(heard),
  };
}

function words(heard: Heard): Pick<Line, "text" | "final" | "revision"> {
  return { text: heard.text.trim(), final: heard.final, revision: heard.revision };
}

function lineOfMessage(message: StoredMessage, myIdentity: string | null): Line {
  const mine = message.speakerIdentity === null || message.speakerIdentity === myIdentity;
  const side = message.role === "assistant" ? "agent" : mine ? "me" : "other";
  return {
    id: message.eventId,
    side,
    name: side === "other" ? (message.speakerName ?? message.speakerIdentity) : null,
    text: message.text,
    final: true,
    interrupted: message.interrupted,
    modality: message.modality,
    delivery: "done",
    revision: 0,
  };
}

function appended(transcript: Transcript, entry: Entry): Transcript {
  return { ...transcript, live: [...transcript.live, entry] };
}

function replaced(transcript: Transcript, line: Line): Transcript {
  const live = transcript.live.map((entry) => (entry.id === line.id ? line : entry));
  return { ...transcript, live };
}

function without(transcript: Transcript, id: string): Transcript {
  return { ...transcript, live: transcript.live.filter((entry) => entry.id !== id) };
}
