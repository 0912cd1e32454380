import assert from "node:assert/strict";
import { test } from "node:test";
import { delaysOf, groupOf, GROUPS, Log, passes, readEvent, speakerOf, summaryOf } from "../src/conversations/events";
import type { LogEvent } from "../src/conversations/events";
import { EventParser, follow } from "../src/shared/event-stream";
import type { StreamEvent } from "../src/shared/event-stream";

function event(position: number | null, kind = "message", more: object = {}): LogEvent {
  const made = readEvent({ event_id: `e${position}`, kind, position, session_number: 0, at: "2026-11-21T04:00:00.123Z", ...more });
  assert.ok(made);
  return made;
}

test("a stream is cut into events wherever the network cut it", () => {
  const text = 'id: 1\ndata: {"a": "x"}\n\n: ping\n\ndata: {"live": 1}\n\nid: 7\nevent: reset\ndata: {"after": 7}\n\n';
  for (let size = 1; size < text.length; size++) {
    const parser = new EventParser();
    const seen: StreamEvent[] = [];
    for (let at = 0; at < text.length; at += size) {
      seen.push(...parser.feed(text.slice(at, at + size)));
    }
    assert.deepEqual(seen, [
      { name: "", id: 1, data: '{"a": "x"}' },
      { name: "", id: null, data: '{"live": 1}' },
      { name: "reset", id: 7, data: '{"after": 7}' },
    ]);
  }
});

test("a follower comes back after its last event, also after a reset", async () => {
  const asked: number[] = [];
  const shown: string[] = [];
  const links: string[] = [];
  const stop = new AbortController();
  const answers = ["id: 4\ndata: a\n\ndata: live\n\n", 'id: 9\nevent: reset\ndata: {"after": 9}\n\n', "id: 10\ndata: b\n\n"];
  await follow(
    3,
    {
      open: (after) => {
        asked.push(after);
        const text = answers.shift();
        if (text === undefined) {
          stop.abort();
          return Promise.reject(new Error("over"));
        }
        return Promise.resolve(new Blob([text]).stream() as ReadableStream<Uint8Array>);
      },
      show: ({ data }) => shown.push(data),
      link: (link) => links.push(link),
      failed: () => true,
    },
    stop.signal,
  );
  assert.deepEqual(asked, [3, 4, 9, 10]);
  assert.deepEqual(shown, ["a", "live", "b"]);
  assert.ok(links.includes("live"));
});

test("a log holds each event once, ascending, whatever comes in which order", () => {
  const log = new Log();
  assert.equal(log.add([event(5), event(6)]), true);
  assert.equal(log.add([event(5), event(null, "agent_state")]), false);
  assert.equal(log.add([event(2), event(3), event(5)]), true);
  assert.deepEqual(log.all.map(({ position }) => position), [2, 3, 5, 6]);
  assert.equal(log.first, 2);
});

test("a filter goes by group and session", () => {
  const filter = { groups: new Set(["messages", "tools"] as const), session: 1 };
  assert.equal(passes(event(1, "tool_call", { session_number: 1 }), filter), true);
  assert.equal(passes(event(1, "tool_call"), filter), false);
  assert.equal(passes(event(1, "turn_ended", { session_number: 1 }), filter), false);
  assert.ok(GROUPS.includes(groupOf("a_kind_of_later")));
});

test("events are put into words, and foreign shapes break nothing", () => {
  assert.equal(summaryOf(event(1, "tool_call", { name: "order", arguments: '{"id": 7}' })), 'order({"id": 7})');
  assert.equal(summaryOf(event(1, "call_ended", { reason: "caller_left" })), "call ended: caller left");
  assert.equal(speakerOf(event(1, "message", { role: "user", speaker: { identity: "ada", name: "" } })), "ada");
  assert.equal(speakerOf(event(1, "message", { role: "assistant" })), "Agent");
  const delays = { e2e_s: 0.57, transcription_s: 0.31, llm_ttft_s: null };
  assert.deepEqual(delaysOf(event(1, "turn_ended", { delays })).map(({ name }) => name), ["transcription", "end of turn", "end to end"].filter((name) => name !== "end of turn"));
  for (const value of [null, 1, "x", {}, { kind: "message" }, { kind: 3, event_id: "a" }]) {
    assert.equal(readEvent(value), null);
  }
  assert.equal(summaryOf(event(1, "tool_call", { name: 7, arguments: {} })), "()");
  assert.deepEqual(delaysOf(event(1, "turn_ended", { delays: "x" })), []);
});
