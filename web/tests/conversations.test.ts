import assert from "node:assert/strict";
import { test } from "node:test";
import { activityOf, describeEvent } from "../src/conversations/describe";
import { MOST_HELD, append, extend } from "../src/conversations/event-log";
import { EVERYTHING, filterQuery, passes } from "../src/conversations/filter";
import { Follower } from "../src/conversations/follow";
import { readBack } from "../src/conversations/history";
import { merge, place, prepend, turnKey } from "../src/conversations/order";
import { SseParser } from "../src/conversations/sse";
import type { ServerSent } from "../src/conversations/sse";
import { KINDS, storedConversation, storedEvent } from "../src/conversations/stored";
import type { StoredEvent } from "../src/conversations/stored";
import { amounts, inShort, storedUsage } from "../src/conversations/usage";
import { ProblemError } from "../src/shared/problem";

const AT = "2026-11-21T04:00:00.123Z";

function event(position: number, kind = "thinking", more: object = {}): StoredEvent {
  const made = { event_id: `e${position}`, ordinal: position, session_number: 0, fence: 1 };
  return storedEvent({ ...made, position, kind, at: AT, ...more });
}

function message(ordinal: number, role: string, turnId: string | null, more: object = {}): StoredEvent {
  const turn = turnId === null ? {} : { turn_id: turnId };
  return event(ordinal, "message", { role, text: `${role} ${ordinal}`, ...turn, ...more });
}

function ids(events: readonly StoredEvent[]): readonly string[] {
  return events.map(({ id }) => id);
}

function starts(...turns: readonly (readonly [string, number])[]): Map<string, number> {
  return new Map(turns.map(([id, ordinal]) => [turnKey(message(0, "user", id)), ordinal]));
}

const STREAM =
  'id: 1\ndata: {"a": "ü"}\n\n: ping\n\ndata: {"live": 1}\n\nid: 7\nevent: reset\ndata: {"after": 7}\n\n';
const CUT: readonly ServerSent[] = [
  { id: "1", name: "message", data: '{"a": "ü"}' },
  { id: null, name: "message", data: '{"live": 1}' },
  { id: "7", name: "reset", data: '{"after": 7}' },
];

test("a stream is cut into events wherever the network cut it and however lines end", () => {
  for (const text of [STREAM, STREAM.replaceAll("\n", "\r\n"), STREAM.replaceAll("\n", "\r")]) {
    for (let size = 1; size <= text.length; size += 1) {
      const parser = new SseParser();
      const seen: ServerSent[] = [];
      for (let at = 0; at < text.length; at += size) {
        seen.push(...parser.feed(text.slice(at, at + size)));
      }
      assert.deepEqual(seen, CUT, `pieces of ${size}`);
    }
  }
});

test("data on several lines is one event, and an event cut off at the end is none", () => {
  assert.deepEqual(new SseParser().feed("data: a\ndata: b\nretry: 5\nnonsense\n\ndata: c\n"), [
    { id: null, name: "message", data: "a\nb" },
  ]);
});

test("a transcript that comes after the reply to it stands before it", () => {
  const known = starts(["t1", 1], ["t2", 5]);
  const held = [message(2, "user", "t1"), message(6, "assistant", "t2")];
  const placed = place(held, message(8, "user", "t2"), known);
  assert.deepEqual(ids(placed.messages), ["e2", "e8", "e6"]);
  assert.equal(placed.certain, true);
});

test("sessions go before fences, fences before turns", () => {
  const known = starts(["t1", 9], ["t2", 1]);
  const held = [message(3, "user", "t1", { fence: 2 }), message(4, "user", "t2", { session_number: 1 })];
  assert.deepEqual(ids(place(held, message(9, "user", "t1"), known).messages), ["e9", "e3", "e4"]);
});

test("a place that hangs on a turn nobody has seen begin is only a guess", () => {
  const held = [message(2, "user", "t1")];
  assert.equal(place(held, message(3, "user", "t2"), starts(["t2", 3])).certain, false);
  assert.equal(place(held, message(3, "user", "t2"), starts(["t1", 1], ["t2", 3])).certain, true);
  assert.equal(place(held, message(2, "user", "t1"), new Map()).messages, held);
});

test("the backend's order wins, and what it did not know yet stays", () => {
  const held = [1, 2, 3, 4].map((n) => message(n, "user", null));
  const page = [held[2], held[1]] as StoredEvent[];
  assert.deepEqual(ids(merge(held, page, new Map()).messages), ["e1", "e3", "e2", "e4"]);
  const apart = merge(held, [message(9, "user", null)], new Map());
  assert.deepEqual([ids(apart.messages), apart.joined], [["e9"], false]);
  assert.deepEqual(ids(prepend(held, [message(0, "user", null), held[0] as StoredEvent])), [
    "e0",
    "e1",
    "e2",
    "e3",
    "e4",
  ]);
});

test("a log holds each event once, ascending, and gives back what is too much", () => {
  let log = append({ events: [], low: 4 }, [event(5), event(6), event(5), event(3)]);
  assert.deepEqual(ids(log.events), ["e5", "e6"]);
  assert.equal(append(log, [event(6)]), log);
  log = extend(log, [event(2), event(4), event(5)], 1);
  assert.deepEqual([ids(log.events), log.low], [["e2", "e4", "e5", "e6"], 1]);
  const many = Array.from({ length: MOST_HELD }, (_, n) => event(n + 7));
  log = append(log, many);
  assert.deepEqual([log.events.length, log.events[0]?.id, log.low], [MOST_HELD, "e7", 6]);
});

test("a filter is the same choice live and as a query", () => {
  const filter = { kinds: ["error", "lost"], session: 1, fromMs: Date.parse(AT), toMs: null };
  assert.equal(passes(event(1, "error", { session_number: 1 }), filter), true);
  assert.equal(passes(event(1, "error"), filter), false);
  assert.equal(passes(event(1, "message", { session_number: 1 }), filter), false);
  const before = { session_number: 1, at: "2026-11-21T04:00:00.122Z" };
  assert.equal(passes(event(1, "error", before), filter), false);
  assert.equal(
    filterQuery(filter).toString(),
    "kind=error&kind=lost&session=1&from=2026-11-21T04%3A00%3A00.123Z",
  );
  assert.equal(filterQuery(EVERYTHING).toString(), "");
});

test("reading backwards finds what is rare in few requests and misses nothing", async () => {
  const positions = Array.from({ length: 50_000 }, (_, n) => n + 1);
  const read = async (every: number, high: number) => {
    let asked = 0;
    const older = await readBack(
      (after, limit) => {
        asked += 1;
        const found = positions.filter((n) => n > after && n % every === 0).slice(0, limit + 1);
        const events = found.slice(0, limit).map((n) => event(n));
        const next = found.length > limit ? (events.at(-1)?.position ?? null) : null;
        return Promise.resolve({ events, next });
      },
      high,
      200,
    );
    return { ...older, asked };
  };
  const all = await read(1, 50_000);
  assert.deepEqual([all.events.length, all.low, all.asked], [200, 49_800, 1]);
  const rare = await read(5_000, 50_000);
  assert.deepEqual(ids(rare.events), [5, 10, 15, 20, 25, 30, 35, 40, 45, 50].map((n) => `e${n}000`));
  assert.equal(rare.low, 0);
  assert.ok(rare.asked < 10, String(rare.asked));
  const some = await read(7, 50_000);
  const next = await read(7, some.low);
  assert.equal(some.events.length, 200);
  assert.equal(next.events.at(-1)?.position, (some.events[0]?.position ?? 0) - 7);
});

async function followed(answers: (string | ProblemError)[]) {
  const stop = new AbortController();
  const asked: number[] = [];
  const seen: (string | null)[] = [];
  const links: string[] = [];
  const follower = new Follower(3, {
    open: (after) => {
      asked.push(after);
      const answer = answers.shift();
      if (answer === undefined) {
        stop.abort();
        return Promise.reject(new ProblemError({ kind: "backend_away" }));
      }
      return answer instanceof ProblemError
        ? Promise.reject(answer)
        : Promise.resolve(new Blob([answer]).stream() as ReadableStream<Uint8Array>);
    },
    wait: () => Promise.resolve(),
    random: () => 0,
    heard: (events) => seen.push(...events.map(({ id }) => id)),
    changed: (link, problem) => links.push(problem?.kind ?? link),
  });
  await follower.run(stop.signal);
  return { asked, seen, links };
}

function sent(position: number): string {
  return `id: ${position}\ndata: ${JSON.stringify({ event_id: `e${position}`, kind: "thinking", position })}\n\n`;
}

test("a follower comes back after its last event, also after a reset, and shows nothing twice", async () => {
  const live = 'data: {"event_id": "live", "kind": "agent_state"}\n\n';
  const reset = 'id: 9\nevent: reset\ndata: {"after": 9}\n\n';
  const { asked, seen } = await followed([
    sent(4) + live + sent(4),
    new ProblemError({ kind: "backend_busy" }),
    reset,
    `data: not json\n\n${sent(10)}`,
  ]);
  assert.deepEqual(asked, [3, 4, 4, 9, 10]);
  assert.deepEqual(seen, ["e4", "live", "e10"]);
});

test("a follower that may not read says so and asks no more", async () => {
  const { asked, links } = await followed([new ProblemError({ kind: "token_refused" }), sent(4)]);
  assert.deepEqual([asked, links], [[3], ["token_refused"]]);
});

test("every kind has words, and foreign shapes break nothing", () => {
  for (const kind of [...KINDS, "a_kind_of_later", ""]) {
    for (const more of [{}, { delays: "x", participant: 3, detail: [1], speaker: null, text: 7 }]) {
      assert.equal(typeof describeEvent(event(1, kind, more)).summary, "string");
    }
  }
  const turn = { outcome: "completed", delays: { llm_ttft_s: 0.3, e2e_s: 0.567, tts_ttfb_s: null } };
  const { summary } = describeEvent(event(1, "turn_ended", turn));
  assert.equal(summary, "completed · answer after 0.57 s · first token 0.30 s");
  const failed = { name: "book", output: "no table", is_error: true };
  const result = describeEvent(event(1, "tool_result", failed));
  assert.deepEqual([result.summary, result.tone], ["book failed no table", "trouble"]);
  assert.equal(activityOf(event(1, "agent_state", { state: "speaking" })), "The agent is speaking");
  assert.equal(activityOf(event(1, "agent_state", { state: "dreaming" })), null);
  for (const value of [null, 1, "x", [], { id: 3, missing: "x", owner: 1 }]) {
    assert.equal(storedConversation(value).leaseUntil, null);
    assert.equal(storedEvent(value).position, null);
  }
});

test("what was used up is said in words, also what this page never heard of", () => {
  const used = (service: string, counts: object): object => ({ service, provider: "p", model: "m", counts });
  const { items, next } = storedUsage({
    items: [
      used("llm", { requests: 1, input_tokens: 1234, input_cached_tokens: 200, output_tokens: 5 }),
      used("stt", { audio_s: 12.34, requests: 2 }),
      used("tts", { requests: 2, characters: 1500, audio_s: 75.5 }),
      used("cloud_of_sheep", { woolly_hairs: 3, broken: "many" }),
      null,
    ],
    next: null,
  });
  assert.equal(next, null);
  assert.deepEqual(items.map((each) => amounts(each).join(" · ")), [
    "1 request · 1,234 tokens read (200 cached) · 5 tokens written",
    "2 requests · 12.3 s of speech",
    "2 requests · 1 min 15 s of speech · 1,500 characters",
    "3 woolly hairs",
    "",
  ]);
  assert.equal(
    inShort(items),
    "1,234 tokens read, 5 written · 12.3 s heard · 1 min 15 s spoken",
  );
});
