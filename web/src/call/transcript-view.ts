/**
 * Draws the transcript: one list item per line, touched only when its line changed, so that a
 * screen reader hears each line once (it is `aria-busy` until its words are final) and a long
 * conversation stays quick.
 */

import { setText } from "../shared/page";
import type { Entry, Line, Transcript } from "./transcript";

interface Drawn {
  readonly item: HTMLLIElement;
  entry: Entry;
}

const NEAR_THE_END_PX = 80;

export class TranscriptView {
  private readonly drawn = new Map<string, Drawn>();
  private follows = true;

  constructor(
    private readonly list: HTMLOListElement,
    private readonly scroller: HTMLElement,
    private readonly hint: HTMLElement,
  ) {
    scroller.addEventListener("scroll", () => {
      this.follows = this.isAtEnd();
    });
    new ResizeObserver(() => this.follow()).observe(scroller);
  }

  draw(transcript: Transcript): void {
    const entries: readonly Entry[] = [...heading(transcript), ...transcript.live];
    const kept = new Set(entries.map((entry) => entry.id));
    for (const [id, { item }] of this.drawn) {
      if (!kept.has(id)) {
        item.remove();
        this.drawn.delete(id);
      }
    }
    const changed = entries.map((entry, place) => this.drawEntry(entry, place)).includes(true);
    this.hint.hidden = entries.length > 0;
    document.body.dataset["lines"] = entries.length > 0 ? "yes" : "no";
    if (changed) {
      this.follow();
    }
  }

  /** Keep the newest words in sight, unless the person scrolled up to read. */
  private follow(): void {
    if (this.follows) {
      this.scroller.scrollTop = this.scroller.scrollHeight;
    }
  }

  private drawEntry(entry: Entry, place: number): boolean {
    const drawn = this.drawn.get(entry.id);
    if (drawn?.entry === entry) {
      return false;
    }
    const item = drawn?.item ?? document.createElement("li");
    fill(item, entry);
    this.drawn.set(entry.id, { item, entry });
    if (this.list.children[place] !== item) {
      this.list.insertBefore(item, this.list.children[place] ?? null);
    }
    return true;
  }

  private isAtEnd(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_THE_END_PX;
  }
}

/** History, and below it a divider that says so. */
function heading(transcript: Transcript): readonly Entry[] {
  return transcript.history.length === 0
    ? []
    : [...transcript.history, { id: "history-end", side: "divider", text: "Earlier" }];
}

function fill(item: HTMLLIElement, entry: Entry): void {
  item.dataset["side"] = entry.side;
  if (entry.side === "divider") {
    item.className = "divider";
    setText(item, entry.text);
    return;
  }
  item.className = "line";
  item.dataset["testid"] = "line";
  item.dataset["final"] = String(entry.final);
  item.dataset["delivery"] = entry.delivery;
  item.setAttribute("aria-busy", String(!entry.final));
  const [speaker, words, note] = parts(item);
  setText(speaker, speakerOf(entry));
  setText(words, entry.text);
  setText(note, noteOf(entry));
  note.hidden = note.textContent === "";
}

function parts(item: HTMLLIElement): readonly [HTMLElement, HTMLElement, HTMLElement] {
  if (item.children.length === 0) {
    item.append(part("span", "speaker"), part("p", "words"), part("span", "note"));
  }
  return [...item.children] as unknown as readonly [HTMLElement, HTMLElement, HTMLElement];
}

function part(tag: "span" | "p", className: string): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  return made;
}

function speakerOf(line: Line): string {
  return { me: "You", agent: "Agent", other: line.name ?? "Guest" }[line.side];
}

function noteOf(line: Line): string {
  if (line.delivery === "waiting") {
    return "will be sent when the agent can read it";
  }
  if (line.delivery === "failed") {
    return "not sent";
  }
  return line.interrupted ? "interrupted" : "";
}
