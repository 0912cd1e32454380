/** The search field and what it found. */

import { ProblemError } from "../shared/problem";
import { element, setText } from "../shared/page";
import { text } from "../shared/json";
import { speakerOf } from "./describe";
import { DATE_AND_TIME, make, timeElement } from "./dom";
import { problemWords } from "./problems";
import type { StoredEvent } from "./stored";

export interface Wishes {
  /** Null: this backend cannot search. */
  readonly search: (
    words: string,
    signal: AbortSignal,
  ) => Promise<readonly StoredEvent[] | null>;
  readonly show: (messageId: string) => Promise<boolean>;
}

export class SearchForm {
  private readonly words = element<HTMLInputElement>("search-words");
  private readonly results = element("search-results");
  private readonly said = element("search-said");
  private readonly hits = element("hits");
  private asked = new AbortController();

  constructor(private readonly wishes: Wishes) {
    element<HTMLFormElement>("search").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.search(this.words.value.trim());
    });
    this.words.addEventListener("input", () => {
      if (this.words.value === "") {
        void this.search("");
      }
    });
  }

  private async search(words: string): Promise<void> {
    this.asked.abort();
    this.asked = new AbortController();
    const { signal } = this.asked;
    this.results.hidden = words === "";
    this.hits.replaceChildren();
    if (words === "") {
      return;
    }
    setText(this.said, "Searching…");
    try {
      this.draw(await this.wishes.search(words, signal));
    } catch (error) {
      if (!signal.aborted) {
        this.fail(error);
      }
    }
  }

  private draw(found: readonly StoredEvent[] | null): void {
    if (found === null) {
      setText(this.said, "Search is not available on this server.");
      return;
    }
    const count = `${found.length} message${found.length === 1 ? "" : "s"}, best first`;
    setText(this.said, found.length === 0 ? "Nothing was found." : count);
    this.hits.replaceChildren(...found.map((message) => this.hit(message)));
  }

  private hit(message: StoredEvent): HTMLElement {
    const button = make(
      "button",
      { class: "hit", testid: "hit" },
      make("span", { class: "speaker", text: speakerOf(message.all) }),
      timeElement(message.at, DATE_AND_TIME),
      make("span", { class: "hit-words", text: text(message.all, "text") }),
    );
    button.type = "button";
    button.addEventListener("click", () => void this.open(message.id));
    return make("li", {}, button);
  }

  private async open(messageId: string): Promise<void> {
    try {
      if (!(await this.wishes.show(messageId))) {
        setText(this.said, "That message is no longer in the transcript.");
      }
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    if (!(error instanceof ProblemError)) {
      throw error;
    }
    const { headline, detail } = problemWords(error.problem);
    setText(this.said, `${headline}. ${detail}`);
  }
}
