import type { RequestRecord } from "@/api/live";
import type { Tone } from "@/components/ui/badge";
import type { RequestsSearch, State } from "./search";

/** Tokens of a request by class, as the gateway normalises them. Absent is unknown, not zero. */
export type Usage = {
  input?: number;
  cache_read?: number;
  cache_write?: number;
  cache_write_1h?: number;
  audio_input?: number;
  image_input?: number;
  output?: number;
  reasoning?: number;
  audio_output?: number;
  image_output?: number;
  web_searches?: number;
  service_tier?: string;
  raw?: unknown;
};

export const usageOf = (record: RequestRecord): Usage => (record.usage ?? {}) as Usage;

/** Output tokens a second while the answer was written: from the first token on, where that moment is known. */
export function speed(record: RequestRecord): number | undefined {
  const { output } = usageOf(record);
  if (!output || record.state !== "completed") return undefined;
  const writing = (record.duration_us ?? 0) - (record.first_token_us ?? 0);
  // A whole answer that came at once has no speed.
  if (writing < 1000) return undefined;
  return (output * 1e6) / writing;
}

/** How much of the input the provider's cache gave back, 0 to 1. */
export function cacheShare(usage: Usage): number | undefined {
  if (!usage.input || usage.cache_read === undefined) return undefined;
  return Math.min(1, usage.cache_read / usage.input);
}

export const STATE_TONES: { [state in State]: Tone } = {
  completed: "good",
  interrupted: "warn",
  canceled: "neutral",
  failed: "bad",
};

const same = (wanted: string | undefined, got: string | null | undefined) =>
  wanted === undefined || wanted === (got ?? "");
const among = (wanted: string | undefined, got: readonly string[] | undefined) =>
  wanted === undefined || (wanted === "" ? (got ?? []).length === 0 : (got ?? []).includes(wanted));

/** Whether a record that came just now belongs into a list with these filters. Its kept bodies are not looked into. */
export function matches(record: RequestRecord, filter: RequestsSearch, keyNames: ReadonlyMap<string, string>): boolean {
  const started = record.started ?? 0;
  const { key } = filter;
  return (
    (
      ["model", "channel", "tool", "profile", "error", "provider", "format", "trace", "thread", "session"] as const
    ).every((name) => same(filter[name], record[name])) &&
    same(filter.upstream_model, record.upstream_model ?? record.attempts?.at(-1)?.upstream_model) &&
    among(filter.tag, record.tags) &&
    among(filter.owner, record.owners) &&
    (filter.q === undefined || JSON.stringify(record).toLowerCase().includes(filter.q.toLowerCase())) &&
    (key === undefined || key === (record.key ?? "") || key === keyNames.get(record.key ?? "")) &&
    same(filter.state, record.state) &&
    (filter.min_ms === undefined || (record.duration_us ?? 0) >= filter.min_ms * 1000) &&
    (filter.since === undefined || started >= filter.since) &&
    (filter.until === undefined || started < filter.until)
  );
}

/** Columns of an export: what a spreadsheet can add up. */
export function exported(records: readonly RequestRecord[], keyNames: ReadonlyMap<string, string>) {
  const head = ["id", "started", "state", "status", "error", "tool", "key", "profile", "model", "channel"].concat([
    "upstream_model",
    "attempts",
    "duration_ms",
    "first_token_ms",
    "input",
    "cache_read",
    "output",
    "cost_usd",
  ]);
  const ms = (us: number | null | undefined) => (us === null || us === undefined ? null : us / 1000);
  const rows = records.map((record) => {
    const usage = usageOf(record);
    return [
      record.id ?? "",
      new Date(record.started ?? 0).toISOString(),
      record.state ?? "",
      record.status ?? null,
      record.error ?? null,
      record.tool ?? null,
      keyNames.get(record.key ?? "") ?? record.key ?? null,
      record.profile ?? null,
      record.model ?? null,
      record.channel ?? null,
      record.upstream_model ?? null,
      record.attempts?.length ?? 0,
      ms(record.duration_us),
      ms(record.first_token_us),
      usage.input ?? null,
      usage.cache_read ?? null,
      usage.output ?? null,
      record.cost === null || record.cost === undefined ? null : record.cost / 1e9,
    ];
  });
  return { head, rows };
}

/** Puts new records before those that are there, newest first, each once, at most `most`. */
export function merge(came: RequestRecord[], there: RequestRecord[], most: number): RequestRecord[] {
  if (came.length === 0) return there;
  const seen = new Set(there.map((record) => record.id));
  const fresh = came.filter((record) => !seen.has(record.id));
  if (fresh.length === 0) return there;
  return [...fresh.toReversed(), ...there].slice(0, most);
}

/** The newest of what was listed and of what came since, each once: a list that is read anew may hold either. Ids sort by time. */
export function latest(
  came: readonly RequestRecord[],
  listed: readonly RequestRecord[],
  most: number,
): RequestRecord[] {
  const all = new Map([...came, ...listed].map((record) => [record.id, record]));
  return [...all.values()].toSorted((a, b) => (b.id ?? "").localeCompare(a.id ?? "")).slice(0, most);
}
