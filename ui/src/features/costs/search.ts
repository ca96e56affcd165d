import { cleanRange, type RangeSearch } from "@/lib/range";

/** What can make a group, in the order in which it is offered. */
export const DIMENSIONS = [
  "model",
  "channel",
  "provider",
  "tool",
  "key",
  "profile",
  "upstream_model",
  "format",
  "state",
  "error",
  "tag",
  "owner",
  "user",
  "team",
  "project",
  "organisation",
  "cache",
  "status",
] as const;
export type Dimension = (typeof DIMENSIONS)[number];

/** What is counted. One choice for the whole page. */
export const METRICS = ["cost", "tokens", "requests", "output"] as const;
export type Metric = (typeof METRICS)[number];

/** What a page of sums can be narrowed to by a click on a row. */
export const FILTERS = [
  "model",
  "channel",
  "provider",
  "tool",
  "key",
  "profile",
  "upstream_model",
  "format",
  "state",
  "error",
  "tag",
  "owner",
] as const;
export type Filter = (typeof FILTERS)[number];
export type Filters = { [name in Filter]?: string };

export const TABS = ["spend", "hours", "caches", "whatif", "forecast"] as const;
export type Tab = (typeof TABS)[number];

export type CostsSearch = RangeSearch & Filters & { by?: Dimension; metric?: Metric; tab?: Tab; as?: string };

export function cleanFilters(raw: Record<string, unknown>): Filters {
  const found: Filters = {};
  for (const name of FILTERS) {
    const value = raw[name];
    if (typeof value === "string" || typeof value === "number") found[name] = String(value);
  }
  return found;
}

export function cleanCosts(raw: Record<string, unknown>): CostsSearch {
  return {
    ...cleanRange(raw),
    ...cleanFilters(raw),
    by: DIMENSIONS.find((name) => name === raw.by),
    metric: METRICS.find((name) => name === raw.metric),
    tab: TABS.find((name) => name === raw.tab),
    as: typeof raw.as === "string" ? raw.as : undefined,
  };
}

/** The filters as the API's query takes them. */
export function filterQuery(search: Filters): { [name in Filter]?: string[] } {
  return Object.fromEntries(FILTERS.flatMap((name) => (search[name] === undefined ? [] : [[name, [search[name]]]])));
}
