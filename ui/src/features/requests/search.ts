/** The filters of the Requests page as they stand in the URL. */

export const STATES = ["completed", "interrupted", "canceled", "failed"] as const;
export type State = (typeof STATES)[number];

/** Dimensions that rows are narrowed by, in the order in which they are offered. */
export const NARROWED = [
  "model",
  "channel",
  "key",
  "tool",
  "profile",
  "error",
  "provider",
  "upstream_model",
  "format",
  "tag",
  "owner",
] as const;
export type Narrowed = (typeof NARROWED)[number];

/** What requests can have in common. */
export const LINKS = ["trace", "thread", "session"] as const;

export type RequestsSearch = { [name in Narrowed | (typeof LINKS)[number]]?: string } & {
  /** Words that the record holds; with `bodies` also its kept bodies. */
  q?: string;
  bodies?: boolean;
  state?: State;
  /** Took at least so many milliseconds. */
  min_ms?: number;
  /** Milliseconds since 1970. */
  since?: number;
  until?: number;
  /** The request that the inspector shows. */
  open?: string;
  /** Two requests that stand side by side: `id,id`. */
  compare?: string;
};

/** What an address shows beside its rows: no filter, and not part of a view. */
export function filterOf({ open: _, compare: __, ...filter }: RequestsSearch): RequestsSearch {
  return filter;
}

/** Reads an address that anyone may have written. */
export function cleanRequests(raw: Record<string, unknown>): RequestsSearch {
  // An empty value is one too: what has none.
  const text = (name: string) => {
    const value = raw[name];
    return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
  };
  const number = (name: string) => {
    const value = Number(raw[name]);
    return Number.isSafeInteger(value) && value > 0 ? value : undefined;
  };
  const found: RequestsSearch = {
    ...Object.fromEntries(NARROWED.map((name) => [name, text(name)])),
    ...Object.fromEntries(LINKS.map((name) => [name, text(name) || undefined])),
    q: text("q") || undefined,
    bodies: raw.bodies === true || undefined,
    state: STATES.find((state) => state === raw.state),
    min_ms: number("min_ms"),
    since: number("since"),
    until: number("until"),
    open: text("open") || undefined,
    compare: text("compare") || undefined,
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

/** The filters as the API's query takes them. */
export function listQuery(search: RequestsSearch) {
  const { state, q, bodies, min_ms, since, until, trace, thread, session } = search;
  const some = (value: string | undefined) => (value === undefined ? undefined : [value]);
  const narrowed = Object.fromEntries(NARROWED.map((name) => [name, some(search[name])])) as {
    [name in Narrowed]?: string[];
  };
  return { ...narrowed, state: some(state), q, bodies, min_ms, since, until, trace, thread, session };
}
