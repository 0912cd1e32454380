/** What the page does: lists conversations, opens one, follows it, filters and searches it. */

import { follow } from "../shared/event-stream";
import type { Link, StreamEvent } from "../shared/event-stream";
import { ProblemError } from "../shared/problem";
import type { Problem } from "../shared/problem";
import type { Conversation, ConversationsApi } from "./api";
import { GROUPS, Log, readEvent, words } from "./events";
import type { Filter, Group, LogEvent } from "./events";

/** How many events are shown at first; older ones come in steps of as many. */
export const STEP = 300;
const REFRESH_MS = 5_000;

export interface State {
  readonly conversations: readonly Conversation[];
  readonly more: string | null;
  readonly opened: Conversation | null;
  readonly link: Link;
  readonly agent: string;
  readonly filter: Filter;
  readonly found: readonly LogEvent[] | null;
  readonly problem: Problem | null;
}

export interface Screen {
  draw(state: State, log: Log): void;
  /** Another conversation: begin with an empty log. */
  turn(): void;
}

export class Desk {
  private log = new Log();
  private opening = new AbortController();
  private state: State = {
    conversations: [],
    more: null,
    opened: null,
    link: "connecting",
    agent: "",
    filter: { groups: new Set<Group>(GROUPS), session: null },
    found: null,
    problem: null,
  };

  constructor(
    private readonly api: ConversationsApi,
    private readonly screen: Screen,
    private readonly signal: AbortSignal,
  ) {}

  /** List conversations now and every few seconds; open `id` if the address names one. */
  async start(id: string | null): Promise<void> {
    await this.refresh();
    const timer = setInterval(() => void this.refresh(), REFRESH_MS);
    this.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    if (id !== null) {
      await this.open(id);
    }
  }

  async refresh(): Promise<void> {
    await this.told(async () => {
      const page = await this.api.list(null, this.signal);
      const newest = new Set(page.items.map(({ id }) => id));
      const older = this.state.conversations.filter(({ id }) => !newest.has(id));
      const listed = this.state.conversations.length > page.items.length;
      const id = this.state.opened?.id;
      const opened = id ? await this.api.one(id, this.signal) : null;
      this.change({
        conversations: listed ? [...page.items, ...older] : page.items,
        more: listed ? this.state.more : page.next,
        problem: null,
        ...(this.state.opened?.id === id ? { opened } : {}),
      });
    });
  }

  async listMore(): Promise<void> {
    await this.told(async () => {
      const page = await this.api.list(this.state.more, this.signal);
      this.change({
        conversations: [...this.state.conversations, ...page.items],
        more: page.next,
      });
    });
  }

  /** Show a conversation: its newest events, then everything as it comes. */
  async open(id: string): Promise<void> {
    this.opening.abort();
    const opening = (this.opening = new AbortController());
    const signal = AbortSignal.any([this.signal, opening.signal]);
    await this.told(async () => {
      const opened = await this.api.one(id, signal);
      this.log = new Log();
      this.screen.turn();
      this.change({
        opened,
        found: null,
        agent: "",
        link: "connecting",
        filter: { ...this.state.filter, session: null },
        problem: null,
      });
      const after = Math.max(0, opened.lastPosition - STEP);
      void follow(
        after,
        {
          open: (cursor, stop) => this.api.stream(id, cursor, stop),
          show: (event) => this.show(event),
          link: (link) => this.change({ link }),
          failed: (error) => this.failed(error),
        },
        signal,
      );
    });
  }

  /** Back to the list. */
  close(): void {
    this.opening.abort();
    this.change({ opened: null, found: null });
  }

  /** Read the events before those on the page. */
  async older(): Promise<void> {
    const { opened } = this.state;
    const first = this.log.first;
    if (opened === null || first === null || first <= 1) {
      return;
    }
    await this.told(async () => {
      const after = Math.max(0, first - 1 - STEP);
      const events = await this.api.events(opened.id, after, first - 1 - after || 1, this.signal);
      if (this.state.opened?.id === opened.id && this.log.add(events)) {
        this.change({});
      }
    });
  }

  filter(filter: Partial<Filter>): void {
    this.change({ filter: { ...this.state.filter, ...filter } });
  }

  async search(query: string): Promise<void> {
    const { opened } = this.state;
    if (opened === null || query.trim() === "") {
      this.change({ found: null });
      return;
    }
    await this.told(async () => {
      const found = await this.api.search(opened.id, query, this.signal);
      if (this.state.opened?.id === opened.id) {
        this.change({ found });
      }
    });
  }

  /** Make sure that a found event is on the page. */
  async bring(event: LogEvent): Promise<void> {
    while ((this.log.first ?? 0) > (event.position ?? 0)) {
      const before = this.log.first;
      await this.older();
      if (this.log.first === before) {
        return;
      }
    }
    this.change({ filter: { groups: new Set<Group>(GROUPS), session: null } });
  }

  private show(sent: StreamEvent): void {
    const event = readEvent(JSON.parse(sent.data));
    if (event === null) {
      return;
    }
    if (event.kind === "agent_state") {
      this.change({ agent: words(event.fields["state"]) });
    }
    if (this.log.add([event])) {
      this.drawSoon();
    }
  }

  private failed(error: unknown): boolean {
    if (!(error instanceof ProblemError)) {
      return true; // the connection broke: it is made again
    }
    const { kind } = error.problem;
    const passes = kind === "backend_away" || kind === "backend_busy" || kind === "backend_broken";
    if (!passes) {
      this.change({ problem: error.problem });
    }
    return passes;
  }

  private async told(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (error instanceof ProblemError) {
        this.change({ problem: error.problem });
      } else if (!(error instanceof DOMException && error.name === "AbortError")) {
        throw error;
      }
    }
  }

  private change(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
    this.drawSoon();
  }

  private drawing = false;

  /** Many events that come at once are one drawing. */
  private drawSoon(): void {
    if (!this.drawing) {
      this.drawing = true;
      queueMicrotask(() => {
        this.drawing = false;
        this.screen.draw(this.state, this.log);
      });
    }
  }
}
