import type { Api } from "@/api/client";
import type { Tone } from "@/components/ui/badge";
import type { Key } from "@/i18n";

export type ToolList = Api<"ToolList">;
export type Tool = ToolList["tools"][number];
export type State = Tool["state"];
export type Drift = Tool["drift"][number];
export type Override = Tool["overrides"][number];
export type Ask = Api<"ToolAsk">;

const TONES: Record<State, Tone> = {
  absent: "neutral",
  available: "accent",
  connected: "good",
  drifted: "warn",
  overridden: "warn",
  unreadable: "bad",
  "by-hand": "neutral",
};

export const standing = (tool: Tool): { tone: Tone; label: Key } => ({
  tone: TONES[tool.state],
  label: `toolState.${tool.state}`,
});

/** What needs a hand comes first, what is connected next, what could be after that. */
const ORDER: State[] = ["unreadable", "drifted", "overridden", "connected", "available"];

/** The tools as the page shows them: those of this machine, those that take text only, those that are not here. */
export function sorted(tools: readonly Tool[]): { here: Tool[]; hand: Tool[]; absent: Tool[] } {
  const rank = (tool: Tool) => ORDER.indexOf(tool.state);
  return {
    here: tools.filter((tool) => rank(tool) >= 0).toSorted((a, b) => rank(a) - rank(b)),
    hand: tools.filter((tool) => tool.state === "by-hand" || (tool.state === "absent" && !tool.can_connect)),
    absent: tools.filter((tool) => tool.state === "absent" && tool.can_connect),
  };
}

/** The profile that an address names in its path: `http://127.0.0.1:6935/p/cheap` → `cheap`. */
export function pinnedBy(base: string | null | undefined): string | undefined {
  const found = /\/p\/([^/]+)/.exec(base ?? "")?.[1];
  return found ? decodeURIComponent(found) : undefined;
}

/** A word as a shell takes it. */
const word = (text: string) => (/^[\w./:@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** The command that starts a tool once, with no file changed. */
export const runCommand = (tool: string, profile?: string | null): string =>
  `myelin run ${profile ? `--profile ${word(profile)} ` : ""}${tool}`;

export type DiffLine = { kind: "same" | "gone" | "new" | "place"; text: string };

/** A unified difference as lines; the names of the file above it say nothing new and go. */
export function diffLines(text: string): DiffLine[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const body = lines[0]?.startsWith("--- ") && lines[1]?.startsWith("+++ ") ? lines.slice(2) : lines;
  return body.map((line) => {
    if (line.startsWith("@@")) return { kind: "place", text: line };
    if (line.startsWith("+")) return { kind: "new", text: line.slice(1) };
    if (line.startsWith("-")) return { kind: "gone", text: line.slice(1) };
    return { kind: "same", text: line.replace(/^ /, "") };
  });
}

/** A text with the secret where `KEY` stands by itself; names like `OPENAI_API_KEY` stay. */
export const withKey = (text: string, secret: string): string => text.replace(/\bKEY\b/g, () => secret);

/** Where something stands that beats a tool's file. */
export function placeOf(from: Override["from"]): string | undefined {
  if (from === "environment") return undefined;
  return "shell" in from ? from.shell : from.project;
}

/** What is asked of the gateway; empty fields are left to it. */
export function askOf(fields: { model: string; models: string[]; profile: string; base: string }): Ask {
  return {
    model: fields.model.trim() || null,
    models: fields.models.length > 0 ? fields.models : null,
    profile: fields.profile || null,
    base: fields.base.trim() || null,
  };
}
