import type { Api } from "@/api/client";
import type { Metric } from "./search";

export type Row = Api<"UsageRow">;
export type Sums = Api<"SumsView">;

/** The number that a metric counts. */
export function measure(sums: Sums, metric: Metric): number {
  if (metric === "tokens") return (sums.input ?? 0) + (sums.output ?? 0);
  return sums[metric] ?? 0;
}

const ADDED = [
  "requests",
  "errors",
  "canceled",
  "attempts",
  "input",
  "cache_read",
  "cache_write",
  "cache_write_1h",
  "audio_input",
  "image_input",
  "audio_output",
  "image_output",
  "output",
  "reasoning",
  "cost",
  "saved",
  "unpriced",
  "estimated",
  "cache_hits",
] as const;

export type Group = { name: string } & { [field in (typeof ADDED)[number]]: number };

/** Sums of each group over all of its stretches of time, the largest by the metric first. */
export function byGroup(rows: readonly Row[], metric: Metric): Group[] {
  const groups = new Map<string, Group>();
  for (const row of rows) {
    const name = row.values[0] ?? "";
    const group = groups.get(name) ?? ({ name, ...Object.fromEntries(ADDED.map((field) => [field, 0])) } as Group);
    for (const field of ADDED) group[field] += row[field] ?? 0;
    groups.set(name, group);
  }
  const size = (group: Group) => (metric === "tokens" ? group.input + group.output : group[metric]);
  return [...groups.values()].toSorted((a, b) => size(b) - size(a));
}

/** How much of the input came from the provider's cache; unknown without input. */
export function cacheShare(sums: { input?: number; cache_read?: number }): number | undefined {
  return sums.input ? (sums.cache_read ?? 0) / sums.input : undefined;
}

/** What caches saved, less what writing to them cost more; below zero: caching did not pay. */
export const netSaved = (sums: { saved: number; surcharge: number }): number => sums.saved - sums.surcharge;
