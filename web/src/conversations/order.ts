/**
 * Messages in conversation order: session, fence, the start of their turn, people first, ordinal.
 * The backend knows every turn's start; the page knows those it has seen. Where that is not
 * enough the page says so, and asks the backend again: its order always wins.
 */

import { text } from "../shared/json";
import type { StoredEvent } from "./stored";

/** Ordinals of `turn_started`, by `turnKey`. */
export type TurnStarts = ReadonlyMap<string, number>;

export function turnKey(event: StoredEvent): string {
  return `${event.fence} ${event.turnId ?? ""}`;
}

export interface Placed {
  readonly messages: readonly StoredEvent[];
  /** False: some turn's start was not known, so the place is a guess. */
  readonly certain: boolean;
}

/** Put a message where it belongs among others that are in order; one already there stays. */
export function place(
  held: readonly StoredEvent[],
  message: StoredEvent,
  starts: TurnStarts,
): Placed {
  if (held.some((each) => each.id === message.id)) {
    return { messages: held, certain: true };
  }
  let index = held.length;
  let certain = true;
  while (index > 0) {
    const difference = compare(held[index - 1] as StoredEvent, message, starts);
    certain &&= difference.certain;
    if (difference.sign <= 0) {
      break;
    }
    index -= 1;
  }
  return { messages: [...held.slice(0, index), message, ...held.slice(index)], certain };
}

/** Take a page in the backend's order into what is held; `joined` is false where they do not meet. */
export function merge(
  held: readonly StoredEvent[],
  page: readonly StoredEvent[],
  starts: TurnStarts,
): { readonly messages: readonly StoredEvent[]; readonly joined: boolean } {
  const ids = new Set(page.map((each) => each.id));
  const meet = held.findIndex((each) => ids.has(each.id));
  if (meet < 0) {
    return { messages: page, joined: held.length === 0 };
  }
  const older = held.slice(0, meet);
  const newcomers = held.slice(meet).filter((each) => !ids.has(each.id));
  const messages = newcomers.reduce<readonly StoredEvent[]>(
    (all, each) => place(all, each, starts).messages,
    [...older, ...page],
  );
  return { messages, joined: true };
}

/** Put a page of older messages before what is held. */
export function prepend(
  held: readonly StoredEvent[],
  page: readonly StoredEvent[],
): readonly StoredEvent[] {
  const ids = new Set(held.map((each) => each.id));
  return [...page.filter((each) => !ids.has(each.id)), ...held];
}

interface Difference {
  readonly sign: number;
  readonly certain: boolean;
}

function compare(a: StoredEvent, b: StoredEvent, starts: TurnStarts): Difference {
  const across = a.session - b.session || a.fence - b.fence;
  if (across !== 0) {
    return { sign: across, certain: true };
  }
  if (a.turnId !== null && a.turnId === b.turnId) {
    return { sign: rank(a) - rank(b) || a.ordinal - b.ordinal, certain: true };
  }
  const [startOfA, startOfB] = [startOf(a, starts), startOf(b, starts)];
  const sign =
    (startOfA ?? a.ordinal) - (startOfB ?? b.ordinal) || rank(a) - rank(b) || a.ordinal - b.ordinal;
  return { sign, certain: startOfA !== null && startOfB !== null };
}

/** A message outside any turn stands where it was written. */
function startOf(message: StoredEvent, starts: TurnStarts): number | null {
  return message.turnId === null ? message.ordinal : (starts.get(turnKey(message)) ?? null);
}

function rank(message: StoredEvent): number {
  return text(message.all, "role") === "user" ? 0 : 1;
}
