import { expect, test } from "vitest";
import { diff, folded, pretty } from "./diff";

const show = (before: string, after: string) =>
  diff(before, after).map((line) => `${{ same: " ", gone: "-", new: "+" }[line.kind]}${line.text}`);

test("only what changed is marked", () => {
  expect(show("a\nb\nc", "a\nB\nc")).toEqual([" a", "-b", "+B", " c"]);
  expect(show("a\nb", "a\nb")).toEqual([" a", " b"]);
  expect(show("a\nb\nc\nd", "a\nc\nd\ne")).toEqual([" a", "-b", " c", " d", "+e"]);
});

test("both sides can be put together from a diff, whatever they are", () => {
  const words = ["a", "b", "c"];
  const text = (seed: number) =>
    Array.from({ length: 8 }, (_, at) => words[(seed * (at + 3) * 7 + at * seed) % 3]).join("\n");
  for (let seed = 0; seed < 60; seed += 1) {
    const [before, after] = [text(seed), text(seed * 5 + 1)];
    const lines = diff(before, after);
    const side = (kind: string) =>
      lines
        .filter((line) => line.kind === "same" || line.kind === kind)
        .map((line) => line.text)
        .join("\n");
    expect(side("gone")).toBe(before);
    expect(side("new")).toBe(after);
  }
});

test("long runs that are the same are folded", () => {
  const lines = diff(`${"x\n".repeat(20)}a${"\ny".repeat(20)}`, `${"x\n".repeat(20)}b${"\ny".repeat(20)}`);
  const short = folded(lines, 2);
  expect(short[0]).toEqual({ kind: "fold", count: 18 });
  expect(short).toHaveLength(1 + 2 + 2 + 2 + 1);
});

test("JSON is laid out, anything else is left alone", () => {
  expect(pretty('{"a":1}')).toBe('{\n  "a": 1\n}');
  expect(pretty("data: x\n\n")).toBe("data: x\n\n");
});
