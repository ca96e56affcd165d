import type { RequestRecord } from "@/api/live";
import type { Key } from "@/i18n";
import { count, percent } from "@/lib/format";
import { speed, usageOf } from "./shape";

/** How a figure is written; words stand for themselves. */
export type Unit = "words" | "count" | "time" | "money" | "bytes" | "rate";
export type Side = string | number | undefined;
export type Row = {
  label: Key;
  unit: Unit;
  left: Side;
  right: Side;
  differs: boolean;
  /** By how much the right one is more than the left, 1 = twice; only of figures of which both are known. */
  change?: number;
};

type Field = { label: Key; unit: Unit; of: (record: RequestRecord) => Side | null };

const FIELDS: Field[] = [
  { label: "column.state", unit: "words", of: (r) => [r.state, r.status].filter(Boolean).join(" ") },
  { label: "compare.error", unit: "words", of: (r) => r.error },
  { label: "requests.model", unit: "words", of: (r) => r.model },
  { label: "by.channel", unit: "words", of: (r) => r.channel },
  { label: "by.upstream_model", unit: "words", of: (r) => r.upstream_model },
  { label: "inspect.profile", unit: "words", of: (r) => r.profile },
  { label: "inspect.tool", unit: "words", of: (r) => r.tool },
  { label: "inspect.format", unit: "words", of: (r) => [r.format, r.upstream_format].filter(Boolean).join(" → ") },
  { label: "inspect.finish", unit: "words", of: (r) => r.finish },
  { label: "compare.attempts", unit: "count", of: (r) => r.attempts?.length ?? 0 },
  { label: "tokens.input", unit: "count", of: (r) => usageOf(r).input },
  { label: "tokens.cache_read", unit: "count", of: (r) => usageOf(r).cache_read },
  { label: "tokens.cache_write", unit: "count", of: (r) => usageOf(r).cache_write },
  { label: "tokens.output", unit: "count", of: (r) => usageOf(r).output },
  { label: "tokens.reasoning", unit: "count", of: (r) => usageOf(r).reasoning },
  { label: "column.cost", unit: "money", of: (r) => r.cost },
  { label: "column.firstToken", unit: "time", of: (r) => r.first_token_us },
  { label: "column.total", unit: "time", of: (r) => r.duration_us },
  { label: "column.speed", unit: "rate", of: speed },
  { label: "compare.bytesIn", unit: "bytes", of: (r) => r.bytes_in },
  { label: "compare.bytesOut", unit: "bytes", of: (r) => r.bytes_out },
];

/** Two records field by field; what neither says is left out. */
export function compared(left: RequestRecord, right: RequestRecord): Row[] {
  return FIELDS.flatMap(({ label, unit, of }) => {
    const [a, b] = [of(left) ?? undefined, of(right) ?? undefined].map((side) => (side === "" ? undefined : side));
    if (a === undefined && b === undefined) return [];
    const figures = typeof a === "number" && typeof b === "number";
    const change = figures && a !== 0 && a !== b ? b / a - 1 : undefined;
    return [{ label, unit, left: a, right: b, differs: a !== b, change }];
  });
}

/** A change as people say it: a share as long as that says something, then how many times as much. */
export function changeWords(change: number): string {
  if (change >= 9) return `×${count(change + 1)}`;
  return `${change > 0 ? "+" : "−"}${percent(Math.abs(change))}`;
}

/** The two requests that an address names. */
export function pair(text: string | undefined): [string, string] | undefined {
  const [left, right, more] = (text ?? "").split(",");
  return left && right && more === undefined && left !== right ? [left, right] : undefined;
}

/** Picks one more, or lets one go; at most two: the older pick makes room. */
export function pick(picked: readonly string[], id: string): string[] {
  if (picked.includes(id)) return picked.filter((one) => one !== id);
  return [...picked, id].slice(-2);
}

/** Two picks as an address names them: the older one first. Ids sort by time. */
export const inOrder = (picked: readonly string[]): string => picked.toSorted().join(",");
