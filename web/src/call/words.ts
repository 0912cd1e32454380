/**
 * What the page says, and which buttons it offers, for each state of a call. Pure, so that every
 * sentence a person can meet is here and in its test.
 */

import { agentPresence, isUnderWay } from "./call-state";
import type { AgentActivity, CallState, EndReason, Microphone } from "./call-state";
import type { Problem } from "../shared/problem";
import { PROBLEMS } from "../shared/problem-words";

/** How the agent's circle looks. */
export type Mood = "rest" | "busy" | "trouble" | AgentActivity;

export type Action =
  | "start"
  | "start_typing"
  | "new_conversation"
  | "hang_up"
  | "toggle_mute"
  | "ask_microphone"
  | "request_agent"
  | "allow_audio";

export interface Button {
  readonly action: Action;
  readonly label: string;
}

export interface Notice {
  readonly id: string;
  readonly text: string;
  readonly button: Button | null;
}

export interface Screen {
  readonly mood: Mood;
  readonly headline: string;
  readonly detail: string;
  readonly notices: readonly Notice[];
  /** Outside a call: the big button, null where starting makes no sense. */
  readonly start: Button | null;
  readonly offersTyping: boolean;
  readonly offersNewConversation: boolean;
  /** In a call: what the microphone button does; null while there is nothing to press. */
  readonly microphone: Button | null;
  readonly canHangUp: boolean;
  readonly canType: boolean;
}

export function describe(state: CallState): Screen {
  const startable = !isUnderWay(state) && state.problem?.kind !== "token_missing";
  return {
    ...said(state),
    notices: isUnderWay(state) ? notices(state) : [],
    start: startable ? { action: "start", label: startLabel(state) } : null,
    offersTyping: startable,
    offersNewConversation: startable && state.conversationId !== null,
    microphone: state.phase === "in_call" ? microphoneButton(state.microphone) : null,
    canHangUp: isUnderWay(state),
    canType: state.phase === "in_call",
  };
}

type Said = Pick<Screen, "mood" | "headline" | "detail">;

function said(state: CallState): Said {
  switch (state.phase) {
    case "idle":
      return state.problem === null ? greeting(state) : troubled(state.problem);
    case "starting":
      return starting(state);
    case "in_call":
      return state.link === "reconnecting" ? RECONNECTING : agentSaid(state);
    case "ended":
      return { mood: "rest", ...ENDINGS[state.endReason ?? "hung_up"] };
  }
}

function greeting(state: CallState): Said {
  return state.conversationId === null
    ? {
        mood: "rest",
        headline: "Ready when you are",
        detail: "Speak or type. Your browser will ask for the microphone.",
      }
    : {
        mood: "rest",
        headline: "Welcome back",
        detail: "Your conversation is still here. Go on where you left off, or begin a new one.",
      };
}

function starting(state: CallState): Said {
  if (state.microphone === "asking") {
    return {
      mood: "busy",
      headline: "May we hear you?",
      detail: "Answer your browser's question about the microphone.",
    };
  }
  return state.room === null
    ? { mood: "busy", headline: "Starting the call…", detail: "Asking for a room." }
    : { mood: "busy", headline: "Connecting…", detail: "Joining the room." };
}

const RECONNECTING: Said = {
  mood: "busy",
  headline: "Reconnecting…",
  detail: "The connection was interrupted. Stay on the page, it usually comes back by itself.",
};

const ACTIVITIES: Readonly<Record<AgentActivity, Omit<Said, "mood">>> = {
  initializing: { headline: "The agent is here", detail: "Getting ready…" },
  listening: { headline: "Listening", detail: "Go ahead, speak or type." },
  thinking: { headline: "Thinking…", detail: "One moment." },
  speaking: { headline: "Speaking", detail: "You can interrupt at any time." },
};

function agentSaid(state: CallState): Said {
  const { agent } = state;
  switch (agentPresence(agent)) {
    case "here":
    case "doubtful": {
      const activity = agent.activity ?? "initializing";
      return { mood: activity, ...ACTIVITIES[activity], ...(silentHint(state) ?? {}) };
    }
    case "gone":
      return {
        mood: "trouble",
        headline: "No agent in the call",
        detail: sentence(agent.detail) || "None could be reached. You can ask for one again.",
      };
    case "waiting":
      return waiting(state);
  }
}

/** Where nobody can be heard, the page does not ask to speak. */
function silentHint(state: CallState): { detail: string } | null {
  if (state.agent.activity !== "listening" || state.microphone === "live") {
    return null;
  }
  return {
    detail: state.microphone === "muted" ? "You are muted. You can still type." : "Type to talk.",
  };
}

function waiting(state: CallState): Said {
  const { wasHere, attempts, detail } = state.agent;
  const headline = wasHere ? "The agent has left" : "Waiting for an agent";
  const hope = wasHere ? "Another one is being called." : "It should be here in a moment.";
  return {
    mood: "busy",
    headline: attempts > 1 ? `${headline}: attempt ${attempts}…` : `${headline}…`,
    detail: sentence(detail) || hope,
  };
}

/** The backend words its details as parts of a log line; here each stands alone. */
function sentence(detail: string): string {
  const text = detail.trim();
  return text === "" ? "" : `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;
}

const ENDINGS: Readonly<Record<EndReason, Omit<Said, "mood">>> = {
  hung_up: { headline: "Call ended", detail: "You hung up." },
  duplicate_identity: {
    headline: "Call moved elsewhere",
    detail: "The same call was opened in another tab or window, so it ended here.",
  },
  removed: { headline: "Call ended", detail: "You were removed from the room." },
  room_closed: { headline: "Call ended", detail: "The room was closed by the server." },
  server_shutdown: {
    headline: "Call ended",
    detail: "The server is shutting down. Call again in a moment.",
  },
  connection_lost: {
    headline: "Connection lost",
    detail: "Check your network, then call again: the conversation is kept.",
  },
};

function troubled(problem: Problem): Said {
  const { headline, remedy } = PROBLEMS[problem.kind];
  const wait = problem.retryAfterS ? `Try again in ${Math.ceil(problem.retryAfterS)} s.` : remedy;
  const detail = problem.detail ? `${wait} (${problem.detail.replace(/\.$/, "")})` : wait;
  return { mood: "trouble", headline, detail };
}

function startLabel(state: CallState): string {
  if (state.problem !== null) {
    return state.problem.kind === "conversation_unknown" ? "Start a new call" : "Try again";
  }
  if (state.phase === "ended") {
    return "Call again";
  }
  return state.conversationId === null ? "Start call" : "Continue";
}

const MICROPHONE_TROUBLE: Readonly<Partial<Record<Microphone, string>>> = {
  refused:
    "The microphone was refused. You can type instead; to speak, allow it in the address bar" +
    " and press “Use mic”.",
  missing: "No microphone was found. You can type instead, or plug one in.",
  busy: "Another program is using the microphone. You can type instead.",
  rejected: "The microphone could not be added to the call. You can type instead.",
  insecure: "Browsers offer the microphone only over https or on localhost. You can type instead.",
};

function microphoneButton(microphone: Microphone): Button | null {
  switch (microphone) {
    case "live":
      return { action: "toggle_mute", label: "Mute" };
    case "muted":
      return { action: "toggle_mute", label: "Unmute" };
    case "asking":
    case "insecure":
      return null;
    default:
      return { action: "ask_microphone", label: "Use mic" };
  }
}

function notices(state: CallState): readonly Notice[] {
  return [microphoneNotice(state), audioNotice(state), agentNotice(state), backendNotice(state)]
    .filter((notice) => notice !== null);
}

function microphoneNotice(state: CallState): Notice | null {
  const text = MICROPHONE_TROUBLE[state.microphone];
  return text ? { id: "microphone", text, button: null } : null;
}

function audioNotice(state: CallState): Notice | null {
  return state.audioBlocked
    ? {
        id: "audio",
        text: "Your browser holds back the sound until you allow it.",
        button: { action: "allow_audio", label: "Play sound" },
      }
    : null;
}

function agentNotice(state: CallState): Notice | null {
  if (state.phase !== "in_call") {
    return null;
  }
  const button: Button = { action: "request_agent", label: "Reconnect agent" };
  switch (agentPresence(state.agent)) {
    case "gone":
      return { id: "agent", text: "The call is still open.", button };
    case "doubtful":
      return { id: "agent", text: "The agent may have gone away.", button };
    default:
      return null;
  }
}

function backendNotice(state: CallState): Notice | null {
  switch (state.backend) {
    case "fine":
      return null;
    case "silent":
      return { id: "backend", text: "The server does not answer. The call goes on.", button: null };
    case "refusing":
      return {
        id: "backend",
        text: "Your link has expired. This call goes on; the next one needs a fresh link.",
        button: null,
      };
  }
}
