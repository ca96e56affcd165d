import { expect, test } from "vitest";
import type { RequestRecord } from "@/api/live";
import { cleanRequests } from "./search";
import { cacheShare, latest, matches, merge, speed } from "./shape";

const record = (fields: Partial<RequestRecord>): RequestRecord => ({ ...({} as RequestRecord), ...fields });

test("speed counts from the first token and only for whole answers", () => {
  const usage = { output: 100 };
  const base = { usage, state: "completed", duration_us: 3_000_000, first_token_us: 1_000_000 } as const;
  expect(speed(record(base))).toBe(50);
  expect(speed(record({ ...base, first_token_us: null }))).toBeCloseTo(33.3, 1);
  expect(speed(record({ ...base, state: "interrupted" }))).toBeUndefined();
  expect(speed(record({ ...base, usage: null }))).toBeUndefined();
  expect(speed(record({ ...base, duration_us: 1_000_100 }))).toBeUndefined();
});

test("an unknown cache is not an empty cache", () => {
  expect(cacheShare({ input: 100 })).toBeUndefined();
  expect(cacheShare({ input: 100, cache_read: 0 })).toBe(0);
  expect(cacheShare({ input: 100, cache_read: 80 })).toBe(0.8);
  expect(cacheShare({ cache_read: 80 })).toBeUndefined();
});

test("a filter by the name of a key finds records, which carry its id", () => {
  const ids = new Map([["key_1", "laptop"]]);
  const one = record({ key: "key_1", model: "m", state: "failed", started: 1000 });
  expect(matches(one, { key: "laptop" }, ids)).toBe(true);
  expect(matches(one, { key: "key_1" }, ids)).toBe(true);
  expect(matches(one, { key: "other" }, ids)).toBe(false);
  expect(matches(one, { model: "m", state: "failed", since: 1000, until: 1001 }, ids)).toBe(true);
  expect(matches(one, { q: "FAIL" }, ids)).toBe(true);
  expect(matches(one, { q: "elsewhere" }, ids)).toBe(false);
  expect(matches(one, { tool: "codex" }, ids)).toBe(false);
  expect(matches(one, { since: 1001 }, ids)).toBe(false);
  expect(matches(one, { until: 1000 }, ids)).toBe(false);
});

test("new records come first, each once, and old ones make room", () => {
  const list = merge([record({ id: "b" }), record({ id: "c" })], [record({ id: "b" }), record({ id: "a" })], 10);
  expect(list.map((entry) => entry.id)).toEqual(["c", "b", "a"]);
  expect(merge([record({ id: "c" })], [record({ id: "b" }), record({ id: "a" })], 2)).toHaveLength(2);
});

test("whatever an address says, the filters are sound", () => {
  expect(cleanRequests({ state: "exploded", since: "x", model: "", channel: {}, open: "req_1" })).toEqual({
    model: "",
    open: "req_1",
  });
  expect(cleanRequests({ state: "failed", since: "1700000000000", model: 5 })).toEqual({
    state: "failed",
    since: 1700000000000,
    model: "5",
  });
});

test("the newest of what was listed and of what came are shown once each", () => {
  const at = (id: string, started: number) => ({ id, started }) as RequestRecord;
  const rows = latest([at("c", 3), at("b", 2)], [at("b", 2), at("d", 4), at("a", 1)], 3);
  expect(rows.map((row) => row.id)).toEqual(["d", "c", "b"]);
});
