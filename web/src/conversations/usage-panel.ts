/** What the conversation's models used up: one line, and behind it every model and call. */

import { element, setText } from "../shared/page";
import { ProblemError } from "../shared/problem";
import { DATE_AND_TIME, make, timeElement } from "./dom";
import type { CallUsage, Usage, Used } from "./usage";
import { amounts, inShort, serviceOf } from "./usage";

/** Null: this backend does not say. */
export type AskUsage = (after: string | null, signal: AbortSignal) => Promise<Usage | null>;

export class UsagePanel {
  private readonly more = element("older-usage");
  private asked = new AbortController();
  private shown = "";
  private next: string | null = null;

  constructor(private readonly ask: AskUsage) {
    this.more.addEventListener("click", () => void this.showOlder());
  }

  /** Ask again if something may have been used since; `key` says what was stored. */
  async follow(key: string): Promise<void> {
    if (key === this.shown) {
      return;
    }
    this.shown = key;
    this.asked.abort();
    this.asked = new AbortController();
    const usage = await this.page(null);
    if (usage !== null) {
      element("usage").hidden = usage.items.length === 0;
      setText(element("usage-said"), inShort(usage.items));
      element("usage-all").replaceChildren(...usage.items.map(row));
      element("usage-calls").replaceChildren(...usage.calls.map(call));
      this.offer(usage.next);
    }
  }

  private async showOlder(): Promise<void> {
    const usage = await this.page(this.next);
    if (usage !== null) {
      element("usage-calls").append(...usage.calls.map(call));
      this.offer(usage.next);
    }
  }

  /** What cannot be had is not shown: the page is about what was said. */
  private async page(after: string | null): Promise<Usage | null> {
    const { signal } = this.asked;
    try {
      const usage = await this.ask(after, signal);
      return signal.aborted ? null : usage;
    } catch (error) {
      if (!signal.aborted && !(error instanceof ProblemError)) {
        throw error;
      }
      this.shown = signal.aborted ? this.shown : "";
      return null;
    }
  }

  private offer(next: string | null): void {
    this.next = next;
    this.more.hidden = next === null;
  }
}

function row(used: Used): HTMLElement {
  const who = make("span", { class: "soft", text: `${used.provider} ${used.model}` });
  return make(
    "li",
    { testid: "used" },
    make("span", { class: "used-by", text: serviceOf(used) }),
    who,
    make("span", { class: "used", text: amounts(used).join(" · ") }),
  );
}

function call(usage: CallUsage): HTMLElement {
  const head = make("p", { class: "soft", text: usage.room === "" ? "Call of " : `Room ${usage.room}, ` });
  head.append(timeElement(usage.startedAt, DATE_AND_TIME));
  const items = make("ul", { class: "usage-list" }, ...usage.items.map(row));
  return make("li", { testid: "call-usage" }, head, items);
}
