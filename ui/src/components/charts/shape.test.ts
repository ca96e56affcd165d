import { expect, test } from "vitest";
import { bucketFor, csv, lines, pivot, REST, stack, timesOf, weekHours } from "./shape";

const point = (from: number, group: string, value: number) => ({ from, group, value });

test("the largest groups have series of their own, the rest is one, and nothing is lost", () => {
  const points = [
    point(1, "a", 5),
    point(2, "a", 5),
    point(1, "b", 3),
    point(1, "c", 1),
    point(2, "d", 2),
    point(2, "e", 1),
  ];
  const chart = pivot(points, [1, 2, 3], 2);
  expect(chart.series.map((series) => series.name)).toEqual(["a", "b", REST]);
  expect(chart.series[0]?.values).toEqual([5, 5, 0]);
  expect(chart.series[2]?.values).toEqual([1, 3, 0]);
  const sum = chart.series.flatMap((series) => series.values).reduce<number>((all, value) => all + (value ?? 0), 0);
  expect(sum).toBe(17);
});

test("a rest of one is no rest", () => {
  const chart = pivot([point(1, "a", 2), point(1, "b", 1), point(1, "c", 1)], [1], 2);
  expect(chart.series.map((series) => series.name)).toEqual(["a", "b", "c"]);
});

test("stacked series stand on each other", () => {
  expect(
    stack([
      { name: "a", values: [1, 2] },
      { name: "b", values: [3, null] },
    ]).map((series) => series.values),
  ).toEqual([
    [1, 2],
    [4, 2],
  ]);
});

test("quantiles are not added up, and the unknown is a gap", () => {
  const chart = lines([point(1, "a", 10), point(3, "b", 20)], [1, 2, 3], 1, new Map([["b", 5]]));
  expect(chart.series).toEqual([{ name: "b", values: [null, null, 20] }]);
});

test("every range has a stretch that gives at most some 200 bars", () => {
  const now = Date.UTC(2026, 5, 15, 12);
  for (const hours of [0.5, 3, 24, 7 * 24, 30 * 24, 90 * 24, 365 * 24, 5000 * 24]) {
    const since = now - hours * 3_600_000;
    const times = timesOf(since, now, bucketFor(since, now));
    expect(times.length, String(hours)).toBeGreaterThan(2);
    expect(times.length, String(hours)).toBeLessThanOrEqual(205);
    expect(times[0]).toBeLessThanOrEqual(since);
  }
});

test("weekdays begin on Monday", () => {
  const monday = new Date(2026, 5, 15, 9, 30).getTime();
  const cells = weekHours([
    { from: monday, value: 2 },
    { from: monday + 86_400_000 * 6, value: 1 },
  ]);
  expect(cells[0]?.[9]).toBe(2);
  expect(cells[6]?.[9]).toBe(1);
});

test("spreadsheets take the rows apart and run none of them", () => {
  const text = csv(
    ["name", "cost"],
    [
      ['a "b", c', 1.5],
      ["=HYPERLINK(1)", -2],
      ["line\nbreak", null],
    ],
  );
  expect(text).toBe('name,cost\r\n"a ""b"", c",1.5\r\n\'=HYPERLINK(1),-2\r\n"line\nbreak",\r\n');
});
