/**
 * What can go wrong, sorted by what the person at the page can do about it. The sentences are
 * in words.ts; here is only the sorting.
 */

export type ProblemKind =
  | "token_missing"
  | "token_refused"
  | "not_allowed"
  | "conversation_unknown"
  | "backend_away"
  | "backend_busy"
  | "backend_broken"
  | "livekit_away"
  | "livekit_refused"
  | "media_blocked"
  | "page_outdated";

export interface Problem {
  readonly kind: ProblemKind;
  /** The status of the answer, where there was one. */
  readonly status?: number;
  /** What the other side said about it, for the second line. */
  readonly detail?: string;
  /** How long the other side asks to wait. */
  readonly retryAfterS?: number;
}

/** A failure that a person can be told about. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.kind);
  }
}

const KIND_OF_STATUS: Readonly<Record<number, ProblemKind>> = {
  401: "token_refused",
  403: "not_allowed",
  404: "conversation_unknown",
  429: "backend_busy",
  502: "backend_away",
  503: "backend_busy",
  504: "backend_away",
};

/** Sort an HTTP answer that is not a success. Total: any status has a kind. */
export function problemOfStatus(
  status: number,
  detail: string | null,
  retryAfter: string | null,
): Problem {
  const seconds = Number.parseFloat(retryAfter ?? "");
  return {
    kind: KIND_OF_STATUS[status] ?? "backend_broken",
    status,
    ...(detail ? { detail } : {}),
    ...(Number.isFinite(seconds) && seconds >= 0 ? { retryAfterS: seconds } : {}),
  };
}
