/** Draws events: one list item each, a divider where a session begins. */

import { delaysOf, groupOf, passes, speakerOf, summaryOf, words } from "./events";
import type { Filter, LogEvent } from "./events";

const NEAR_THE_END_PX = 80;
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export class LogView {
  private follows = true;
  private readonly items = new Map<string, HTMLElement>();

  constructor(
    private readonly list: HTMLOListElement,
    private readonly scroller: HTMLElement,
  ) {
    scroller.addEventListener("scroll", () => {
      const { scrollTop, scrollHeight, clientHeight } = scroller;
      this.follows = scrollHeight - scrollTop - clientHeight < NEAR_THE_END_PX;
    });
  }

  /** Begin anew, at the end. */
  clear(): void {
    this.items.clear();
    this.list.replaceChildren();
    this.follows = true;
  }

  /** Show the events that pass; those already drawn are kept as they are. */
  draw(events: readonly LogEvent[], filter: Filter): number {
    const fromEnd = this.scroller.scrollHeight - this.scroller.scrollTop;
    const shown = events.filter((event) => passes(event, filter));
    const wanted: HTMLElement[] = [];
    let session: number | null = null;
    for (const event of shown) {
      if (event.session !== session) {
        session = event.session;
        wanted.push(this.kept(`session ${session} ${event.id}`, () => divider(event.session)));
      }
      wanted.push(this.kept(event.id, () => item(event)));
    }
    sync(this.list, wanted);
    if (this.follows) {
      this.scroller.scrollTop = this.scroller.scrollHeight;
    } else if (wanted.length > 0) {
      this.scroller.scrollTop = Math.max(this.scroller.scrollTop, this.scroller.scrollHeight - fromEnd);
    }
    return shown.length;
  }

  /** Bring an event into sight and mark it; says whether it is there. */
  point(id: string): boolean {
    const found = this.items.get(id);
    if (!found?.isConnected) {
      return false;
    }
    this.follows = false;
    this.list.querySelector("[data-found]")?.removeAttribute("data-found");
    found.dataset["found"] = "yes";
    found.scrollIntoView({ block: "center" });
    return true;
  }

  private kept(key: string, make: () => HTMLElement): HTMLElement {
    const known = this.items.get(key);
    if (known) {
      return known;
    }
    const made = make();
    this.items.set(key, made);
    return made;
  }
}

/** Make the children of `parent` exactly `wanted`, moving as little as possible. */
function sync(parent: HTMLElement, wanted: readonly HTMLElement[]): void {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) {
    if (!keep.has(child as HTMLElement)) {
      child.remove();
    }
  }
  wanted.forEach((child, place) => {
    if (parent.children[place] !== child) {
      parent.insertBefore(child, parent.children[place] ?? null);
    }
  });
}

function divider(session: number): HTMLElement {
  const made = node("li", "session", `Session ${session}`);
  made.dataset["testid"] = "session";
  return made;
}

function item(event: LogEvent): HTMLElement {
  const made = node("li", `event ${groupOf(event.kind)}`);
  made.dataset["testid"] = "event";
  made.dataset["kind"] = event.kind;
  const time = node("time", "when", TIME.format(event.at));
  time.setAttribute("datetime", words(event.fields["at"]));
  const body = node("div", "what");
  made.append(time, body);
  if (event.kind === "message") {
    fillMessage(made, body, event);
  } else {
    fillOther(body, event);
  }
  return made;
}

function fillMessage(made: HTMLElement, body: HTMLElement, event: LogEvent): void {
  made.dataset["role"] = words(event.fields["role"]);
  const head = node("span", "who", speakerOf(event));
  body.append(head, node("p", "words", words(event.fields["text"])));
  if (event.fields["interrupted"] === true) {
    body.append(node("span", "mark", "interrupted"));
  }
  if (event.fields["modality"] === "text") {
    body.append(node("span", "mark", "typed"));
  }
}

function fillOther(body: HTMLElement, event: LogEvent): void {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.append(node("span", "kind", event.kind.replaceAll("_", " ")), node("span", "said", summaryOf(event)));
  for (const { name, seconds } of delaysOf(event)) {
    const delay = node("span", "delay", `${name} ${seconds.toFixed(2)} s`);
    delay.dataset["testid"] = "delay";
    summary.append(delay);
  }
  details.append(summary);
  details.addEventListener(
    "toggle",
    () => details.append(node("pre", "raw", JSON.stringify(event.fields, null, 2))),
    { once: true },
  );
  body.append(details);
}

export function node(tag: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
