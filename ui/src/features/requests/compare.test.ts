import { expect, test } from "vitest";
import type { RequestRecord } from "@/api/live";
import { changeWords, compared, inOrder, pair, pick } from "./compare";

const record = (fields: object): RequestRecord => ({ id: "a", state: "completed", ...fields }) as RequestRecord;

test("what differs is marked, and by how much where both sides are known", () => {
  const rows = compared(
    record({ model: "m", cost: 100, usage: { input: 10 }, duration_us: 5, first_token_us: null }),
    record({ model: "m", cost: 150, usage: { input: 10, output: 3 }, duration_us: 5, first_token_us: 2 }),
  );
  const row = (label: string) => rows.find((found) => found.label === label);
  expect(row("requests.model")).toMatchObject({ differs: false });
  expect(row("column.cost")).toMatchObject({ left: 100, right: 150, differs: true, change: 0.5 });
  expect(row("tokens.input")).toMatchObject({ differs: false, change: undefined });
  expect(row("tokens.output")).toMatchObject({ left: undefined, right: 3, differs: true, change: undefined });
  expect(row("column.firstToken")).toMatchObject({ left: undefined, right: 2 });
  expect(row("inspect.tool")).toBeUndefined();
});

test("nothing is a share of nothing", () => {
  const rows = compared(record({ cost: 0 }), record({ cost: 5 }));
  expect(rows.find((found) => found.label === "column.cost")).toMatchObject({ differs: true, change: undefined });
});

test("a change is a share, or how many times as much", () => {
  expect([0.5, -0.25, 0.0001, 8.99, 9, 1110.67].map(changeWords)).toEqual([
    "+50%",
    "−25%",
    "+<0.1%",
    "+899%",
    "×10",
    "×1,112",
  ]);
});

test("the older request stands first, however they were picked", () => {
  expect(inOrder(["req_2", "req_1"])).toBe("req_1,req_2");
});

test("an address names two different requests or none", () => {
  expect(pair("a,b")).toEqual(["a", "b"]);
  for (const text of [undefined, "", "a", "a,", "a,a", "a,b,c"]) expect(pair(text)).toBeUndefined();
});

test("two are picked at most, and a second click lets one go", () => {
  expect(pick([], "a")).toEqual(["a"]);
  expect(pick(["a"], "b")).toEqual(["a", "b"]);
  expect(pick(["a", "b"], "c")).toEqual(["b", "c"]);
  expect(pick(["a", "b"], "a")).toEqual(["b"]);
});
