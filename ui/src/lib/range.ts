/** Stretches of time that pages look at. They stand in the URL as a word, or as two moments. */

export const RANGES = ["hour", "day", "week", "month", "quarter", "year"] as const;
export type RangeName = (typeof RANGES)[number];
export type RangeSearch = { range?: RangeName; since?: number; until?: number };

const HOUR = 3_600_000;
const LENGTHS: { [range in RangeName]: number } = {
  hour: HOUR,
  day: 24 * HOUR,
  week: 7 * 24 * HOUR,
  month: 30 * 24 * HOUR,
  quarter: 90 * 24 * HOUR,
  year: 365 * 24 * HOUR,
};

/** The moments that a search means. The end of a named range is the present, rounded up so that it stands still for a while. */
export function rangeOf(search: RangeSearch, usual: RangeName, now: number): { since: number; until: number } {
  if (search.since !== undefined && search.until !== undefined && search.since < search.until) {
    return { since: search.since, until: search.until };
  }
  const length = LENGTHS[search.range ?? usual];
  const grain = length <= 24 * HOUR ? 60_000 : 10 * 60_000;
  const until = Math.ceil(now / grain) * grain;
  return { since: until - length, until };
}

export function cleanRange(raw: Record<string, unknown>): RangeSearch {
  const moment = (name: string) => {
    const value = Number(raw[name]);
    return Number.isSafeInteger(value) && value > 0 ? value : undefined;
  };
  return { range: RANGES.find((range) => range === raw.range), since: moment("since"), until: moment("until") };
}

/** The machine's zone, by its IANA name. */
export const zone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
