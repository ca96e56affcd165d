import { expect, test } from "vitest";
import { askOf, diffLines, pinnedBy, placeOf, runCommand, sorted, type State, type Tool, withKey } from "./shape";

const tool = (id: string, state: State, more: Partial<Tool> = {}): Tool => ({
  id,
  name: id,
  state,
  files: [],
  drift: [],
  overrides: [],
  wire: "openai-chat",
  models: "own",
  effect: "",
  can_connect: true,
  can_run: true,
  notes: [],
  ...more,
});

test("what needs a hand comes first, and what takes text only stands by itself", () => {
  const { here, hand, absent } = sorted([
    tool("zed", "absent"),
    tool("codex", "available"),
    tool("claude-code", "connected"),
    tool("aider", "drifted"),
    tool("cline", "unreadable"),
    tool("cursor", "by-hand", { can_connect: false }),
    tool("copilot-cli", "absent", { can_connect: false }),
  ]);
  expect(here.map((row) => row.id)).toEqual(["cline", "aider", "claude-code", "codex"]);
  expect(hand.map((row) => row.id)).toEqual(["cursor", "copilot-cli"]);
  expect(absent.map((row) => row.id)).toEqual(["zed"]);
});

test("an address tells the profile that its path names", () => {
  expect(pinnedBy("http://127.0.0.1:6935/p/cheap")).toBe("cheap");
  expect(pinnedBy("http://127.0.0.1:6935/p/a%20b/v1")).toBe("a b");
  expect(pinnedBy("http://127.0.0.1:6935")).toBeUndefined();
  expect(pinnedBy(null)).toBeUndefined();
});

test("the command to start a tool is safe to paste", () => {
  expect(runCommand("codex")).toBe("myelin run codex");
  expect(runCommand("codex", "cheap")).toBe("myelin run --profile cheap codex");
  expect(runCommand("codex", "it's; rm")).toBe(`myelin run --profile 'it'\\''s; rm' codex`);
});

test("a difference is read line by line, and only its own header goes", () => {
  const text = "--- ~/a.json\n+++ ~/a.json\n@@ -1,2 +1,2 @@\n {\n-  --- old\n+  new\n";
  expect(diffLines(text)).toEqual([
    { kind: "place", text: "@@ -1,2 +1,2 @@" },
    { kind: "same", text: "{" },
    { kind: "gone", text: "  --- old" },
    { kind: "new", text: "  new" },
  ]);
  expect(diffLines("")).toEqual([]);
});

test("a secret goes where KEY stands, not into names that end in it", () => {
  const text = "export OPENAI_API_KEY=KEY\napiKey: KEY ${{ secrets.MYELIN_KEY }}";
  expect(withKey(text, "my-$&1")).toBe("export OPENAI_API_KEY=my-$&1\napiKey: my-$&1 ${{ secrets.MYELIN_KEY }}");
});

test("what beats a file has a place, but for the environment", () => {
  expect(placeOf("environment")).toBeUndefined();
  expect(placeOf({ shell: "~/.bashrc:3" })).toBe("~/.bashrc:3");
  expect(placeOf({ project: "~/work/.claude/settings.json" })).toBe("~/work/.claude/settings.json");
});

test("empty fields are left to the gateway", () => {
  expect(askOf({ model: " ", models: [], profile: "", base: "" })).toEqual({
    model: null,
    models: null,
    profile: null,
    base: null,
  });
  expect(askOf({ model: "m", models: ["m"], profile: "p", base: " http://h " }).base).toBe("http://h");
});
