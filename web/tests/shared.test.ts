import assert from "node:assert/strict";
import { test } from "node:test";
import { levelOf } from "../src/call/meters";
import { keepLinkFields, readFragment } from "../src/shared/credentials";
import { problemOfStatus } from "../src/shared/problem";
import { TabMemory } from "../src/shared/storage";

test("a link's fragment gives the token and the name, and ignores the rest", () => {
  assert.deepEqual(readFragment("#token=a.b-c&name=Ada%20L&x=1"), { token: "a.b-c", name: "Ada L" });
  assert.deepEqual(readFragment(""), { token: null, name: null });
  assert.deepEqual(readFragment("#token="), { token: null, name: null });
});

test("a reload without a fragment keeps the token of before", () => {
  const memory = new TabMemory(null);
  keepLinkFields(readFragment("#token=t1"), memory);
  keepLinkFields(readFragment(""), memory);
  assert.equal(memory.read("token"), "t1");
});

test("a browser that forbids storage costs only the memory across a reload", () => {
  const forbid = (): never => {
    throw new Error("forbidden");
  };
  const memory = new TabMemory({ getItem: forbid, setItem: forbid, removeItem: forbid });
  memory.write("token", "t1");
  assert.equal(memory.read("token"), "t1");
  memory.forget("token");
  assert.equal(memory.read("token"), null);
});

test("statuses are sorted by what a person can do about them", () => {
  const kinds = [401, 403, 404, 429, 503, 502, 500, 418].map(
    (status) => problemOfStatus(status, null, null).kind,
  );
  assert.deepEqual(kinds, [
    "token_refused",
    "not_allowed",
    "conversation_unknown",
    "backend_busy",
    "backend_busy",
    "backend_away",
    "backend_broken",
    "backend_broken",
  ]);
  assert.deepEqual(problemOfStatus(503, "full", "2"), {
    kind: "backend_busy",
    status: 503,
    detail: "full",
    retryAfterS: 2,
  });
  assert.deepEqual(problemOfStatus(503, null, "Wed, 21 Oct 2026 07:28:00 GMT"), {
    kind: "backend_busy",
    status: 503,
  });
});

test("levels go from silent to loud", () => {
  assert.equal(levelOf(new Float32Array(128)), 0);
  assert.equal(levelOf(new Float32Array(128).fill(0.9)), 1);
  const middle = levelOf(new Float32Array(128).fill(0.02));
  assert.ok(middle > 0.4 && middle < 0.7, String(middle));
});
