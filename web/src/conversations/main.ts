/** The conversations page's composition: the list, or with `?id=` one conversation. */

import { adoptLink } from "../shared/credentials";
import { Http } from "../shared/http";
import { element, setText } from "../shared/page";
import type { Problem } from "../shared/problem";
import { TabMemory, tabStorage } from "../shared/storage";
import { ConversationScreen } from "./conversation-screen";
import { ListScreen } from "./list-screen";
import { LogApi } from "./log-api";
import { problemWords } from "./problems";

const memory = new TabMemory(tabStorage());
adoptLink(memory);
const api = new LogApi(new Http(new URL(document.baseURI), () => memory.read("token")));
const id = new URLSearchParams(window.location.search).get("id");
const { signal } = new AbortController(); // the page's end is the end of everything

function tell(problem: Problem | null): void {
  element("problem").hidden = problem === null;
  document.body.dataset["problem"] = problem?.kind ?? "";
  if (problem !== null) {
    const { headline, detail } = problemWords(problem);
    setText(element("problem-headline"), headline);
    setText(element("problem-detail"), detail);
  }
}

/** Wait; not any longer once the network is back or the person looks at the page again. */
function wait(ms: number, until: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = new AbortController();
    const end = (): void => {
      clearTimeout(timer);
      over.abort();
      resolve();
    };
    const timer = setTimeout(end, ms);
    window.addEventListener("online", end, { signal: over.signal });
    document.addEventListener("visibilitychange", end, { signal: over.signal });
    until.addEventListener("abort", end, { signal: over.signal });
  });
}

/** The call that runs in the tab this one was opened from; null: none. */
function runningCall(): Window | null {
  const opener = window.opener as Window | null;
  try {
    const phase = opener?.document.body.dataset["phase"];
    return phase === "starting" || phase === "in_call" ? opener : null;
  } catch {
    return null; // it has gone on to another site
  }
}

/** To the call: the one that runs in another tab, else a new one into this conversation. */
function toCall(event: Event): void {
  const call = runningCall();
  if (call !== null) {
    event.preventDefault();
    call.focus();
    window.close();
  } else if (id !== null) {
    memory.write("conversation_id", id);
  }
}

function begin(): void {
  document.body.dataset["screen"] = id === null ? "list" : "conversation";
  element("all-link").hidden = id === null;
  setText(element("call-link"), runningCall() === null ? "Call" : "Back to the call");
  element("call-link").addEventListener("click", toCall);
  void (id === null
    ? new ListScreen(api, wait, tell).run(signal)
    : new ConversationScreen(id, { api, wait, tell }, signal).run());
}

window.addEventListener("hashchange", () => {
  if (adoptLink(memory)) {
    window.location.reload(); // another token may see something else
  }
});
begin();
