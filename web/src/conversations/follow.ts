/**
 * Follows a conversation live, for as long as the page is open: comes back after the last position
 * it has seen whenever the stream ends, so that nothing is missing and nothing comes twice.
 */

import { fields, number } from "../shared/json";
import { ProblemError } from "../shared/problem";
import type { Problem } from "../shared/problem";
import { SseParser } from "./sse";
import type { ServerSent } from "./sse";
import { storedEvent } from "./stored";
import type { StoredEvent } from "./stored";

const SILENCE_MS = 45_000; // three of the backend's pings
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const FINAL: ReadonlySet<string> = new Set([
  "token_missing",
  "token_refused",
  "not_allowed",
  "conversation_unknown",
]);

export type Link = "connecting" | "live" | "waiting" | "ended";

export interface Surroundings {
  readonly open: (after: number, signal: AbortSignal) => Promise<ReadableStream<Uint8Array>>;
  /** Wait so long, or until it makes sense to try at once (the network is back). */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly random: () => number;
  readonly heard: (events: readonly StoredEvent[]) => void;
  readonly changed: (link: Link, problem: Problem | null) => void;
}

export class Follower {
  private failedCount = 0;

  constructor(
    /** The last position that was seen. */
    private cursor: number,
    private readonly around: Surroundings,
  ) {}

  /** Follow until `signal` aborts, or until the backend says that this page may not. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.once(signal);
        this.around.changed("waiting", null);
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        const problem = problemOf(error);
        if (FINAL.has(problem.kind)) {
          return this.around.changed("ended", problem);
        }
        this.around.changed("waiting", problem);
        await this.rest(problem, signal);
        continue;
      }
      await this.rest(null, signal);
    }
  }

  private async once(signal: AbortSignal): Promise<void> {
    const own = new AbortController();
    const both = AbortSignal.any([signal, own.signal]);
    const stream = await this.around.open(this.cursor, both);
    this.around.changed("live", null);
    const reader = stream.getReader();
    const decoder = new TextDecoder();
    const parser = new SseParser();
    let silence = setTimeout(() => own.abort(), SILENCE_MS);
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          return;
        }
        clearTimeout(silence);
        silence = setTimeout(() => own.abort(), SILENCE_MS);
        this.failedCount = 0;
        if (!this.take(parser.feed(decoder.decode(value, { stream: true })))) {
          return;
        }
      }
    } finally {
      clearTimeout(silence);
      own.abort();
    }
  }

  /** Hand on what came; false: the stream cannot go on from here. */
  private take(sent: readonly ServerSent[]): boolean {
    const events: StoredEvent[] = [];
    let goesOn = true;
    for (const each of sent) {
      const body = parsed(each.data);
      if (each.name === "reset") {
        this.cursor = number(fields(body), "after") ?? this.cursor;
        goesOn = false;
        break;
      }
      const event = storedEvent(body);
      if (event.kind !== "" && (event.position === null || event.position > this.cursor)) {
        events.push(event);
        this.cursor = event.position ?? this.cursor;
      }
    }
    if (events.length > 0) {
      this.around.heard(events);
    }
    return goesOn;
  }

  /** Full jitter up to a cap; the backend's Retry-After is the lower bound. */
  private async rest(problem: Problem | null, signal: AbortSignal): Promise<void> {
    const cap = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.failedCount);
    this.failedCount += 1;
    const least = (problem?.retryAfterS ?? 0) * 1_000;
    await this.around.wait(least + cap * this.around.random(), signal);
  }
}

function problemOf(error: unknown): Problem {
  return error instanceof ProblemError ? error.problem : { kind: "backend_away" };
}

function parsed(data: string): unknown {
  try {
    return JSON.parse(data) as unknown;
  } catch {
    return {}; // no event of ours; its neighbours are shown all the same
  }
}
