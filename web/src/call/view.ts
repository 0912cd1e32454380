/**
 * Draws the call page: everything that changes on it, from the state and the transcript alone.
 * Elements are made once, in index.html; here only text, attributes and `hidden` change.
 */

import { element, setText } from "../shared/page";
import { agentPresence } from "./call-state";
import type { CallState } from "./call-state";
import { describe } from "./words";
import type { Action, Button, Notice, Screen } from "./words";

export interface Wishes {
  readonly act: (action: Action) => void;
  readonly type: (text: string) => void;
}

export class CallView {
  private readonly body = document.body;
  private readonly headline = element("headline");
  private readonly detail = element("detail");
  private readonly notices = element("notices");
  private readonly start = element<HTMLButtonElement>("start");
  private readonly startTyping = element("start-typing");
  private readonly newConversation = element("new-conversation");
  private readonly microphone = element<HTMLButtonElement>("microphone");
  private readonly microphoneLabel = element("microphone-label");
  private readonly hangUp = element<HTMLButtonElement>("hang-up");
  private readonly recordLink = element<HTMLAnchorElement>("record-link");
  private readonly clock = element("clock");
  private readonly composer = element<HTMLFormElement>("composer");
  private readonly input = element<HTMLInputElement>("composer-input");
  private drawnNotices = "";
  private answeredAt: number | null = null;

  constructor(private readonly wishes: Wishes) {
    this.listen();
    setInterval(() => this.drawClock(), 1_000);
  }

  draw(state: CallState): void {
    const screen = describe(state);
    this.mark(state, screen);
    setText(this.headline, screen.headline);
    setText(this.detail, screen.detail);
    this.drawNotices(screen.notices);
    this.drawButtons(screen, state);
    this.keepFocus(screen);
    this.answeredAt = state.phase === "in_call" ? (this.answeredAt ?? performance.now()) : null;
    this.drawClock();
  }

  /** What styles and tests go by. */
  private mark(state: CallState, screen: Screen): void {
    this.body.dataset["phase"] = state.phase;
    this.body.dataset["mood"] = screen.mood;
    this.body.dataset["agent"] = state.phase === "in_call" ? agentPresence(state.agent) : "none";
    this.body.dataset["microphone"] = state.microphone;
    this.body.dataset["problem"] = state.problem?.kind ?? "";
    this.body.dataset["ended"] = state.endReason ?? "";
  }

  private drawNotices(notices: readonly Notice[]): void {
    const key = JSON.stringify(notices);
    if (key === this.drawnNotices) {
      return; // a notice that is already there is not announced again
    }
    this.drawnNotices = key;
    this.notices.replaceChildren(...notices.map((notice) => this.noticeElement(notice)));
  }

  private noticeElement(notice: Notice): HTMLElement {
    const box = document.createElement("div");
    box.className = "notice";
    box.dataset["testid"] = `notice-${notice.id}`;
    const text = document.createElement("p");
    text.textContent = notice.text;
    box.append(text);
    if (notice.button !== null) {
      box.append(this.noticeButton(notice.button));
    }
    return box;
  }

  private noticeButton({ action, label }: Button): HTMLElement {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button small";
    button.dataset["testid"] = `${action.replaceAll("_", "-")}-button`;
    button.textContent = label;
    button.addEventListener("click", () => this.wishes.act(action));
    return button;
  }

  private drawButtons(screen: Screen, state: CallState): void {
    this.start.hidden = screen.start === null;
    setText(element("start-label"), screen.start?.label ?? "");
    this.startTyping.hidden = !screen.offersTyping;
    this.newConversation.hidden = !screen.offersNewConversation;
    this.hangUp.hidden = !screen.canHangUp;
    setText(element("hang-up-label"), state.phase === "starting" ? "Cancel" : "Hang up");
    this.microphone.hidden = screen.microphone === null;
    this.microphone.dataset["action"] = screen.microphone?.action ?? "";
    setText(this.microphoneLabel, screen.microphone?.label ?? "");
    this.composer.hidden = !screen.canType;
    this.recordLink.hidden = state.conversationId === null;
    this.recordLink.href = `conversations.html?id=${encodeURIComponent(state.conversationId ?? "")}`;
  }

  /** The pressed button may just have gone: the focus goes to what took its place. */
  private keepFocus(screen: Screen): void {
    const focused = document.activeElement;
    const lost = focused === null || focused === this.body || focused.closest("[hidden]") !== null;
    if (!lost || this.body.dataset["touched"] === undefined) {
      return;
    }
    if (screen.start !== null) {
      this.start.focus({ preventScroll: true });
    } else if (screen.canHangUp) {
      this.hangUp.focus({ preventScroll: true });
    }
  }

  private drawClock(): void {
    const seconds =
      this.answeredAt === null ? 0 : Math.floor((performance.now() - this.answeredAt) / 1_000);
    const pad = (value: number): string => String(value).padStart(2, "0");
    this.clock.hidden = this.answeredAt === null;
    setText(this.clock, `${pad(Math.floor(seconds / 60))}:${pad(seconds % 60)}`);
  }

  private listen(): void {
    const on = (target: HTMLElement, action: () => Action): void => {
      target.addEventListener("click", () => {
        this.body.dataset["touched"] = "";
        this.wishes.act(action());
      });
    };
    on(this.start, () => "start");
    on(this.startTyping, () => "start_typing");
    on(this.newConversation, () => "new_conversation");
    on(this.hangUp, () => "hang_up");
    on(this.microphone, () =>
      this.microphone.dataset["action"] === "toggle_mute" ? "toggle_mute" : "ask_microphone",
    );
    this.composer.addEventListener("submit", (event) => {
      event.preventDefault();
      this.wishes.type(this.input.value);
      this.input.value = "";
    });
  }
}
