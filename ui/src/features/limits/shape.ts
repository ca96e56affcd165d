import type { Api } from "@/api/client";
import type { Tone } from "@/components/ui/badge";
import { count } from "@/lib/format";
import type { Language, Translate } from "@/i18n";
import { money } from "@/lib/money";

export type Limit = Api<"LimitView">;
export type Measure = Limit["measure"];

export const MEASURES = ["money", "requests", "tokens", "parallel"] as const;

/** What a limit can be set on: the word before the colon. `gateway` stands alone. */
export const KINDS = [
  "gateway",
  "key",
  "tool",
  "team",
  "user",
  "project",
  "organisation",
  "model",
  "channel",
  "tag",
  "profile",
] as const;
export type Kind = (typeof KINDS)[number];

/** Windows that are offered. */
export const WINDOWS = ["minute", "1h", "5h", "day", "7d", "week", "month", "total"] as const;

/** How full a limit is, 0 to 1 and beyond, with what is held for requests in flight. */
export function fullness(limit: Limit): number {
  const all = limit.used + limit.held;
  if (limit.amount > 0) return all / limit.amount;
  return all > 0 ? 1 : 0;
}

/** Its colour only repeats the percentage beside it. */
export function toneOf(limit: Limit): Tone {
  const full = fullness(limit);
  const soft = Math.min(...(limit.soft ?? [80]), 100) / 100;
  if (full >= 1) return "bad";
  return full >= soft ? "warn" : "good";
}

/** An amount of what a limit counts. Money is in nanodollars. */
export const amount = (measure: Measure, value: number): string => (measure === "money" ? money(value) : count(value));

/** What a limit says: so much of what in which time. In English the gateway's own words. */
export function saying(limit: Limit, language: Language, t: Translate): string {
  if (language === "en") return limit.words;
  const { measure, per } = limit;
  const most = amount(measure, limit.amount);
  const what = measure === "money" ? most : `${most} ${t(`measures.${measure}`)}`;
  if (measure === "parallel" || !per) return what;
  const known = WINDOWS.find((word) => word === per);
  // Windows that are not offered are told as they are written.
  return `${what} / ${known ? t(`window.${known}`) : per}`;
}

/** `key:laptop` from its two halves. */
export const target = (kind: Kind, name: string): string => (kind === "gateway" ? kind : `${kind}:${name.trim()}`);
