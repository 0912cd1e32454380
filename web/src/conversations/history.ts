/**
 * Reads the log backwards. The backend lists events ascending from a position, so older ones come
 * in windows of positions that grow fourfold while a filter finds little in them: the newest
 * errors of a conversation of 100,000 events are found in a handful of requests.
 */

import type { StoredEvent } from "./stored";

const PAGE_LIMIT = 1_000; // the backend's own

export interface EventPage {
  readonly events: readonly StoredEvent[];
  readonly next: number | null;
}

/** Asks for events after a position, ascending. */
export type ReadPage = (after: number, limit: number) => Promise<EventPage>;

export interface Older {
  readonly events: readonly StoredEvent[];
  /** Everything that matches above this position is held; 0: the beginning is reached. */
  readonly low: number;
}

/** Read the newest `wanted` matching events at or below position `high`. */
export async function readBack(readPage: ReadPage, high: number, wanted: number): Promise<Older> {
  let found: readonly StoredEvent[] = [];
  let low = high;
  for (let span = wanted; low > 0 && found.length < wanted; span *= 4) {
    const from = Math.max(0, low - span);
    found = [...(await readBetween(readPage, from, low)), ...found];
    low = from;
  }
  if (found.length <= wanted) {
    return { events: found, low };
  }
  const newest = found.slice(-wanted);
  return { events: newest, low: (newest[0]?.position ?? 1) - 1 };
}

async function readBetween(
  readPage: ReadPage,
  from: number,
  to: number,
): Promise<readonly StoredEvent[]> {
  const found: StoredEvent[] = [];
  for (let after: number | null = from; after !== null && after < to; ) {
    const page = await readPage(after, Math.min(PAGE_LIMIT, to - after));
    found.push(...page.events.filter((event) => (event.position ?? 0) <= to));
    after = page.next;
  }
  return found;
}
