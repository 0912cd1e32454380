/**
 * The state of one call as the page knows it: pure data, and one total function that says what
 * each event makes of it. No DOM, no network, no clock. An event that does not fit the phase
 * (an answer that arrives after the hang-up) changes nothing.
 */

import type { CallStatus, Dispatch } from "../shared/api";
import type { Problem } from "../shared/problem";

/** `idle`: before the first call, or after one that could not begin (then `problem` is set). */
export type Phase = "idle" | "starting" | "in_call" | "ended";

export type Microphone =
  | "off" // not asked for
  | "asking"
  | "live"
  | "muted"
  | "refused" // by the person or by a policy
  | "missing" // no device, or it was unplugged
  | "busy" // another program holds it
  | "insecure" // the browser offers none on this address
  | "rejected"; // the room did not take it

export type AgentActivity = "initializing" | "listening" | "thinking" | "speaking";

export type EndReason =
  | "hung_up"
  | "duplicate_identity"
  | "removed"
  | "room_closed"
  | "server_shutdown"
  | "connection_lost";

/** What the backend's answers were lately; a call outlives its backend. */
export type BackendHealth = "fine" | "silent" | "refusing";

export interface Agent {
  readonly inRoom: boolean;
  readonly wasHere: boolean;
  readonly activity: AgentActivity | null;
  readonly dispatch: Dispatch | null;
  readonly attempts: number;
  readonly detail: string;
}

export interface CallState {
  readonly phase: Phase;
  readonly microphone: Microphone;
  readonly room: string | null;
  /** The conversation a next call goes into; null: a new one. */
  readonly conversationId: string | null;
  readonly link: "up" | "reconnecting";
  readonly agent: Agent;
  readonly backend: BackendHealth;
  readonly audioBlocked: boolean;
  readonly problem: Problem | null;
  readonly endReason: EndReason | null;
}

export type CallEvent =
  | { readonly kind: "start_pressed" }
  | { readonly kind: "microphone_changed"; readonly microphone: Microphone }
  | { readonly kind: "call_granted"; readonly room: string; readonly conversationId: string }
  | { readonly kind: "connected" }
  | { readonly kind: "failed"; readonly problem: Problem }
  | { readonly kind: "ended"; readonly reason: EndReason }
  | { readonly kind: "link_changed"; readonly link: "up" | "reconnecting" }
  | { readonly kind: "audio_blocked"; readonly blocked: boolean }
  | { readonly kind: "agent_joined"; readonly activity: AgentActivity | null }
  | { readonly kind: "agent_left" }
  | { readonly kind: "agent_activity"; readonly activity: AgentActivity }
  | { readonly kind: "agent_requested" }
  | { readonly kind: "status_polled"; readonly status: CallStatus }
  | { readonly kind: "poll_failed"; readonly problem: Problem }
  | { readonly kind: "conversation_forgotten" }
  | { readonly kind: "token_received" };

const NO_AGENT: Agent = {
  inRoom: false,
  wasHere: false,
  activity: null,
  dispatch: null,
  attempts: 0,
  detail: "",
};

/** The page as it opens. */
export function openingState(conversationId: string | null, hasToken: boolean): CallState {
  return {
    phase: "idle",
    microphone: "off",
    room: null,
    conversationId,
    link: "up",
    agent: NO_AGENT,
    backend: "fine",
    audioBlocked: false,
    problem: hasToken ? null : { kind: "token_missing" },
    endReason: null,
  };
}

/** Say what `event` makes of `state`. */
export function advance(state: CallState, event: CallEvent): CallState {
  switch (event.kind) {
    case "start_pressed":
      return isUnderWay(state) ? state : begun(state);
    case "call_granted":
      return state.phase === "starting"
        ? { ...state, room: event.room, conversationId: event.conversationId }
        : state;
    case "connected":
      return state.phase === "starting" ? { ...state, phase: "in_call" } : state;
    case "failed":
      return state.phase === "in_call" ? state : failed(state, event.problem);
    case "ended":
      return isUnderWay(state) ? over(state, event.reason) : state;
    case "conversation_forgotten":
      return isUnderWay(state) ? state : openingState(null, state.problem?.kind !== "token_missing");
    case "token_received":
      return state.phase === "idle" ? { ...state, problem: null } : state;
    default:
      return isUnderWay(state) ? duringCall(state, event) : state;
  }
}

type DuringCall = Exclude<
  CallEvent,
  {
    kind:
      | "start_pressed"
      | "call_granted"
      | "connected"
      | "failed"
      | "ended"
      | "conversation_forgotten"
      | "token_received";
  }
>;

function duringCall(state: CallState, event: DuringCall): CallState {
  switch (event.kind) {
    case "microphone_changed":
      return { ...state, microphone: event.microphone };
    case "link_changed":
      return { ...state, link: event.link };
    case "audio_blocked":
      return { ...state, audioBlocked: event.blocked };
    case "poll_failed":
      return { ...state, backend: healthAfter(event.problem) };
    case "status_polled":
      return { ...state, backend: "fine", agent: { ...state.agent, ...polled(event.status) } };
    default:
      return { ...state, agent: agentAfter(state.agent, event) };
  }
}

type AgentEvent = Extract<
  DuringCall,
  { kind: "agent_joined" | "agent_left" | "agent_activity" | "agent_requested" }
>;

function agentAfter(agent: Agent, event: AgentEvent): Agent {
  switch (event.kind) {
    case "agent_joined":
      return { ...agent, inRoom: true, wasHere: true, dispatch: null, activity: event.activity };
    case "agent_activity":
      // A sign of life outweighs what the backend believed a moment ago.
      return { ...agent, activity: event.activity, dispatch: null };
    case "agent_left":
      return { ...NO_AGENT, wasHere: true };
    case "agent_requested":
      return { ...agent, dispatch: "dispatching", attempts: 0, detail: "" };
  }
}

function polled(status: CallStatus): Partial<Agent> {
  return { dispatch: status.agent, attempts: status.attempts, detail: status.detail };
}

function healthAfter(problem: Problem): BackendHealth {
  return problem.kind === "token_refused" || problem.kind === "not_allowed" ? "refusing" : "silent";
}

function begun(state: CallState): CallState {
  return { ...openingState(state.conversationId, true), phase: "starting" };
}

function failed(state: CallState, problem: Problem): CallState {
  const forget = problem.kind === "conversation_unknown";
  return {
    ...openingState(forget ? null : state.conversationId, true),
    problem,
  };
}

function over(state: CallState, reason: EndReason): CallState {
  return { ...openingState(state.conversationId, true), phase: "ended", endReason: reason };
}

/** Whether a call is being made or is on. */
export function isUnderWay(state: CallState): boolean {
  return state.phase === "starting" || state.phase === "in_call";
}

/**
 * Where the agent is. `doubtful`: it is listed in the room, but the backend says that none is
 * serving it (a killed agent stays listed for some 20 s).
 */
export type AgentPresence = "waiting" | "here" | "doubtful" | "gone";

export function agentPresence(agent: Agent): AgentPresence {
  if (agent.inRoom) {
    return agent.dispatch === "absent" ? "doubtful" : "here";
  }
  return agent.dispatch === "absent" ? "gone" : "waiting";
}

/** Whether a typed line would be read by someone now. */
export function agentReads(state: CallState): boolean {
  const { activity } = state.agent;
  return (
    state.phase === "in_call" &&
    state.link === "up" &&
    agentPresence(state.agent) === "here" &&
    activity !== null &&
    activity !== "initializing"
  );
}
