/** Which events are shown: the same choice as a query to the backend and as a test of a live event. */

import type { StoredEvent } from "./stored";

export interface Filter {
  readonly kinds: readonly string[];
  readonly session: number | null;
  /** Milliseconds since 1970; from is in, to is in. */
  readonly fromMs: number | null;
  readonly toMs: number | null;
}

export const EVERYTHING: Filter = { kinds: [], session: null, fromMs: null, toMs: null };

export function passes(event: StoredEvent, filter: Filter): boolean {
  const atMs = Date.parse(event.at);
  return (
    (filter.kinds.length === 0 || filter.kinds.includes(event.kind)) &&
    (filter.session === null || filter.session === event.session) &&
    (filter.fromMs === null || atMs >= filter.fromMs) &&
    (filter.toMs === null || atMs <= filter.toMs)
  );
}

export function filterQuery(filter: Filter): URLSearchParams {
  const query = new URLSearchParams(filter.kinds.map((kind) => ["kind", kind]));
  if (filter.session !== null) {
    query.set("session", String(filter.session));
  }
  if (filter.fromMs !== null) {
    query.set("from", new Date(filter.fromMs).toISOString());
  }
  if (filter.toMs !== null) {
    query.set("to", new Date(filter.toMs).toISOString());
  }
  return query;
}

/** Read what a datetime-local field holds: the person's own time; null while it is empty. */
export function instantOf(local: string): number | null {
  const ms = new Date(local).getTime();
  return local === "" || Number.isNaN(ms) ? null : ms;
}
