/**
 * Server-sent events out of a stream of text. EventSource would do this, but it cannot send an
 * Authorization header. Pure: text in, whole events out; a piece may end anywhere.
 */

export interface ServerSent {
  /** The last id the stream gave with this event; null where it gave none: not a place to return to. */
  readonly id: string | null;
  readonly name: string;
  readonly data: string;
}

export class SseParser {
  private rest = "";
  private afterReturn = false;
  private id: string | null = null;
  private name = "";
  private data: string[] = [];

  /** Take the next piece of the stream; give the events that it completes. */
  feed(piece: string): readonly ServerSent[] {
    // A "\n" after a "\r" that ended the piece before belongs to that line's end.
    const fresh = this.afterReturn && piece.startsWith("\n") ? piece.slice(1) : piece;
    if (piece !== "") {
      this.afterReturn = piece.endsWith("\r");
    }
    const lines = (this.rest + fresh).split(/\r\n|\n|\r/);
    this.rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.take(line));
  }

  private take(line: string): readonly ServerSent[] {
    if (line === "") {
      return this.finish();
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "id") {
      this.id = value;
    } else if (field === "event") {
      this.name = value;
    } else if (field === "data") {
      this.data.push(value);
    }
    return []; // anything else, comments included, says nothing
  }

  private finish(): readonly ServerSent[] {
    const event = { id: this.id, name: this.name || "message", data: this.data.join("\n") };
    const whole = this.data.length > 0;
    this.id = null; // unlike EventSource: an event without an id must not borrow the one before
    this.name = "";
    this.data = [];
    return whole ? [event] : [];
  }
}
