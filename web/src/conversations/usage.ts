/** What models used up, and the words for it. Pure. */

import { fields, list, text } from "../shared/json";

export interface Used {
  readonly service: string;
  readonly provider: string;
  readonly model: string;
  /** How much of what; each name ends in its unit. */
  readonly counts: ReadonlyMap<string, number>;
}

export interface CallUsage {
  readonly writerId: string;
  readonly room: string;
  readonly startedAt: string;
  readonly items: readonly Used[];
}

export interface Usage {
  /** Of all calls. */
  readonly items: readonly Used[];
  /** A page of calls, newest first. */
  readonly calls: readonly CallUsage[];
  /** The `after` of older calls; null: there are none. */
  readonly next: string | null;
}

export function storedUsage(value: unknown): Usage {
  const all = fields(value);
  return {
    items: list(all, "items").map(used),
    calls: list(all, "calls").map((each) => {
      const call = fields(each);
      return {
        writerId: text(call, "writer_id"),
        room: text(call, "room"),
        startedAt: text(call, "started_at"),
        items: list(call, "items").map(used),
      };
    }),
    next: text(all, "next") || null,
  };
}

function used(value: unknown): Used {
  const all = fields(value);
  const counts = Object.entries(fields(all["counts"])).filter(
    (count): count is [string, number] => typeof count[1] === "number",
  );
  return {
    service: text(all, "service"),
    provider: text(all, "provider"),
    model: text(all, "model"),
    counts: new Map(counts),
  };
}

const SERVICES: Readonly<Record<string, string>> = {
  llm: "Language model",
  stt: "Recognition",
  tts: "Voice",
  realtime: "Realtime model",
  turn_detection: "Turn detection",
  interruption: "Interruption detection",
};

export function serviceOf(used: Used): string {
  return SERVICES[used.service] ?? used.service.replaceAll("_", " ");
}

/** All of what one model used, the most telling first. */
export function amounts(used: Used): readonly string[] {
  const left = new Map(used.counts);
  const take = (name: string): number | null => {
    const value = left.get(name) ?? null;
    left.delete(name);
    return value;
  };
  const requests = take("requests");
  const said = requests === null ? [] : [`${whole(requests)} request${requests === 1 ? "" : "s"}`];
  for (const [name, words] of [["audio_s", "of speech"], ["session_s", "connected"]] as const) {
    const seconds = take(name);
    said.push(...(seconds === null ? [] : [`${duration(seconds)} ${words}`]));
  }
  for (const [side, words] of [["input", "read"], ["output", "written"]] as const) {
    const total = take(`${side}_tokens`);
    const parts = [...left.keys()].filter((name) => name.startsWith(`${side}_`) && name.endsWith("_tokens"));
    const inside = parts.map((name) => `${whole(take(name) ?? 0)} ${between(name, side)}`);
    const of = inside.length === 0 ? "" : ` (${inside.join(", ")})`;
    said.push(...(total === null && of === "" ? [] : [`${whole(total ?? 0)} tokens ${words}${of}`]));
  }
  for (const [name, value] of left) {
    said.push(`${whole(value)} ${name.replaceAll("_", " ")}`);
  }
  return said;
}

/** One line for a whole conversation. */
export function inShort(items: readonly Used[]): string {
  const sum = (name: string, ...services: readonly string[]): number =>
    items
      .filter(({ service }) => services.includes(service))
      .reduce((total, { counts }) => total + (counts.get(name) ?? 0), 0);
  const read = sum("input_tokens", "llm", "realtime");
  const written = sum("output_tokens", "llm", "realtime");
  const heard = sum("audio_s", "stt");
  const spoken = sum("audio_s", "tts");
  return [
    read + written > 0 && `${whole(read)} tokens read, ${whole(written)} written`,
    heard > 0 && `${duration(heard)} heard`,
    spoken > 0 && `${duration(spoken)} spoken`,
  ]
    .filter((each) => each !== false)
    .join(" · ");
}

function between(name: string, side: string): string {
  return name.slice(side.length + 1, -"_tokens".length).replaceAll("_", " ");
}

function whole(value: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: 3 });
}

function duration(seconds: number): string {
  const tenths = Math.round(seconds * 10) / 10;
  return tenths < 60
    ? `${tenths.toFixed(1)} s`
    : `${whole(Math.floor(tenths / 60))} min ${Math.floor(tenths % 60)} s`;
}
