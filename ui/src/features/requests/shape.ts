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

const same = (wanted: string | undefined, got: string | null | undefined) => wanted === undefined || wanted === got;

/** Whether a record that came just now belongs into a list with these filters. */
export function matches(record: RequestRecord, filter: RequestsSearch, keyIds: ReadonlyMap<string, string>): boolean {
  const key = filter.key === undefined ? undefined : (keyIds.get(filter.key) ?? filter.key);
  const started = record.started ?? 0;
  return (
    same(filter.model, record.model) &&
    same(filter.channel, record.channel) &&
    same(filter.tool, record.tool) &&
    (filter.q === undefined || JSON.stringify(record).toLowerCase().includes(filter.q.toLowerCase())) &&
    same(key, record.key) &&
    same(filter.state, record.state) &&
    (filter.since === undefined || started >= filter.since) &&
    (filter.until === undefined || started < filter.until)
  );
}

/** Puts new records before those that are there, newest first, each once, at most `most`. */
export function merge(came: RequestRecord[], there: RequestRecord[], most: number): RequestRecord[] {
  if (came.length === 0) return there;
  const seen = new Set(there.map((record) => record.id));
  const fresh = came.filter((record) => !seen.has(record.id));
  if (fresh.length === 0) return there;
  return [...fresh.toReversed(), ...there].slice(0, most);
}
