import type { Api } from "@/api/client";
import { cleanFilters, type Filters } from "@/features/costs/search";
import { count, duration, percent } from "@/lib/format";
import { cleanRange, type RangeSearch } from "@/lib/range";

export const GROUPS = ["channel", "model", "upstream_model", "provider", "tool", "key", "profile", "format"] as const;
export type Group = (typeof GROUPS)[number];
export type PerformanceSearch = RangeSearch & Filters & { by?: Group; view?: "compare" | "time" | "failures" };

export function cleanPerformance(raw: Record<string, unknown>): PerformanceSearch {
  return {
    ...cleanRange(raw),
    ...cleanFilters(raw),
    by: GROUPS.find((name) => name === raw.by),
    view: raw.view === "time" || raw.view === "failures" ? raw.view : undefined,
  };
}

type Sums = Api<"SumsView">;
type Measure = {
  id: "ttft" | "total" | "speed" | "errors" | "attempts" | "retries" | "overhead";
  /** `undefined`: nothing is known, which is not zero. */
  value: (sums: Sums) => number | undefined;
  show: (value: number) => string;
};

/** What is shown of speed and reliability. */
export const MEASURES: Measure[] = [
  { id: "ttft", value: (sums) => sums.first_token_p95_us ?? undefined, show: duration },
  { id: "total", value: (sums) => sums.duration_p95_us ?? undefined, show: duration },
  {
    id: "speed",
    // Tokens written by a second of waiting and writing together.
    value: ({ output, duration_us: mean, requests }) => {
      const seconds = ((mean ?? 0) * requests) / 1e6;
      return output > 0 && seconds > 0 ? output / seconds : undefined;
    },
    show: (value) => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en-US")),
  },
  { id: "errors", value: (sums) => (sums.requests > 0 ? sums.errors / sums.requests : undefined), show: percent },
  {
    id: "attempts",
    value: (sums) => (sums.requests > 0 ? sums.attempts / sums.requests : undefined),
    show: (value) => value.toFixed(2),
  },
  {
    id: "retries",
    // A request that no deployment was asked for has no second try.
    value: (sums) => (sums.requests > 0 ? Math.max(0, sums.attempts - sums.requests) : undefined),
    show: count,
  },
  // No request takes nothing: zero is a time that nobody measured.
  { id: "overhead", value: (sums) => sums.overhead_us || undefined, show: duration },
];

/** One measure of a row, for people. */
export function read(sums: Sums, id: Measure["id"]): string {
  const measure = MEASURES.find((row) => row.id === id);
  const value = measure?.value(sums);
  return measure && value !== undefined ? measure.show(value) : "–";
}
