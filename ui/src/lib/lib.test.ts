import { expect, test } from "vitest";
import { bytes, count, duration, percent } from "./format";
import { exactMoney, money } from "./money";
import { relative } from "./time";

test("money keeps the digits that matter and is exact on demand", () => {
  const cases: [number, string][] = [
    [0, "$0"],
    [1, "<$0.000001"],
    [1_500, "$0.000002"],
    [12_345_000, "$0.0123"],
    [123_450_000, "$0.123"],
    [999_000_000, "$1.00"],
    [12_345_678_900, "$12.35"],
    [1_234_567_000_000, "$1,235"],
    [-2_500_000_000, "-$2.50"],
  ];
  for (const [nano, text] of cases) expect(money(nano)).toBe(text);
  expect(exactMoney(12_345_678_901)).toBe("$12.345678901 USD");
  expect(exactMoney(2_000_000_000)).toBe("$2 USD");
});

test("numbers are short and never round into the wrong unit", () => {
  const cases: [number, string][] = [
    [0, "0"],
    [9_999, "9,999"],
    [12_345, "12.3k"],
    [999_960, "1M"],
    [1_500_000, "1.5M"],
    [2_000_000_000, "2B"],
  ];
  for (const [value, text] of cases) expect(count(value)).toBe(text);
});

test("durations cover microseconds to hours", () => {
  const cases: [number, string][] = [
    [75, "75 µs"],
    [1_234, "1.2 ms"],
    [850_000, "850 ms"],
    [999_900, "1.00 s"],
    [1_240_000, "1.24 s"],
    [45_300_000, "45.3 s"],
    [59_990_000, "1m 00s"],
    [125_000_000, "2m 05s"],
    [3_720_000_000, "1h 02m"],
  ];
  for (const [us, text] of cases) expect(duration(us)).toBe(text);
});

test("sizes and shares", () => {
  expect(bytes(512)).toBe("512 B");
  expect(bytes(1_536)).toBe("1.5 KiB");
  expect(bytes(1_048_575)).toBe("1 MiB");
  expect(percent(0.1234)).toBe("12.3%");
  expect(percent(0.0001)).toBe("<0.1%");
  expect(percent(1)).toBe("100%");
});

test("moments are told from the present", () => {
  const now = 1_700_000_000_000;
  expect(relative(now - 5_000, now, "en")).toBe("5 sec. ago");
  expect(relative(now - 3 * 3_600_000, now, "en")).toBe("3 hr. ago");
  expect(relative(now + 86_400_000, now, "en")).toBe("tomorrow");
  expect(relative(now, now, "zh")).toBe("现在");
});
