import assert from "node:assert/strict";
import { test } from "node:test";
import { advance, agentPresence, agentReads, openingState } from "../src/call/call-state";
import type { CallEvent, CallState } from "../src/call/call-state";

const GRANTED: CallEvent = { kind: "call_granted", room: "r1", conversationId: "c1" };

function after(...events: readonly CallEvent[]): CallState {
  return events.reduce(advance, openingState(null, true));
}

function inCall(...events: readonly CallEvent[]): CallState {
  return after({ kind: "start_pressed" }, GRANTED, { kind: "connected" }, ...events);
}

function polled(agent: "dispatching" | "joined" | "absent", attempts = 1): CallEvent {
  return { kind: "status_polled", status: { agent, attempts, detail: "" } };
}

test("a call goes from idle through starting into the call and ends", () => {
  assert.equal(after().phase, "idle");
  assert.equal(after({ kind: "start_pressed" }).phase, "starting");
  assert.equal(inCall().phase, "in_call");
  const ended = inCall({ kind: "ended", reason: "room_closed" });
  assert.equal(ended.phase, "ended");
  assert.equal(ended.endReason, "room_closed");
  assert.equal(ended.conversationId, "c1", "the next call goes into the same conversation");
});

test("answers that arrive after the hang-up change nothing", () => {
  const ended = inCall({ kind: "ended", reason: "hung_up" });
  const late: readonly CallEvent[] = [
    GRANTED,
    { kind: "connected" },
    { kind: "agent_joined", activity: "listening" },
    { kind: "microphone_changed", microphone: "live" },
    polled("joined"),
    { kind: "ended", reason: "connection_lost" },
  ];
  for (const event of late) {
    assert.deepEqual(advance(ended, event), ended, event.kind);
  }
});

test("a second press of start while a call is on changes nothing", () => {
  const state = inCall({ kind: "agent_joined", activity: "speaking" });
  assert.equal(advance(state, { kind: "start_pressed" }), state);
});

test("a call that could not begin says why and can be tried again", () => {
  const state = after({ kind: "start_pressed" }, { kind: "failed", problem: { kind: "backend_away" } });
  assert.equal(state.phase, "idle");
  assert.equal(state.problem?.kind, "backend_away");
  assert.equal(advance(state, { kind: "start_pressed" }).problem, null);
});

test("an unknown conversation is forgotten, any other failure keeps it", () => {
  const held = { ...openingState("c9", true), phase: "starting" as const };
  const failing = (kind: "conversation_unknown" | "backend_busy"): CallState =>
    advance(held, { kind: "failed", problem: { kind } });
  assert.equal(failing("conversation_unknown").conversationId, null);
  assert.equal(failing("backend_busy").conversationId, "c9");
});

test("a refused microphone leaves the call running", () => {
  const state = inCall({ kind: "microphone_changed", microphone: "refused" });
  assert.equal(state.phase, "in_call");
  assert.equal(state.microphone, "refused");
});

test("presence follows the room, and the backend where the room may show a ghost", () => {
  const joined: CallEvent = { kind: "agent_joined", activity: "listening" };
  const cases: readonly [readonly CallEvent[], string][] = [
    [[], "waiting"],
    [[polled("dispatching", 3)], "waiting"],
    [[polled("absent")], "gone"],
    [[joined], "here"],
    [[joined, polled("joined")], "here"],
    [[joined, polled("absent")], "doubtful"],
    [[joined, polled("absent"), { kind: "agent_activity", activity: "thinking" }], "here"],
    [[joined, { kind: "agent_left" }], "waiting"],
    [[joined, { kind: "agent_left" }, polled("absent")], "gone"],
    [[polled("absent"), { kind: "agent_requested" }], "waiting"],
  ];
  for (const [events, presence] of cases) {
    assert.equal(agentPresence(inCall(...events).agent), presence, JSON.stringify(events));
  }
});

test("typed lines are held until an agent reads them", () => {
  const joined = (activity: "initializing" | "listening" | null): CallEvent => ({
    kind: "agent_joined",
    activity,
  });
  assert.equal(agentReads(inCall()), false);
  assert.equal(agentReads(inCall(joined(null))), false);
  assert.equal(agentReads(inCall(joined("initializing"))), false);
  assert.equal(agentReads(inCall(joined("listening"))), true);
  const cut = inCall(joined("listening"), { kind: "link_changed", link: "reconnecting" });
  assert.equal(agentReads(cut), false);
});

test("a backend that falls silent or refuses the token does not end the call", () => {
  const silent = inCall({ kind: "poll_failed", problem: { kind: "backend_away" } });
  assert.deepEqual([silent.phase, silent.backend], ["in_call", "silent"]);
  const refused = inCall({ kind: "poll_failed", problem: { kind: "token_refused" } });
  assert.deepEqual([refused.phase, refused.backend], ["in_call", "refusing"]);
  assert.equal(advance(silent, polled("joined")).backend, "fine");
});

test("a new conversation begins only outside a call", () => {
  const forget: CallEvent = { kind: "conversation_forgotten" };
  assert.equal(advance(inCall(), forget).conversationId, "c1");
  assert.equal(inCall({ kind: "ended", reason: "hung_up" }, forget).conversationId, null);
});
