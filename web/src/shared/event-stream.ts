/**
 * Server-sent events over fetch: the browser's own EventSource cannot send a token. The parser is
 * pure; `follow` reads, reconnects with the last position, and never shows an event twice.
 */

export interface StreamEvent {
  /** Empty for an event of the log; "reset" when the stream cannot go on from there. */
  readonly name: string;
  readonly id: number | null;
  readonly data: string;
}

/** Cuts a stream of text into events, wherever the network cut it. */
export class EventParser {
  private rest = "";

  feed(text: string): readonly StreamEvent[] {
    const blocks = (this.rest + text).split("\n\n");
    this.rest = blocks.pop() ?? "";
    return blocks.map(parseBlock).filter((event) => event !== null);
  }
}

function parseBlock(block: string): StreamEvent | null {
  let name = "";
  let id: number | null = null;
  let data = "";
  for (const line of block.split("\n")) {
    const colon = line.indexOf(": ");
    const value = line.slice(colon + 2);
    switch (line.slice(0, colon)) {
      case "event":
        name = value;
        break;
      case "id":
        id = Number(value);
        break;
      case "data":
        data = value;
        break;
    }
  }
  return data === "" ? null : { name, id, data };
}

export type Link = "connecting" | "live" | "away";

export interface Follower {
  /** Ask for the stream after a position; throws what the page can tell a person. */
  open(after: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
  /** An event of the log, or one that is only shown live (`id` null). */
  show(event: StreamEvent): void;
  link(link: Link): void;
  /** Whether an error is worth another try. */
  failed(error: unknown): boolean;
}

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;
/** The backend pings every 15 s: silence for longer is a connection that nobody has closed. */
const SILENCE_MS = 45_000;

/** Follow until `signal` aborts. */
export async function follow(after: number, to: Follower, signal: AbortSignal): Promise<void> {
  let cursor = after;
  let retryMs = FIRST_RETRY_MS;
  const seen = (event: StreamEvent): void => {
    if (event.id !== null) {
      cursor = event.id;
    }
    if (event.name === "") {
      to.show(event);
    }
    retryMs = FIRST_RETRY_MS;
  };
  while (!signal.aborted) {
    to.link("connecting");
    try {
      const body = await to.open(cursor, signal);
      to.link("live");
      await read(body, seen);
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      to.link("away");
      if (!to.failed(error)) {
        return;
      }
    }
    await pause(retryMs * (0.5 + Math.random() / 2), signal);
    retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
  }
}

async function read(
  body: ReadableStream<Uint8Array>,
  seen: (event: StreamEvent) => void,
): Promise<void> {
  const parser = new EventParser();
  const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), SILENCE_MS);
      if (done) {
        return;
      }
      parser.feed(value).forEach(seen);
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer = 0;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("silent")), ms) as unknown as number;
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
