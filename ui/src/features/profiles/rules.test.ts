import { expect, test } from "vitest";
import { counted, draftOf, moved, type Rule, ruleOf } from "./rules";

const rule = (fields: object) => fields as Rule;

test("a rule survives the form, fields that the form does not know too", () => {
  const rules = [
    rule({ match: "claude-*", to: "deepseek/deepseek-chat", fallback: ["main/gpt-5"], set: { temperature: 0 } }),
    rule({ regex: "^gpt-5(-.*)?$", to: "main/fast", fallback: [], set: {}, later: { x: 1 } }),
    rule({ match: "a", to: "b", fallback: [], set: {}, if: { tool: ["codex"], min_prompt_tokens: 5 } }),
  ];
  for (const before of rules) expect(ruleOf(draftOf(before))).toEqual({ rule: before });
});

test("conditions that ask nothing are left out", () => {
  const draft = { ...draftOf(rule({ match: "a", to: "b" })), only: { tool: [], images: null, stream: false } };
  expect(ruleOf(draft)).toEqual({ rule: { match: "a", to: "b", fallback: [], set: {}, if: { stream: false } } });
  expect(counted(draft.only)).toBe(1);
});

test("what is missing or no object is named", () => {
  const draft = draftOf(rule({ match: "a", to: "b" }));
  expect(ruleOf({ ...draft, pattern: " " })).toEqual({ wrong: "pattern" });
  expect(ruleOf({ ...draft, to: "" })).toEqual({ wrong: "to" });
  for (const set of ["{", "[]", "null", "1"]) expect(ruleOf({ ...draft, set })).toEqual({ wrong: "set" });
});

test("rules move by one place and never leave the list", () => {
  expect(moved(["a", "b", "c"], 1, -1)).toEqual(["b", "a", "c"]);
  expect(moved(["a", "b", "c"], 2, 1)).toEqual(["a", "b", "c"]);
  expect(moved(["a", "b", "c"], 0, -1)).toEqual(["a", "b", "c"]);
});
