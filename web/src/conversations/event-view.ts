/** Draws the log: one row an event, all of it behind a press. */

import { element, setText } from "../shared/page";
import type { ConversationState } from "./conversation-desk";
import { describeEvent } from "./describe";
import { EXACT_TIME, KeyedList, Scroller, make, timeElement } from "./dom";
import type { Row } from "./dom";
import type { StoredEvent } from "./stored";

export class EventView {
  private readonly list = new KeyedList(element("events"));
  private readonly scroller = new Scroller(element("events-scroller"));
  private readonly older = element<HTMLButtonElement>("older-events");
  private readonly hint = element("events-hint");
  private readonly count = element("events-count");
  private firstId: string | undefined;

  draw(state: ConversationState): void {
    const { events, low } = state.log;
    const first = events[0]?.id;
    this.scroller.around(() => this.list.draw(rows(events)), { older: first !== this.firstId });
    this.firstId = first;
    this.older.hidden = low === 0 || state.isLoadingEvents;
    this.hint.hidden = events.length > 0;
    setText(this.hint, state.isLoadingEvents ? "Loading…" : "No events match.");
    setText(this.count, events.length === 0 ? "" : `${events.length}${low > 0 ? "+" : ""}`);
  }
}

function rows(events: readonly StoredEvent[]): readonly Row[] {
  return events.map((event) => ({ id: event.id, shows: [event], make: () => rowElement(event) }));
}

function rowElement(event: StoredEvent): HTMLElement {
  const { label, summary, tone } = describeEvent(event);
  const head = make(
    "summary",
    {},
    make("span", { class: "kind", text: label }),
    make("span", { class: "said", text: summary }),
    timeElement(event.at, EXACT_TIME),
  );
  const details = make("details", {}, head);
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) {
      details.append(make("pre", { text: JSON.stringify(event.all, null, 2) }));
    }
  });
  const item = make("li", { class: "event", testid: "event" }, details);
  item.dataset["kind"] = event.kind;
  item.dataset["tone"] = tone;
  item.dataset["session"] = String(event.session);
  return item;
}
