/** What a page says about a problem: what happened, and what to do. */

import type { ProblemKind } from "./problem";

export interface ProblemWords {
  readonly headline: string;
  readonly remedy: string;
}

export const PROBLEMS: Readonly<Record<ProblemKind, ProblemWords>> = {
  token_missing: {
    headline: "This page needs its link",
    remedy: "Open it through the full link you were given: it ends with #token=…",
  },
  token_refused: {
    headline: "Your link has expired",
    remedy: "Ask for a fresh link and open that one. Links are short-lived on purpose.",
  },
  not_allowed: {
    headline: "This link may not call",
    remedy: "Ask for a link that is made for calls, or begin a new conversation.",
  },
  conversation_unknown: {
    headline: "That conversation is not there",
    remedy: "It was removed, or belongs to someone else. You can begin a new one.",
  },
  backend_away: {
    headline: "The server does not answer",
    remedy: "Check your network, or wait a moment and try again.",
  },
  backend_busy: {
    headline: "The server is busy",
    remedy: "Try again in a moment.",
  },
  backend_broken: {
    headline: "Something went wrong on the server",
    remedy: "Try again. If it stays like this, tell whoever runs it.",
  },
  livekit_away: {
    headline: "The call server does not answer",
    remedy: "Audio needs it. Wait a moment and try again.",
  },
  livekit_refused: {
    headline: "The call server refused the call",
    remedy: "Try again. If it stays like this, its keys do not fit the backend's.",
  },
  media_blocked: {
    headline: "Audio could not get through",
    remedy: "A firewall or VPN may block it. Try another network.",
  },
  page_outdated: {
    headline: "This page is out of date",
    remedy: "Reload it, then try again.",
  },
};
