/** Numbers laid out for charts. Pure: no colours, no canvas, no clock. */

export type Point = { from: number; group: string; value: number };
export type Series = { name: string; values: (number | null)[] };
export type Chart = { times: number[]; series: Series[] };

/** What the rest is called that no series of its own shows. */
export const REST = "\u2026";

/**
 * Points as series over the same times. The largest groups have their own series, in the order of their sums; everything else is one. Times without
 * points are zero: nothing happened then.
 */
export function pivot(points: readonly Point[], times: readonly number[], most: number): Chart {
  const sums = new Map<string, number>();
  for (const { group, value } of points) sums.set(group, (sums.get(group) ?? 0) + value);
  const ranked = [...sums].toSorted((a, b) => b[1] - a[1]).map(([group]) => group);
  // A rest of one group is that group.
  const own = ranked.length > most + 1 ? ranked.slice(0, most) : ranked;
  const rest = ranked.length > own.length;
  const names = rest ? [...own, REST] : own;
  const place = new Map(times.map((time, at) => [time, at]));
  const rows = new Map(names.map((name) => [name, times.map(() => 0)]));
  for (const { from, group, value } of points) {
    const at = place.get(from);
    const row = rows.get(group) ?? rows.get(REST);
    if (at !== undefined && row) row[at] = (row[at] ?? 0) + value;
  }
  return { times: [...times], series: names.map((name) => ({ name, values: rows.get(name) ?? [] })) };
}

/** Each series on top of those before it. */
export function stack(series: readonly Series[]): Series[] {
  const height: number[] = [];
  return series.map(({ name, values }) => ({
    name,
    values: values.map((value, at) => {
      height[at] = (height[at] ?? 0) + (value ?? 0);
      return height[at] ?? 0;
    }),
  }));
}

/** Values that cannot be added up (quantiles): one series a group, gaps where nothing is known. */
export function lines(
  points: readonly Point[],
  times: readonly number[],
  most: number,
  weight: ReadonlyMap<string, number>,
): Chart {
  const groups = [...new Set(points.map((point) => point.group))]
    .toSorted((a, b) => (weight.get(b) ?? 0) - (weight.get(a) ?? 0))
    .slice(0, most);
  const found = new Map(points.map((point) => [`${point.from} ${point.group}`, point.value]));
  return {
    times: [...times],
    series: groups.map((name) => ({ name, values: times.map((time) => found.get(`${time} ${name}`) ?? null) })),
  };
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

export type Bucket = "minute" | "hour" | "day" | "week" | "month";

/** The finest stretch that gives a chart no more than some 200 bars. */
export function bucketFor(since: number, until: number): Bucket {
  const length = until - since;
  if (length <= 3 * HOUR) return "minute";
  if (length <= 8 * DAY) return "hour";
  if (length <= 200 * DAY) return "day";
  if (length <= 1400 * DAY) return "week";
  return "month";
}

/** Every beginning of a stretch in the range, in the machine's zone, gaps included. */
export function timesOf(since: number, until: number, bucket: Bucket): number[] {
  const at = new Date(since);
  if (bucket === "minute") at.setSeconds(0, 0);
  else if (bucket === "hour") at.setMinutes(0, 0, 0);
  else at.setHours(0, 0, 0, 0);
  // Weeks begin on Mondays.
  if (bucket === "week") at.setDate(at.getDate() - ((at.getDay() + 6) % 7));
  if (bucket === "month") at.setDate(1);
  const times = [];
  while (at.getTime() < until && times.length < 2000) {
    times.push(at.getTime());
    if (bucket === "minute") at.setTime(at.getTime() + 60_000);
    else if (bucket === "hour") at.setTime(at.getTime() + HOUR);
    else if (bucket === "day") at.setDate(at.getDate() + 1);
    else if (bucket === "week") at.setDate(at.getDate() + 7);
    else at.setMonth(at.getMonth() + 1);
  }
  return times;
}

/** Sums by weekday (Monday first) and hour, in the machine's zone. */
export function weekHours(points: readonly { from: number; value: number }[]): number[][] {
  const cells = Array.from({ length: 7 }, () => Array.from({ length: 24 }, () => 0));
  for (const { from, value } of points) {
    const moment = new Date(from);
    const row = cells[(moment.getDay() + 6) % 7];
    const hour = moment.getHours();
    if (row) row[hour] = (row[hour] ?? 0) + value;
  }
  return cells;
}

/** Rows as CSV that a spreadsheet takes apart again; what looks like a formula is not run. */
export function csv(head: readonly string[], rows: readonly (readonly (string | number | null)[])[]): string {
  const cell = (value: string | number | null) => {
    const text = value === null ? "" : String(value);
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return `${[head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}
