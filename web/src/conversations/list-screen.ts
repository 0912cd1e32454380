/** The list of conversations: newest first, a page at a time, its beginning kept fresh. */

import { ProblemError } from "../shared/problem";
import type { Problem } from "../shared/problem";
import { element, setText } from "../shared/page";
import { DATE_AND_TIME, KeyedList, make, timeElement } from "./dom";
import type { Conversations, LogApi } from "./log-api";
import type { Conversation } from "./stored";

const PAGE = 50;
const REFRESH_MS = 5_000;

export class ListScreen {
  private readonly list = new KeyedList(element("conversations"));
  private readonly more = element<HTMLButtonElement>("more-conversations");
  private readonly hint = element("list-hint");
  private items: readonly Conversation[] = [];
  private next: string | null = null;

  constructor(
    private readonly api: LogApi,
    private readonly wait: (ms: number, signal: AbortSignal) => Promise<void>,
    private readonly tell: (problem: Problem | null) => void,
  ) {
    this.more.addEventListener("click", () => void this.showMore());
  }

  /** Show the list and keep its beginning fresh until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    element("list-screen").hidden = false;
    setText(this.hint, "Loading…");
    while (!signal.aborted && (await this.refresh(signal))) {
      await this.wait(REFRESH_MS, signal);
    }
  }

  /** False: this page may not read, so asking again makes no sense. */
  private async refresh(signal: AbortSignal): Promise<boolean> {
    if (document.hidden) {
      return true;
    }
    try {
      this.take(await this.api.conversations(PAGE, null, signal));
      this.tell(null);
      return true;
    } catch (error) {
      return this.fail(error, signal);
    }
  }

  /** The newest page: what it shows replaces what was shown of it; what lies below stays. */
  private take(page: Conversations): void {
    const ids = new Set(page.items.map((each) => each.id));
    const meet = this.items.findIndex((each) => ids.has(each.id));
    const below = meet < 0 ? [] : this.items.slice(meet).filter((each) => !ids.has(each.id));
    this.items = [...page.items, ...below];
    this.next = below.length > 0 ? this.next : page.next;
    this.draw();
  }

  private async showMore(): Promise<void> {
    const { signal } = new AbortController();
    this.more.disabled = true;
    try {
      const page = await this.api.conversations(PAGE, this.next, signal);
      const ids = new Set(this.items.map((each) => each.id));
      this.items = [...this.items, ...page.items.filter((each) => !ids.has(each.id))];
      this.next = page.next;
      this.draw();
    } catch (error) {
      this.fail(error, signal);
    } finally {
      this.more.disabled = false;
    }
  }

  private fail(error: unknown, signal: AbortSignal): boolean {
    if (signal.aborted) {
      return false;
    }
    if (!(error instanceof ProblemError)) {
      throw error;
    }
    setText(this.hint, "");
    this.tell(error.problem);
    return error.problem.kind.startsWith("backend_");
  }

  private draw(): void {
    const empty = "None yet. A conversation appears here as soon as its first call begins.";
    setText(this.hint, this.items.length === 0 ? empty : "");
    this.more.hidden = this.next === null;
    this.list.draw(
      this.items.map((each) => ({
        id: each.id,
        shows: [each.updatedAt, each.leaseUntil !== null, each.turnCount, each.session],
        make: () => item(each),
      })),
    );
  }
}

function item(conversation: Conversation): HTMLElement {
  const key = make("span", {
    class: "conversation-key",
    text: conversation.key || conversation.id,
  });
  const link = make(
    "a",
    { class: "conversation-link" },
    key,
    make("span", { class: "soft counts", text: counts(conversation) }),
    make("span", { class: "soft when" }, timeElement(conversation.createdAt, DATE_AND_TIME)),
  );
  link.href = `?id=${encodeURIComponent(conversation.id)}`;
  if (conversation.leaseUntil !== null) {
    key.append(" ", make("span", { class: "chip live", testid: "running", text: "Live" }));
  }
  const made = make("li", { testid: "conversation" }, link);
  made.dataset["id"] = conversation.id;
  return made;
}

/** How long it is, in words. */
export function counts(conversation: Conversation): string {
  const sessions = conversation.session + 1;
  const turns = `${conversation.turnCount || "0"} turn${conversation.turnCount === "1" ? "" : "s"}`;
  return sessions === 1 ? turns : `${turns} · ${sessions} sessions`;
}
