/**
 * One conversation: its newest messages and events, then everything new as it is stored. Holds
 * the one current state; the view is told of each change.
 */

import { ProblemError } from "../shared/problem";
import type { Problem } from "../shared/problem";
import { activityOf, delays } from "./describe";
import { append, extend } from "./event-log";
import type { EventLog } from "./event-log";
import { EVERYTHING, passes } from "./filter";
import type { Filter } from "./filter";
import { Follower } from "./follow";
import type { Link } from "./follow";
import { readBack } from "./history";
import type { LogApi } from "./log-api";
import { merge, place, prepend, turnKey } from "./order";
import { fields } from "../shared/json";
import type { Conversation, StoredEvent } from "./stored";

const MESSAGES_AT_ONCE = 50;
const MOST_MESSAGES_AT_ONCE = 200; // the backend's own limit
const EVENTS_AT_ONCE = 200;
const HITS = 20;
const SETTLE_MS = 500; // a turn's events come together: ask once for all of them
const RETRY_MS = 3_000;
const LOOK_MS = 10_000; // a lease that runs out is no event

export interface ConversationState {
  readonly conversation: Conversation | null;
  readonly messages: readonly StoredEvent[];
  /** The `before` of older messages; null at the beginning. */
  readonly olderMessages: string | null;
  /** Answer delays, by `turnKey`. */
  readonly turnDelays: ReadonlyMap<string, string>;
  readonly log: EventLog;
  readonly filter: Filter;
  readonly isLoadingEvents: boolean;
  readonly link: Link;
  readonly problem: Problem | null;
  /** What the agent does right now; null: not known, or nobody is there. */
  readonly activity: string | null;
}

export interface Surroundings {
  readonly api: LogApi;
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly changed: (state: ConversationState) => void;
}

export class ConversationDesk {
  private state: ConversationState = {
    conversation: null,
    messages: [],
    olderMessages: null,
    turnDelays: new Map(),
    log: { events: [], low: 0 },
    filter: EVERYTHING,
    isLoadingEvents: true,
    link: "connecting",
    problem: null,
    activity: null,
  };
  private readonly starts = new Map<string, number>();
  private seenPosition = 0;
  private isStale = { messages: false, conversation: false };
  private settling = false;
  private eventsAsked = new AbortController();

  constructor(
    private readonly id: string,
    private readonly around: Surroundings,
    private readonly signal: AbortSignal,
  ) {}

  /** Load the conversation's end and follow it from there, until the page goes. */
  async run(): Promise<void> {
    const conversation = await this.begin();
    if (conversation === null) {
      return;
    }
    this.seenPosition = conversation.lastPosition;
    this.change({ conversation, problem: null, log: { events: [], low: this.seenPosition } });
    const follower = new Follower(this.seenPosition, {
      open: (after, signal) => this.around.api.stream(this.id, after, signal),
      wait: this.around.wait,
      random: Math.random,
      heard: (events) => this.hear(events),
      changed: (link, problem) => this.linked(link, problem),
    });
    await Promise.all([
      follower.run(this.signal),
      this.attempt(() => this.refreshMessages(MESSAGES_AT_ONCE)),
      this.loadEvents(),
      this.lookAtTimes(),
    ]);
  }

  async showOlderMessages(): Promise<void> {
    await this.attempt(() => this.loadOlderMessages());
  }

  async showOlderEvents(): Promise<void> {
    await this.loadEvents();
  }

  async choose(filter: Filter): Promise<void> {
    this.change({ filter, log: { events: [], low: this.seenPosition } });
    await this.loadEvents();
  }

  /** Find messages; null where this backend cannot search. */
  async search(words: string, signal: AbortSignal): Promise<readonly StoredEvent[] | null> {
    return this.around.api.search(this.id, words, HITS, signal);
  }

  /** Load older messages until this one is among them; false: it is not there. */
  async reach(messageId: string): Promise<boolean> {
    const isHeld = (): boolean => this.state.messages.some((each) => each.id === messageId);
    while (!isHeld() && this.state.olderMessages !== null) {
      await this.loadOlderMessages();
    }
    return isHeld();
  }

  private async begin(): Promise<Conversation | null> {
    while (!this.signal.aborted) {
      try {
        return await this.around.api.conversation(this.id, this.signal);
      } catch (error) {
        const problem = this.tell(error);
        if (problem?.kind !== "backend_away" && problem?.kind !== "backend_busy") {
          return null;
        }
        await this.around.wait(RETRY_MS, this.signal);
      }
    }
    return null;
  }

  private hear(events: readonly StoredEvent[]): void {
    const kept = events.filter((event) => event.position !== null);
    this.seenPosition = kept.at(-1)?.position ?? this.seenPosition;
    this.note(kept);
    let { activity } = this.state;
    for (const event of events) {
      activity = event.kind === "call_ended" ? null : (activityOf(event) ?? activity);
    }
    const fresh = kept.filter((event) => passes(event, this.state.filter));
    this.change({
      activity,
      log: append(this.state.log, fresh),
      messages: this.withMessages(kept),
      conversation: grown(this.state.conversation, kept),
    });
    this.isStale.conversation ||= kept.length > 0;
    this.settle();
  }

  /** Remember what events say about the turns they belong to. */
  private note(events: readonly StoredEvent[]): void {
    const turnDelays = new Map(this.state.turnDelays);
    for (const event of events) {
      if (event.kind === "turn_started") {
        this.starts.set(turnKey(event), event.ordinal);
        this.isStale.messages ||= this.state.messages.some(
          (message) => message.turnId !== null && turnKey(message) === turnKey(event),
        );
      }
      const shown = event.kind === "turn_ended" ? delays(fields(event.all["delays"]))[0] : undefined;
      if (shown !== undefined) {
        turnDelays.set(turnKey(event), shown);
      }
    }
    if (turnDelays.size > this.state.turnDelays.size) {
      this.change({ turnDelays });
    }
  }

  private withMessages(events: readonly StoredEvent[]): readonly StoredEvent[] {
    let { messages } = this.state;
    for (const event of events.filter(({ kind }) => kind === "message")) {
      const placed = place(messages, event, this.starts);
      messages = placed.messages;
      this.isStale.messages ||= !placed.certain;
    }
    return messages;
  }

  /** Ask the backend again about what this page could only guess, once the burst is over. */
  private settle(): void {
    if (this.settling || !(this.isStale.messages || this.isStale.conversation)) {
      return;
    }
    this.settling = true;
    setTimeout(() => void this.refresh(), SETTLE_MS);
  }

  private async refresh(): Promise<void> {
    const stale = this.isStale;
    this.isStale = { messages: false, conversation: false };
    await this.attempt(async () => {
      if (stale.messages) {
        await this.refreshMessages(MOST_MESSAGES_AT_ONCE);
      }
      this.change({ conversation: await this.around.api.conversation(this.id, this.signal) });
    });
    this.settling = false;
    this.settle();
  }

  private async lookAtTimes(): Promise<void> {
    while (!this.signal.aborted && this.state.link !== "ended") {
      await this.around.wait(LOOK_MS, this.signal);
      if (this.state.link === "live" && !document.hidden) {
        this.isStale.conversation = true;
        this.settle();
      }
    }
  }

  private async refreshMessages(last: number): Promise<void> {
    const page = await this.around.api.messages(this.id, last, null, this.signal);
    const { messages, joined } = merge(this.state.messages, page.items, this.starts);
    const older = joined && this.state.messages.length > 0 ? this.state.olderMessages : page.next;
    const isFirst = messages[0]?.id === page.items[0]?.id;
    this.change({ messages, olderMessages: isFirst ? page.next : older });
  }

  private async loadOlderMessages(): Promise<void> {
    const before = this.state.olderMessages;
    if (before === null) {
      return;
    }
    const page = await this.around.api.messages(
      this.id,
      MOST_MESSAGES_AT_ONCE,
      before,
      this.signal,
    );
    this.change({ messages: prepend(this.state.messages, page.items), olderMessages: page.next });
  }

  private async loadEvents(): Promise<void> {
    this.eventsAsked.abort();
    this.eventsAsked = new AbortController();
    const signal = AbortSignal.any([this.signal, this.eventsAsked.signal]);
    const { filter, log } = this.state;
    this.change({ isLoadingEvents: true });
    try {
      const older = await readBack(
        (after, limit) => this.around.api.events(this.id, filter, { after, limit }, signal),
        log.low,
        EVENTS_AT_ONCE,
      );
      this.note(older.events);
      this.change({
        log: extend(this.state.log, older.events, older.low),
        isLoadingEvents: false,
      });
    } catch (error) {
      if (!signal.aborted) {
        this.tell(error);
        this.change({ isLoadingEvents: false });
      }
    }
    this.settle();
  }

  private linked(link: Link, problem: Problem | null): void {
    const activity = link === "live" ? this.state.activity : null; // it may be long out of date
    this.change({ link, problem, activity });
  }

  private async attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.tell(error);
    }
  }

  private tell(error: unknown): Problem | null {
    if (this.signal.aborted) {
      return null;
    }
    if (!(error instanceof ProblemError)) {
      throw error;
    }
    this.change({ problem: error.problem });
    return error.problem;
  }

  private change(changed: Partial<ConversationState>): void {
    this.state = { ...this.state, ...changed };
    this.around.changed(this.state);
  }
}

/** A clear shows at once, before the conversation is read again. */
function grown(
  conversation: Conversation | null,
  events: readonly StoredEvent[],
): Conversation | null {
  const session = Math.max(conversation?.session ?? 0, ...events.map((event) => event.session));
  return conversation === null || session === conversation.session
    ? conversation
    : { ...conversation, session };
}
