import { expect, test } from "vitest";
import { amount, fullness, type Limit, target, toneOf } from "./shape";

const limit = (fields: Partial<Limit>) => ({ amount: 100, used: 0, held: 0, measure: "requests", ...fields }) as Limit;

test("what is held for requests in flight counts", () => {
  expect(fullness(limit({ used: 50, held: 25 }))).toBe(0.75);
  expect(fullness(limit({ amount: 0, used: 1 }))).toBe(1);
  expect(fullness(limit({ amount: 0 }))).toBe(0);
});

test("a limit warns from its first soft mark on, and is full at its amount", () => {
  expect(toneOf(limit({ used: 79 }))).toBe("good");
  expect(toneOf(limit({ used: 80 }))).toBe("warn");
  expect(toneOf(limit({ used: 55, soft: [50, 90] }))).toBe("warn");
  expect(toneOf(limit({ used: 99, soft: [] }))).toBe("good");
  expect(toneOf(limit({ used: 120 }))).toBe("bad");
});

test("money is told as money, and the gateway needs no name", () => {
  expect(amount("money", 2_500_000_000)).toBe("$2.50");
  expect(amount("tokens", 12_345)).toBe("12.3k");
  expect(target("gateway", "x")).toBe("gateway");
  expect(target("key", " laptop ")).toBe("key:laptop");
});
