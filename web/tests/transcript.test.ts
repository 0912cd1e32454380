import assert from "node:assert/strict";
import { test } from "node:test";
import type { StoredMessage } from "../src/shared/api";
import { EMPTY, close, deliver, divide, hear, recall, type } from "../src/call/transcript";
import type { Heard, Line, Transcript } from "../src/call/transcript";

function heard(segmentId: string, text: string, more: Partial<Heard> = {}): Heard {
  return { segmentId, side: "agent", name: null, text, final: false, revision: 1, ...more };
}

function texts(transcript: Transcript): readonly string[] {
  return transcript.live.map((entry) => entry.text);
}

function message(eventId: string, more: Partial<StoredMessage> = {}): StoredMessage {
  return {
    eventId,
    role: "user",
    text: eventId,
    speakerIdentity: "ada",
    speakerName: "Ada",
    interrupted: false,
    modality: "voice",
    ...more,
  };
}

test("interim words are replaced in place and the order is that of the first words", () => {
  let transcript = hear(EMPTY, heard("s1", "hel", { side: "me" }));
  transcript = hear(transcript, heard("s2", "Good"));
  transcript = hear(transcript, heard("s1", "hello", { side: "me", final: true, revision: 2 }));
  transcript = hear(transcript, heard("s2", "Good day"));
  assert.deepEqual(texts(transcript), ["hello", "Good day"]);
});

test("an interim that arrives after the final words, or out of turn, changes nothing", () => {
  const final = hear(EMPTY, heard("s1", "hello there", { final: true, revision: 3 }));
  assert.equal(hear(final, heard("s1", "hello", { revision: 4 })), final);
  const newer = hear(EMPTY, heard("s1", "hello there", { revision: 3 }));
  assert.equal(hear(newer, heard("s1", "hel", { revision: 2 })), newer);
});

test("a segment without words never shows, and one that lost its words goes", () => {
  assert.equal(hear(EMPTY, heard("s1", "  ")), EMPTY);
  const shown = hear(EMPTY, heard("s1", "um"));
  assert.deepEqual(texts(hear(shown, heard("s1", "", { final: true, revision: 2 }))), []);
});

test("lines that did not change stay the same objects", () => {
  const before = hear(hear(EMPTY, heard("s1", "one")), heard("s2", "two"));
  const after = hear(before, heard("s2", "two three"));
  assert.equal(after.live[0], before.live[0]);
  assert.notEqual(after.live[1], before.live[1]);
});

test("a typed line shows at once and tells what became of it", () => {
  const typed = type(EMPTY, "t1", "hi", "waiting");
  assert.deepEqual(texts(typed), ["hi"]);
  assert.equal((deliver(typed, "t1", "done").live[0] as Line).delivery, "done");
});

test("the end of a call closes what is open and marks what was never sent", () => {
  const open = type(hear(EMPTY, heard("s1", "I was say")), "t1", "hello?", "waiting");
  const [spoken, typed] = close(open).live as readonly Line[];
  assert.deepEqual([spoken?.final, spoken?.delivery], [true, "done"]);
  assert.equal(typed?.delivery, "failed");
});

test("a divider is drawn once and never first", () => {
  assert.equal(divide(EMPTY, "d1", "Call ended"), EMPTY);
  const divided = divide(type(EMPTY, "t1", "hi", "done"), "d1", "Call ended");
  assert.equal(divided.live.length, 2);
  assert.equal(divide(divided, "d2", "Call ended"), divided);
});

test("stored messages become history with the right sides, without instructions", () => {
  const { history } = recall(
    EMPTY,
    [
      message("a"),
      message("b", { role: "assistant", speakerIdentity: null, interrupted: true }),
      message("c", { speakerIdentity: "bob", speakerName: "Bob" }),
      message("d", { role: "system" }),
    ],
    "ada",
  );
  assert.deepEqual(
    history.map((line) => [line.id, line.side, line.name, line.interrupted]),
    [
      ["a", "me", null, false],
      ["b", "agent", null, true],
      ["c", "other", "Bob", false],
    ],
  );
});

test("history is not loaded over words that the page has heard itself", () => {
  const spoken = hear(EMPTY, heard("s1", "hello"));
  assert.equal(recall(spoken, [message("a")], "ada"), spoken);
});
