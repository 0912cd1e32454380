/** What the page says when something does not work, and what a person can do about it. */

import { PROBLEMS } from "../shared/problem-words";
import type { Problem, ProblemKind } from "../shared/problem";

type Words = (typeof PROBLEMS)[ProblemKind];

/** Where reading is another thing than calling. */
const OF_READING: Readonly<Partial<Record<ProblemKind, Words>>> = {
  token_refused: {
    headline: "This link is not valid, or has expired",
    remedy: "Ask for a fresh link and open that one.",
  },
  not_allowed: {
    headline: "This link may not read conversations",
    remedy: "Ask for a link with a token of scope read.",
  },
  conversation_unknown: {
    headline: "That conversation is not there",
    remedy: "It was removed, or this link may not see it.",
  },
  backend_away: {
    headline: "The server does not answer",
    remedy: "Check your network; the page tries again by itself.",
  },
};

export function problemWords(problem: Problem): {
  readonly headline: string;
  readonly detail: string;
} {
  const { headline, remedy } = OF_READING[problem.kind] ?? PROBLEMS[problem.kind];
  const said = problem.detail ? ` (${problem.detail.replace(/\.$/, "")})` : "";
  return { headline, detail: remedy + said };
}
