/**
 * The events the page holds, ascending by position, each once. Pure: every function returns a new
 * log and keeps the events as the same objects.
 */

import type { StoredEvent } from "./stored";

/** What a tab that follows for days keeps; what goes can be loaded again from above. */
export const MOST_HELD = 5_000;

export interface EventLog {
  readonly events: readonly StoredEvent[];
  /** Everything that matches above this position is held. */
  readonly low: number;
}

/** Append what came live. Repeats and stragglers below the newest position change nothing. */
export function append(log: EventLog, fresh: readonly StoredEvent[]): EventLog {
  let newest = log.events.at(-1)?.position ?? log.low;
  const added = fresh.filter((event) => {
    const isNew = event.position !== null && event.position > newest;
    newest = isNew ? (event.position ?? newest) : newest;
    return isNew;
  });
  return added.length === 0 ? log : trimmed({ ...log, events: [...log.events, ...added] });
}

/** Put older events before; `low` is how far back they reach. */
export function extend(log: EventLog, older: readonly StoredEvent[], low: number): EventLog {
  const oldest = log.events[0]?.position ?? Number.POSITIVE_INFINITY;
  const added = older.filter((event) => (event.position ?? oldest) < oldest);
  return { events: [...added, ...log.events], low };
}

function trimmed(log: EventLog): EventLog {
  const events = log.events.slice(-MOST_HELD);
  return events.length === log.events.length
    ? log
    : { events, low: (events[0]?.position ?? 1) - 1 };
}
