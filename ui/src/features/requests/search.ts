/** The filters of the Requests page as they stand in the URL. */

export const STATES = ["completed", "interrupted", "canceled", "failed"] as const;
export type State = (typeof STATES)[number];

export type RequestsSearch = {
  /** Words that the record holds. */
  q?: string;
  model?: string;
  channel?: string;
  key?: string;
  tool?: string;
  state?: State;
  /** Milliseconds since 1970. */
  since?: number;
  until?: number;
  /** The request that the inspector shows. */
  open?: string;
};

/** Reads an address that anyone may have written. */
export function cleanRequests(raw: Record<string, unknown>): RequestsSearch {
  const text = (name: string) => {
    const value = raw[name];
    return typeof value === "string" || typeof value === "number" ? String(value) || undefined : undefined;
  };
  const moment = (name: string) => {
    const value = Number(raw[name]);
    return Number.isSafeInteger(value) && value > 0 ? value : undefined;
  };
  const state = STATES.find((state) => state === raw.state);
  const found: RequestsSearch = {
    q: text("q"),
    model: text("model"),
    channel: text("channel"),
    key: text("key"),
    tool: text("tool"),
    state,
    since: moment("since"),
    until: moment("until"),
    open: text("open"),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}
