/** The conversations page's composition: the only module that touches the window when loaded. */

import { Api } from "../shared/api";
import { adoptLink } from "../shared/credentials";
import { PROBLEMS } from "../shared/problem-words";
import { TabMemory, tabStorage } from "../shared/storage";
import { ConversationsApi } from "./api";
import type { Conversation } from "./api";
import { Desk } from "./desk";
import type { State } from "./desk";
import { GROUPS, speakerOf, words } from "./events";
import type { Group, Log, LogEvent } from "./events";
import { LogView, node } from "./log-view";

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const LINKS = { connecting: "connecting…", live: "live", away: "no connection, trying again" };

const memory = new TabMemory(tabStorage());
adoptLink(memory);

const list = element("conversations");
const more = element<HTMLButtonElement>("more");
const older = element<HTMLButtonElement>("older");
const sessions = element<HTMLSelectElement>("session");
const query = element<HTMLInputElement>("query");
const found = element("found");
const logView = new LogView(element<HTMLOListElement>("log"), element("log-scroller"));
const api = new Api(new URL(document.baseURI), () => memory.read("token"));
const leaving = new AbortController();
const desk = new Desk(
  new ConversationsApi(api),
  { draw, turn: () => logView.clear() },
  leaving.signal,
);
const boxes = GROUPS.map((group) => ({ group, box: element<HTMLInputElement>(`show-${group}`) }));

function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) {
    throw new Error(`conversations.html has no element #${id}`);
  }
  return found as T;
}

function draw(state: State, log: Log): void {
  const { opened, problem } = state;
  document.body.dataset["opened"] = opened === null ? "no" : "yes";
  drawList(state);
  const notice = element("notice");
  notice.hidden = problem === null;
  if (problem !== null) {
    const { headline, remedy } = PROBLEMS[problem.kind];
    notice.textContent = `${headline}. ${remedy}`;
  }
  if (opened === null) {
    return;
  }
  element("title").textContent = opened.key;
  element("link").textContent = LINKS[state.link];
  element("link").dataset["link"] = state.link;
  element("agent").textContent = opened.isLive ? `agent ${state.agent || "present"}` : "no agent";
  element("facts").textContent = facts(opened);
  for (const { group, box } of boxes) {
    box.checked = state.filter.groups.has(group);
  }
  drawSessions(log, state.filter.session);
  drawFound(state.found);
  const shown = logView.draw(log.all, state.filter);
  older.hidden = (log.first ?? 1) <= 1;
  const empty = element("empty");
  empty.hidden = shown > 0;
  empty.textContent = log.all.length > 0 ? "Nothing passes the filter." : "Nothing was said yet.";
}

function facts(opened: Conversation): string {
  const parts = [
    `session ${opened.session}`,
    `version ${opened.version}`,
    `${opened.lastPosition} events`,
    `begun ${DATE.format(opened.createdAt)}`,
  ];
  if (opened.missing > 0) {
    parts.push(`${opened.missing} gaps`);
  }
  return parts.join(" · ");
}

function drawList(state: State): void {
  const drawn = new Map([...list.children].map((row) => [(row as HTMLElement).dataset["id"], row]));
  state.conversations.forEach((conversation, place) => {
    const row = (drawn.get(conversation.id) as HTMLElement | undefined) ?? rowOf(conversation);
    drawn.delete(conversation.id);
    row.dataset["live"] = conversation.isLive ? "yes" : "no";
    const button = row.firstElementChild as HTMLElement;
    button.toggleAttribute("aria-current", conversation.id === state.opened?.id);
    setText(row.querySelector(".when"), DATE.format(conversation.updatedAt));
    setText(row.querySelector(".count"), `${conversation.lastPosition} events`);
    if (list.children[place] !== row) {
      list.insertBefore(row, list.children[place] ?? null);
    }
  });
  drawn.forEach((row) => row.remove());
  more.hidden = state.more === null;
  element("no-conversations").hidden = state.conversations.length > 0 || state.problem !== null;
}

function rowOf(conversation: Conversation): HTMLElement {
  const row = node("li", "row");
  row.dataset["id"] = conversation.id;
  row.dataset["testid"] = "conversation";
  const button = node("button", "open");
  button.setAttribute("type", "button");
  button.append(
    node("span", "key", conversation.key),
    node("span", "when"),
    node("span", "count"),
    node("span", "live", "live"),
  );
  button.addEventListener("click", () => open(conversation.id));
  row.append(button);
  return row;
}

function drawSessions(log: Log, chosen: number | null): void {
  const values = ["", ...log.sessions.map(String)];
  if (values.join() !== [...sessions.options].map((option) => option.value).join()) {
    sessions.replaceChildren(
      ...values.map((value) => new Option(value === "" ? "All sessions" : `Session ${value}`, value)),
    );
  }
  sessions.value = chosen === null ? "" : String(chosen);
}

let drawnFound: readonly LogEvent[] | null = null;

function drawFound(hits: readonly LogEvent[] | null): void {
  if (hits === drawnFound) {
    return;
  }
  drawnFound = hits;
  found.hidden = hits === null;
  found.replaceChildren(...(hits ?? []).map(hitOf));
  if (hits?.length === 0) {
    found.append(node("li", "none", "Nothing was found. Every word has to be in the message."));
  }
}

function hitOf(event: LogEvent): HTMLElement {
  const item = node("li", "hit");
  item.dataset["testid"] = "hit";
  const button = node("button", "open");
  button.setAttribute("type", "button");
  button.append(node("span", "who", speakerOf(event)), node("span", "said", words(event.fields["text"])));
  button.addEventListener("click", () => void bring(event));
  item.append(button);
  return item;
}

async function bring(event: LogEvent): Promise<void> {
  await desk.bring(event);
  requestAnimationFrame(() => logView.point(event.id));
}

function setText(element: Element | null, text: string): void {
  if (element !== null && element.textContent !== text) {
    element.textContent = text;
  }
}

function open(id: string): void {
  const address = new URL(window.location.href);
  address.searchParams.set("id", id);
  window.history.replaceState(null, "", address);
  query.value = "";
  void desk.open(id);
}

for (const { box } of boxes) {
  box.addEventListener("change", () => {
    const groups = boxes.filter(({ box }) => box.checked).map(({ group }) => group);
    desk.filter({ groups: new Set<Group>(groups) });
  });
}
sessions.addEventListener("change", () =>
  desk.filter({ session: sessions.value === "" ? null : Number(sessions.value) }),
);
element<HTMLFormElement>("search").addEventListener("submit", (event) => {
  event.preventDefault();
  void desk.search(query.value);
});
query.addEventListener("input", () => {
  if (query.value === "") {
    void desk.search("");
  }
});
more.addEventListener("click", () => void desk.listMore());
older.addEventListener("click", () => void desk.older());
element("back").addEventListener("click", () => desk.close());
window.addEventListener("hashchange", () => {
  if (adoptLink(memory)) {
    void desk.refresh();
  }
});
window.addEventListener("pagehide", (event) => {
  if (!event.persisted) {
    leaving.abort();
  }
});
void desk.start(new URLSearchParams(window.location.search).get("id"));
