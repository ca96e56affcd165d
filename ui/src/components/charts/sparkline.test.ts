import { expect, test } from "vitest";
import { path } from "./sparkline";

test("a course is drawn to its largest value, and what is unknown is a gap", () => {
  expect(path([0, 10])).toBe("M0.0 25.0L100.0 2.0");
  expect(path([1, undefined, 1])).toBe("M0.0 2.0M100.0 2.0");
  expect(path([])).toBe("");
  expect(path([0, 0])).toBe("M0.0 25.0L100.0 25.0");
});
