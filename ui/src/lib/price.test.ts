import { expect, test } from "vitest";
import { bill, total } from "./price";

const price = { input: 3, cache_read: 0.3, cache_write: 3.75, output: 15, above_200k: { input: 6, output: 22.5 } };

test("every token is charged once, by its own class", () => {
  const lines =
    bill(price, { input: 10_000, cache_read: 6_000, cache_write: 1_000, output: 500, reasoning: 200 }) ?? [];
  expect(lines.map(({ name, count }) => [name, count])).toEqual([
    ["input", 3_000],
    ["cache_read", 6_000],
    ["cache_write", 1_000],
    ["output", 500],
  ]);
  // 3000 × $3 + 6000 × $0.3 + 1000 × $3.75 + 500 × $15, a million each.
  expect(total(lines)).toBe(22_050_000);
});

test("long prompts have their tier for the whole request, sums by their mean prompt", () => {
  expect(bill(price, { input: 300_000, output: 10 })?.map((line) => line.rate)).toEqual([6, 22.5]);
  expect(bill(price, { input: 300_000, output: 10 }, 3)?.map((line) => line.rate)).toEqual([3, 15]);
});

test("a class without a rate takes a kindred one, and unknown is not zero", () => {
  expect(bill({ input: 1, output: 2 }, { input: 100, cache_read: 40, output: 1 })?.[1]?.rate).toBe(1);
  expect(bill({ input: 1 }, { input: 100, output: 1 })).toBeUndefined();
  expect(bill(price, {})).toBeUndefined();
  expect(total(bill({ input: 2 }, { input: 1_000_000 }, 1, 0.5) ?? [])).toBe(1_000_000_000);
});
