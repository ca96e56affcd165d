import { expect, test } from "vitest";
import type { RequestRecord } from "@/api/live";
import { ticks, timeline } from "./timeline";

const record = (fields: object) => fields as RequestRecord;

test("attempts stand where they happened and are split at the first byte", () => {
  const { bars, firstToken, total } = timeline(
    record({
      duration_us: 1000,
      first_token_us: 700,
      attempts: [
        { offset_us: 100, duration_us: 200, outcome: "failed" },
        { offset_us: 400, duration_us: 600, first_byte_us: 300, outcome: "answered" },
      ],
    }),
  );
  expect(total).toBe(1000);
  expect(firstToken).toBe(70);
  expect(bars[0]?.spans).toEqual([{ kind: "waiting", from: 10, to: 30 }]);
  expect(bars[0]?.tone).toBe("bad");
  expect(bars[1]?.spans).toEqual([
    { kind: "waiting", from: 40, to: 70 },
    { kind: "streaming", from: 70, to: 100 },
  ]);
});

test("an attempt that outlived the request makes the axis longer, nothing leaves it", () => {
  const { bars, total } = timeline(
    record({
      duration_us: 100,
      attempts: [{ offset_us: 50, duration_us: 150, first_byte_us: 500, outcome: "canceled" }],
    }),
  );
  expect(total).toBe(200);
  expect(bars[0]?.spans.at(-1)?.to).toBe(100);
});

test("a request without attempts or duration has an empty timeline", () => {
  expect(timeline(record({})).bars).toEqual([]);
});

test("scales have three to six round moments", () => {
  for (const total of [1, 7, 95, 284, 1_000, 12_345, 999_999, 60_000_000]) {
    const found = ticks(total);
    expect(found.length, String(total)).toBeGreaterThanOrEqual(1);
    expect(found.length, String(total)).toBeLessThanOrEqual(6);
    expect(found[0]?.us).toBe(0);
  }
  expect(ticks(1_000_000).map((tick) => tick.us)).toEqual([0, 200_000, 400_000, 600_000, 800_000]);
});
