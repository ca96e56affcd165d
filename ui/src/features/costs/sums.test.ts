import { expect, test } from "vitest";
import { cleanCosts, filterQuery } from "./search";
import { byGroup, cacheShare, measure, type Row, type Sums } from "./sums";

const row = (name: string, fields: object) => ({ values: [name], from: 0, ...fields }) as Row;

test("stretches of time add up to groups, the largest by the metric first", () => {
  const rows = [
    row("a", { cost: 1, requests: 9 }),
    row("b", { cost: 5, requests: 1 }),
    row("a", { cost: 2, requests: 9 }),
  ];
  expect(byGroup(rows, "cost").map((group) => [group.name, group.cost])).toEqual([
    ["b", 5],
    ["a", 3],
  ]);
  expect(byGroup(rows, "requests")[0]?.name).toBe("a");
});

test("tokens are what was read and what was written; input counts cached tokens already", () => {
  expect(measure({ input: 10, cache_read: 8, output: 5 } as Sums, "tokens")).toBe(15);
  expect(cacheShare({ input: 10, cache_read: 8 })).toBe(0.8);
  expect(cacheShare({ input: 0, cache_read: 0 })).toBeUndefined();
});

test("an empty filter means requests that say nothing there, and survives the address", () => {
  const search = cleanCosts({ channel: "", by: "model", metric: "bogus", model: 5, since: "x" });
  expect(search).toMatchObject({ channel: "", by: "model", model: "5" });
  expect(search.metric).toBeUndefined();
  expect(filterQuery(search)).toEqual({ model: ["5"], channel: [""] });
});
