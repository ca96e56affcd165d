import type { Api } from "@/api/client";

export type Profile = Api<"Profile">;
export type Rule = Api<"ProfileRule">;
export type Conditions = NonNullable<Rule["if"]>;

/** A rule while it is edited: its pattern is one of two kinds, its fields are text. What the form does not show is kept in `rest`. */
export type Draft = {
  /** Tells drafts apart while they are moved. */
  id: number;
  kind: "match" | "regex";
  pattern: string;
  to: string;
  fallback: string[];
  set: string;
  /** What else must hold. */
  only: Conditions;
  rest: Partial<Rule>;
};

let last = 0;

export function draftOf(rule: Rule): Draft {
  const { match, regex, to, fallback, set, if: only, ...rest } = rule;
  last += 1;
  const fields = (set ?? {}) as Record<string, unknown>;
  return {
    id: last,
    kind: regex ? "regex" : "match",
    pattern: regex ?? match ?? "",
    to: to ?? "",
    fallback: fallback ?? [],
    set: Object.keys(fields).length > 0 ? JSON.stringify(fields, null, 2) : "",
    only: only ?? {},
    rest,
  };
}

export const emptyDraft = (): Draft => draftOf({ match: "", to: "" } as Rule);

/** A rule as the API takes it, or what is wrong with the draft. */
export function ruleOf(draft: Draft): { rule: Rule } | { wrong: "pattern" | "to" | "set" } {
  const pattern = draft.pattern.trim();
  const to = draft.to.trim();
  if (!pattern) return { wrong: "pattern" };
  if (!to) return { wrong: "to" };
  let set: unknown = {};
  if (draft.set.trim()) {
    try {
      set = JSON.parse(draft.set);
    } catch {
      return { wrong: "set" };
    }
    if (typeof set !== "object" || set === null || Array.isArray(set)) return { wrong: "set" };
  }
  const where = draft.kind === "regex" ? { regex: pattern } : { match: pattern };
  const only = clean(draft.only);
  const condition = Object.keys(only).length > 0 ? { if: only } : {};
  return { rule: { ...draft.rest, ...where, to, fallback: draft.fallback, set, ...condition } as Rule };
}

/** Without what asks nothing. */
function clean(only: Conditions): Conditions {
  const asks = (value: unknown) =>
    value !== undefined &&
    value !== null &&
    !(Array.isArray(value) && value.length === 0) &&
    !(typeof value === "object" && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(only).filter(([, value]) => asks(value)));
}

/** How many things a condition asks. */
export const counted = (only: Conditions | undefined): number => Object.keys(clean(only ?? {})).length;

/** Moves one entry of a list by one place. */
export function moved<T>(list: readonly T[], from: number, by: -1 | 1): T[] {
  const to = from + by;
  const copy = [...list];
  const [entry] = copy.splice(from, 1);
  if (entry === undefined || to < 0 || to > copy.length) return [...list];
  copy.splice(to, 0, entry);
  return copy;
}

/** The pattern of a rule for people. */
export const patternOf = (rule: Rule): string => (rule.regex ? `/${rule.regex}/` : (rule.match ?? "*"));
