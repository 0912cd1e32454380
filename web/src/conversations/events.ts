/** Events as the page thinks of them: pure, so that their tests need no browser. */

export type Fields = Readonly<Record<string, unknown>>;

export interface LogEvent {
  /** Where it stands in the log; null: it is only shown live. */
  readonly position: number | null;
  readonly id: string;
  readonly kind: string;
  readonly session: number;
  readonly at: Date;
  readonly fields: Fields;
}

/** What a reader chooses from; every kind belongs to exactly one group. */
export const GROUPS = ["messages", "tools", "turns", "people", "trouble", "rest"] as const;
export type Group = (typeof GROUPS)[number];

const GROUP_OF_KIND: Readonly<Record<string, Group>> = {
  message: "messages",
  tool_call: "tools",
  tool_result: "tools",
  turn_started: "turns",
  turn_ended: "turns",
  interruption: "turns",
  participant_joined: "people",
  participant_left: "people",
  user_action: "people",
  handoff: "people",
  call_ended: "people",
  context_cleared: "people",
  error: "trouble",
  lost: "trouble",
  reconnect: "trouble",
};

export function groupOf(kind: string): Group {
  return GROUP_OF_KIND[kind] ?? "rest";
}

/** Read an event as the API shows it; null for what is none. */
export function readEvent(value: unknown): LogEvent | null {
  const fields = asFields(value);
  const kind = words(fields["kind"]);
  const id = words(fields["event_id"]);
  if (kind === "" || id === "") {
    return null;
  }
  const position = fields["position"];
  const session = fields["session_number"];
  return {
    position: typeof position === "number" ? position : null,
    id,
    kind,
    session: typeof session === "number" ? session : 0,
    at: new Date(words(fields["at"])),
    fields,
  };
}

/** The events of one conversation that are on the page: each once, ascending by position. */
export class Log {
  private events: readonly LogEvent[] = [];

  get all(): readonly LogEvent[] {
    return this.events;
  }

  get first(): number | null {
    return this.events[0]?.position ?? null;
  }

  get sessions(): readonly number[] {
    return [...new Set(this.events.map((event) => event.session))].sort((a, b) => a - b);
  }

  /** Add events; those that are there already change nothing. Says whether any was new. */
  add(events: readonly LogEvent[]): boolean {
    const known = new Set(this.events.map((event) => event.position));
    const fresh = events.filter((event) => event.position !== null && !known.has(event.position));
    const last = this.events.at(-1)?.position ?? 0;
    const merged = [...this.events, ...fresh];
    const isAppended = fresh.every((event) => (event.position ?? 0) > last);
    this.events = isAppended ? merged : merged.sort((a, b) => (a.position ?? 0) - (b.position ?? 0));
    return fresh.length > 0;
  }
}

export interface Filter {
  readonly groups: ReadonlySet<Group>;
  readonly session: number | null;
}

export function passes(event: LogEvent, filter: Filter): boolean {
  const inSession = filter.session === null || event.session === filter.session;
  return inSession && filter.groups.has(groupOf(event.kind));
}

export interface Delay {
  readonly name: string;
  readonly seconds: number;
}

const DELAYS: readonly (readonly [string, string])[] = [
  ["transcription_s", "transcription"],
  ["end_of_turn_s", "end of turn"],
  ["llm_ttft_s", "first word"],
  ["tts_ttfb_s", "first sound"],
  ["e2e_s", "end to end"],
];

/** The delays of a turn that are known, in the order they happen. */
export function delaysOf(event: LogEvent): readonly Delay[] {
  const delays = asFields(event.fields["delays"]);
  return DELAYS.flatMap(([key, name]) => {
    const seconds = delays[key];
    return typeof seconds === "number" ? [{ name, seconds }] : [];
  });
}

/** Who said a message. */
export function speakerOf(event: LogEvent): string {
  const role = words(event.fields["role"]);
  if (role !== "user") {
    return role === "assistant" ? "Agent" : "System";
  }
  const speaker = asFields(event.fields["speaker"]);
  return words(speaker["name"]) || words(speaker["identity"]) || "Caller";
}

/** What an event that is no message says, in a few words. */
export function summaryOf(event: LogEvent): string {
  const { fields } = event;
  switch (event.kind) {
    case "tool_call":
      return `${words(fields["name"])}(${shorten(words(fields["arguments"]))})`;
    case "tool_result":
      return `${words(fields["name"])} → ${shorten(words(fields["output"]))}`;
    case "turn_started":
      return `turn of the ${words(fields["initiator"]) || "user"} began`;
    case "turn_ended":
      return `turn ${words(fields["outcome"])}`;
    case "participant_joined":
    case "participant_left": {
      const person = asFields(fields["participant"]);
      const name = words(person["name"]) || words(person["identity"]) || "somebody";
      return `${name} ${event.kind === "participant_joined" ? "joined" : "left"}`;
    }
    case "call_ended":
      return `call ended: ${words(fields["reason"]).replaceAll("_", " ")}`;
    case "context_cleared":
      return words(fields["reason"]) ? `context cleared: ${words(fields["reason"])}` : "context cleared";
    case "error":
      return [fields["source"], fields["error_type"], fields["detail"]].map(words).filter(Boolean).join(" · ");
    case "reconnect":
      return [fields["provider"], fields["outcome"], fields["detail"]].map(words).filter(Boolean).join(" · ");
    case "user_action":
      return [fields["action"], fields["identity"]].map(words).filter(Boolean).join(" · ");
    case "thinking":
    case "summary":
      return shorten(words(fields["text"]), 400);
    default:
      return words(fields["reason"]) || words(fields["state"]);
  }
}

function shorten(text: string, most = 160): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

export function asFields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

export function words(value: unknown): string {
  return typeof value === "string" ? value : "";
}
