import type { RequestRecord } from "@/api/live";
import type { Usage } from "./shape";

const CLASSES = [
  { name: "input", part: false },
  { name: "cache_read", part: true },
  { name: "cache_write", part: true },
  { name: "cache_write_1h", part: true },
  { name: "audio_input", part: true },
  { name: "image_input", part: true },
  { name: "output", part: false },
  { name: "reasoning", part: true },
  { name: "audio_output", part: true },
  { name: "image_output", part: true },
  { name: "web_searches", part: false },
] as const;

export type TokenClass = { name: (typeof CLASSES)[number]["name"]; part: boolean; count: number };

/** The classes that are known, parts under their whole. */
export function tokenClasses(usage: Usage): TokenClass[] {
  return CLASSES.flatMap(({ name, part }) => {
    const count = usage[name];
    return typeof count === "number" ? [{ name, part, count }] : [];
  });
}

/** A command that asks the same again. Quotes are safe for POSIX shells. */
export function curl(record: RequestRecord, origin: string, body?: string): string {
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const sent = body ?? JSON.stringify({ model: record.model, messages: [{ role: "user", content: "…" }] });
  return [
    `curl ${quoted(`${origin}${record.path ?? "/v1/chat/completions"}`)}`,
    `-H 'authorization: Bearer my-…'`,
    `-H 'content-type: application/json'`,
    `-d ${quoted(sent)}`,
  ].join(" \\\n  ");
}

/** A body that asks for another model; as it is where it names none or is no object. */
export function withModel(body: string, model: string): string {
  if (!model) return body;
  try {
    const request = JSON.parse(body) as unknown;
    if (typeof request !== "object" || request === null || !("model" in request)) return body;
    return JSON.stringify({ ...request, model });
  } catch {
    return body;
  }
}

/** Fields of a record that could tell who or where; everything else helps to find a fault. */
const PRIVATE = ["key", "session", "trace", "thread", "owners", "tags"] as const;

/** A record for a bug report: who asked is left out, so are words that may quote a conversation. */
export function scrubbed(record: RequestRecord): string {
  const copy: Record<string, unknown> = { ...record };
  for (const field of PRIVATE) {
    const value = copy[field];
    if (Array.isArray(value) ? value.length > 0 : value) copy[field] = "[removed]";
  }
  const usage = copy.usage as { raw?: unknown } | null | undefined;
  if (usage) copy.usage = { ...usage, raw: undefined };
  return `${JSON.stringify({ report: "myelin request", ...copy }, null, 2)}\n`;
}
