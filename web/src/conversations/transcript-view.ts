/** Draws what was said: who, when, how, with a line across where a session begins. */

import { element, setText } from "../shared/page";
import { text } from "../shared/json";
import type { ConversationState } from "./conversation-desk";
import { speakerOf } from "./describe";
import { KeyedList, Scroller, TIME, make, timeElement } from "./dom";
import type { Row } from "./dom";
import { turnKey } from "./order";
import type { StoredEvent } from "./stored";

export class TranscriptView {
  private readonly list = new KeyedList(element("messages"));
  private readonly scroller = new Scroller(element("messages-scroller"));
  private readonly older = element("older-messages");
  private readonly hint = element("messages-hint");
  private firstId: string | undefined;

  draw(state: ConversationState): void {
    const first = state.messages[0]?.id;
    this.scroller.around(() => this.list.draw(rows(state)), { older: first !== this.firstId });
    this.firstId = first;
    this.older.hidden = state.olderMessages === null;
    this.hint.hidden = state.messages.length > 0;
    setText(this.hint, state.conversation === null ? "Loading…" : "Nothing was said yet.");
  }

  /** Bring a message into sight and point at it. */
  show(messageId: string): void {
    const found = this.list.elementFor(messageId);
    if (found === null) {
      return;
    }
    document.querySelector(".line[data-found]")?.removeAttribute("data-found");
    found.dataset["found"] = "";
    found.tabIndex = -1;
    found.focus({ preventScroll: true });
    found.scrollIntoView({ block: "center" });
  }
}

function rows(state: ConversationState): readonly Row[] {
  let session = 0;
  return state.messages.flatMap((message, place) => {
    const begins = message.session !== session && (place > 0 || message.session > 0);
    session = message.session;
    return begins ? [divider(session), line(message, state)] : [line(message, state)];
  });
}

function divider(session: number): Row {
  return {
    id: `session ${session}`,
    shows: [],
    make: () =>
      make("li", { class: "divider", testid: "session-divider", text: `Session ${session}` }),
  };
}

function line(message: StoredEvent, state: ConversationState): Row {
  const role = text(message.all, "role");
  const delay = role === "assistant" ? (state.turnDelays.get(turnKey(message)) ?? "") : "";
  const notes = [
    message.all["interrupted"] === true ? "interrupted" : "",
    message.all["modality"] === "text" && role === "user" ? "typed" : "",
    delay,
  ].filter((note) => note !== "");
  return {
    id: message.id,
    shows: [message, notes.join(" · ")],
    make: () => lineElement(message, role, notes.join(" · ")),
  };
}

function lineElement(message: StoredEvent, role: string, notes: string): HTMLElement {
  const head = make(
    "p",
    { class: "line-head" },
    make("span", { class: "speaker", text: speakerOf(message.all) }),
    timeElement(message.at, TIME),
  );
  const item = make(
    "li",
    { class: "line", testid: "message" },
    head,
    make("p", { class: "words", text: text(message.all, "text") || "(no words)" }),
  );
  if (notes !== "") {
    item.append(make("p", { class: "note", text: notes }));
  }
  item.dataset["role"] = role;
  item.dataset["interrupted"] = String(message.all["interrupted"] === true);
  return item;
}
