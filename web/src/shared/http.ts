/**
 * Requests with the page's token. Every failure comes out as a ProblemError; every request has a
 * deadline, because a backend that hangs must not leave a person looking at a spinner.
 */

import { fields, text } from "./json";
import type { Fields } from "./json";
import { ProblemError, problemOfStatus } from "./problem";

const DEADLINE_MS = 10_000;

interface Request {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly signal: AbortSignal;
  readonly body?: Fields;
}

export class Http {
  constructor(
    private readonly base: URL,
    private readonly token: () => string | null,
  ) {}

  async get(path: string, signal: AbortSignal): Promise<Fields> {
    return this.send({ method: "GET", path, signal });
  }

  async post(path: string, signal: AbortSignal, body?: Fields): Promise<Fields> {
    return this.send({ method: "POST", path, signal, ...(body ? { body } : {}) });
  }

  /** Open a stream of bytes; the deadline ends with the answer's head, the signal ends it all. */
  async open(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(LATE), DEADLINE_MS);
    try {
      const both = AbortSignal.any([signal, late.signal]);
      const response = await this.fetched({ method: "GET", path, signal }, both);
      if (!response.ok || response.body === null) {
        throw await refusal(response);
      }
      return response.body;
    } finally {
      clearTimeout(timer);
    }
  }

  private async send(request: Request): Promise<Fields> {
    const limited = AbortSignal.any([request.signal, AbortSignal.timeout(DEADLINE_MS)]);
    const response = await this.fetched(request, limited);
    if (!response.ok) {
      throw await refusal(response);
    }
    return readJson(response);
  }

  private async fetched(request: Request, limited: AbortSignal): Promise<Response> {
    const token = this.token();
    if (token === null) {
      throw new ProblemError({ kind: "token_missing" });
    }
    const { method, path, signal, body } = request;
    try {
      return await fetch(new URL(path, this.base), {
        method,
        headers: {
          Authorization: `Bearer ${token}`,
          ...(body ? { "Content-Type": "application/json" } : {}),
        },
        signal: limited,
        cache: "no-store",
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
    } catch (error) {
      signal.throwIfAborted(); // given up on purpose: not a problem to tell
      throw new ProblemError({ kind: "backend_away", detail: silence(error) });
    }
  }
}

const LATE = new DOMException("no answer", "TimeoutError");

async function refusal(response: Response): Promise<ProblemError> {
  const answer = await readJson(response);
  const detail = text(answer, "detail") || text(answer, "title");
  return new ProblemError(
    problemOfStatus(response.status, detail, response.headers.get("Retry-After")),
  );
}

function silence(error: unknown): string {
  const timedOut = error instanceof DOMException && error.name === "TimeoutError";
  return timedOut ? `no answer within ${DEADLINE_MS / 1000} seconds` : "no connection";
}

async function readJson(response: Response): Promise<Fields> {
  try {
    return fields(await response.json());
  } catch {
    return {}; // not JSON (a proxy's own page): the status says enough
  }
}
