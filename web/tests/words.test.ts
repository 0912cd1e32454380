import assert from "node:assert/strict";
import { test } from "node:test";
import { advance, openingState } from "../src/call/call-state";
import type { CallEvent, CallState, EndReason, Microphone } from "../src/call/call-state";
import { describe } from "../src/call/words";

const IN_CALL: readonly CallEvent[] = [
  { kind: "start_pressed" },
  { kind: "call_granted", room: "r1", conversationId: "c1" },
  { kind: "connected" },
];

function inCall(...events: readonly CallEvent[]): CallState {
  return [...IN_CALL, ...events].reduce(advance, openingState(null, true));
}

test("without a token there is nothing to press, only what to do", () => {
  const screen = describe(openingState(null, false));
  assert.equal(screen.start, null);
  assert.match(screen.detail, /#token=/);
});

test("the big button says what it will do", () => {
  assert.equal(describe(openingState(null, true)).start?.label, "Start call");
  assert.equal(describe(openingState("c1", true)).start?.label, "Continue");
  const ended = inCall({ kind: "ended", reason: "hung_up" });
  assert.equal(describe(ended).start?.label, "Call again");
  const failed = advance(inCall().phase === "in_call" ? openingState(null, true) : ended, {
    kind: "failed",
    problem: { kind: "backend_away" },
  });
  assert.equal(describe(failed).start?.label, "Try again");
});

test("waiting names the attempt and passes on what the backend says", () => {
  const state = inCall({
    kind: "status_polled",
    status: { agent: "dispatching", attempts: 2, detail: "no worker is free" },
  });
  const screen = describe(state);
  assert.equal(screen.headline, "Waiting for an agent: attempt 2…");
  assert.equal(screen.detail, "No worker is free.");
});

test("an absent agent can be asked for again", () => {
  const gone = inCall({
    kind: "status_polled",
    status: { agent: "absent", attempts: 5, detail: "" },
  });
  assert.equal(describe(gone).notices[0]?.button?.action, "request_agent");
});

test("every trouble with the microphone offers typing", () => {
  const troubles: readonly Microphone[] = ["refused", "missing", "busy", "insecure", "rejected"];
  for (const microphone of troubles) {
    const screen = describe(inCall({ kind: "microphone_changed", microphone }));
    assert.match(screen.notices[0]?.text ?? "", /type instead/, microphone);
    assert.equal(screen.canType, true);
  }
});

test("nobody who cannot be heard is asked to speak", () => {
  const joined: CallEvent = { kind: "agent_joined", activity: "listening" };
  const live: CallEvent = { kind: "microphone_changed", microphone: "live" };
  const muted: CallEvent = { kind: "microphone_changed", microphone: "muted" };
  assert.match(describe(inCall(live, joined)).detail, /speak/);
  assert.match(describe(inCall(muted, joined)).detail, /muted/);
  assert.doesNotMatch(describe(inCall(joined)).detail, /speak/);
});

test("each end of a call has its own words", () => {
  const reasons: readonly EndReason[] = [
    "hung_up",
    "duplicate_identity",
    "removed",
    "room_closed",
    "server_shutdown",
    "connection_lost",
  ];
  const details = reasons.map((reason) => describe(inCall({ kind: "ended", reason })).detail);
  assert.equal(new Set(details).size, reasons.length);
});

test("a busy backend says how long to wait", () => {
  const state = advance(openingState(null, true), {
    kind: "failed",
    problem: { kind: "backend_busy", retryAfterS: 3.2, detail: "too many calls." },
  });
  assert.equal(describe(state).detail, "Try again in 4 s. (too many calls)");
});
