/** One conversation on the screen: what it is, what was said, what happened. */

import { element, setText } from "../shared/page";
import type { Problem } from "../shared/problem";
import { ConversationDesk } from "./conversation-desk";
import type { ConversationState } from "./conversation-desk";
import { DATE_AND_TIME, timeElement } from "./dom";
import { EventView } from "./event-view";
import { FilterForm } from "./filter-form";
import type { Link } from "./follow";
import { counts } from "./list-screen";
import type { LogApi } from "./log-api";
import { SearchForm } from "./search-form";
import type { Conversation } from "./stored";
import { TranscriptView } from "./transcript-view";
import { UsagePanel } from "./usage-panel";

const LINKS: Readonly<Record<Link, string>> = {
  connecting: "Connecting…",
  live: "Live",
  waiting: "Reconnecting…",
  ended: "Not live",
};

export interface Surroundings {
  readonly api: LogApi;
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly tell: (problem: Problem | null) => void;
}

export class ConversationScreen {
  private readonly transcript = new TranscriptView();
  private readonly events = new EventView();
  private readonly desk: ConversationDesk;
  private readonly filters: FilterForm;
  private readonly usage: UsagePanel;
  private state: ConversationState | null = null;
  private drawing = false;
  private shownFacts = "";

  constructor(
    id: string,
    private readonly around: Surroundings,
    signal: AbortSignal,
  ) {
    const { api, wait } = around;
    this.desk = new ConversationDesk(id, { api, wait, changed: (state) => this.draw(state) }, signal);
    this.filters = new FilterForm((filter) => void this.desk.choose(filter));
    this.usage = new UsagePanel((after, asked) =>
      api.usage(id, after, AbortSignal.any([signal, asked])),
    );
    new SearchForm({
      search: (words, asked) => this.desk.search(words, asked),
      show: (messageId) => this.show(messageId),
    });
    this.listen();
  }

  async run(): Promise<void> {
    element("conversation-screen").hidden = false;
    await this.desk.run();
  }

  private listen(): void {
    element("older-messages").addEventListener("click", () => void this.desk.showOlderMessages());
    element("older-events").addEventListener("click", () => void this.desk.showOlderEvents());
    for (const view of ["transcript", "events"]) {
      element(`view-${view}`).addEventListener("click", () => choose(view));
    }
  }

  private async show(messageId: string): Promise<boolean> {
    const there = await this.desk.reach(messageId);
    if (there) {
      choose("transcript");
      this.drawNow();
      this.transcript.show(messageId);
    }
    return there;
  }

  /** A burst of events is drawn once. */
  private draw(state: ConversationState): void {
    this.state = state;
    if (!this.drawing) {
      this.drawing = true;
      requestAnimationFrame(() => this.drawNow());
    }
  }

  private drawNow(): void {
    this.drawing = false;
    const { state } = this;
    if (state === null) {
      return;
    }
    this.drawAbout(state);
    this.transcript.draw(state);
    this.events.draw(state);
    this.around.tell(state.problem);
  }

  private drawAbout(state: ConversationState): void {
    document.body.dataset["link"] = state.link;
    setText(element("link-state"), LINKS[state.link]);
    const activity = element("activity");
    activity.hidden = state.activity === null;
    setText(activity, state.activity ?? "");
    if (state.conversation !== null) {
      this.drawFacts(state.conversation);
      this.filters.offer(state.conversation.session);
    }
  }

  private drawFacts(conversation: Conversation): void {
    const key = JSON.stringify(conversation);
    if (key === this.shownFacts) {
      return;
    }
    this.shownFacts = key;
    const name = conversation.key || conversation.id;
    setText(element("title"), name);
    document.title = `${name} · Throughline`;
    const running = conversation.leaseUntil === null ? "no call" : "a call is running";
    const words = `${counts(conversation)} · ${running} · began `;
    element("facts").replaceChildren(words, timeElement(conversation.createdAt, DATE_AND_TIME));
    const missing = conversation.missing.reduce((sum, gap) => sum + gap.count, 0);
    element("missing").hidden = missing === 0;
    // reports come with the ends of turns and calls
    void this.usage.follow(`${conversation.turnCount} ${running}`);
    setText(
      element("missing"),
      `${missing} event${missing === 1 ? " has" : "s have"} not arrived yet; they are on their way from the worker.`,
    );
  }
}

/** On a narrow screen one of the two is shown. */
function choose(view: string): void {
  document.body.dataset["view"] = view;
  for (const each of ["transcript", "events"]) {
    element(`view-${each}`).setAttribute("aria-pressed", String(each === view));
  }
}
