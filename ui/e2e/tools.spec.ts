import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { accessible } from "./accessibility";
import { expect, type Gateway, test } from "./gateway";

function write(gateway: Gateway, path: string, text: string): string {
  const file = join(gateway.home, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

const SETTINGS = '// mine\r\n{\r\n    "theme":"dark", /* keep */\r\n  "env": { "OWN": "1" }\r\n}\r\n';

test("a tool is connected after its change was shown, switched without its file, and restored byte for byte", async ({
  logIn,
  gateway,
}) => {
  const file = write(gateway, ".claude/settings.json", SETTINGS);
  await gateway.admin("POST", "/profiles", { name: "cheap", rules: [{ match: "claude-*", to: "echo" }] });
  const page = await logIn("/tools");
  const card = page.getByRole("article", { name: "Claude Code" });
  await expect(card.getByText("not connected", { exact: true })).toBeVisible();
  await card.getByRole("button", { name: "Connect Claude Code" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByLabel("~/.claude/settings.json")).toContainText("ANTHROPIC_BASE_URL");
  await expect(dialog.getByLabel("~/.claude/settings.json")).toContainText(`${gateway.url}/anthropic`);
  expect(readFileSync(file, "utf8"), "nothing is written before it is confirmed").toBe(SETTINGS);
  await accessible(page, "tool preview");
  await dialog.getByLabel(/^Model to begin with/).fill("claude-sonnet-4-5");
  await expect(dialog.getByLabel("~/.claude/settings.json")).toContainText("claude-sonnet-4-5");
  await dialog.getByRole("button", { name: "Write it" }).click();
  await expect(dialog.getByText("Claude Code is connected")).toBeVisible();
  await dialog.getByRole("button", { name: "Done" }).click();
  await expect(card.getByText("connected", { exact: true })).toBeVisible();
  const written = readFileSync(file, "utf8");
  expect(written).toContain("/* keep */");
  const secret = /"ANTHROPIC_AUTH_TOKEN":\s*"(my-\w+)"/.exec(written)?.[1] ?? "";
  expect(secret).not.toBe("");
  expect(await page.content(), "the tool's secret is in its file, not on the page").not.toContain(secret);

  const ask = () => gateway.chat("claude-sonnet-4-5", "hi", {}, { authorization: `Bearer ${secret}` });
  expect((await ask()).status).toBe(404);
  await card.getByLabel("Profile of Claude Code").selectOption("cheap");
  await expect(page.getByText("Claude Code follows from the next request on")).toBeVisible();
  expect((await ask()).status).toBe(200);
  expect(readFileSync(file, "utf8"), "a switch writes no file").toBe(written);

  await card.getByRole("button", { name: "Restore Claude Code" }).click();
  await dialog.getByText("Delete its key too").click();
  await dialog.getByRole("button", { name: "Restore", exact: true }).click();
  await expect(dialog.getByText("byte for byte as it was")).toBeVisible();
  await dialog.getByRole("button", { name: "Done" }).click();
  expect(readFileSync(file, "utf8")).toBe(SETTINGS);
  expect((await ask()).status).toBe(401);
  await expect(card.getByText("not connected", { exact: true })).toBeVisible();
});

test("a value that was changed since is told, and repaired after the change was shown", async ({ logIn, gateway }) => {
  const file = write(gateway, ".claude/settings.json", SETTINGS);
  await gateway.admin("POST", "/tools/claude-code/connect", { model: "claude-sonnet-4-5" });
  const written = readFileSync(file, "utf8");
  writeFileSync(file, written.replace(`${gateway.url}/anthropic`, "https://elsewhere.example"));
  const page = await logIn("/tools");
  const card = page.getByRole("article", { name: "Claude Code" });
  const dialog = page.getByRole("dialog");
  await expect(card.getByText("drifted", { exact: true })).toBeVisible();
  await expect(card.getByText(/ANTHROPIC_BASE_URL is now https:\/\/elsewhere\.example/)).toBeVisible();
  await accessible(page, "drifted tool");
  await card.getByRole("button", { name: "Repair Claude Code" }).click();
  await expect(dialog.getByLabel("~/.claude/settings.json")).toContainText("elsewhere.example");
  await dialog.getByRole("button", { name: "Write it" }).click();
  await expect(dialog.getByText("Claude Code is as it should be")).toBeVisible();
  await dialog.getByRole("button", { name: "Done" }).click();
  expect(readFileSync(file, "utf8")).toBe(written);
  await expect(card.getByText("connected", { exact: true })).toBeVisible();
});

test("what beats a tool's file, and a file that cannot be read, are told with their place", async ({
  logIn,
  gateway,
}) => {
  write(gateway, ".codex/config.toml", "model = \n");
  write(gateway, ".claude/settings.json", "{}");
  write(gateway, ".bashrc", "export ANTHROPIC_BASE_URL=https://other.example\n");
  const page = await logIn("/tools");
  await expect(page.getByRole("article", { name: "Codex" }).getByText("unreadable", { exact: true })).toBeVisible();
  await expect(page.getByRole("article", { name: "Codex" }).getByText("Mend it by hand")).toBeVisible();
  const card = page.getByRole("article", { name: "Claude Code" });
  await expect(card.getByText(/https:\/\/other\.example, in ~\/\.bashrc:1/)).toBeVisible();
  await accessible(page, "troubled tools");
});

test("a tool without a file gets its text, with a key that is shown once", async ({ logIn, gateway, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await logIn("/tools");
  await page.getByRole("button", { name: "A shell: what to paste" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(/^Address/).fill("https://llm.example");
  await expect(dialog.getByLabel("What to paste")).toContainText("OPENAI_BASE_URL=https://llm.example/v1");
  await expect(dialog.getByLabel("What to paste")).toContainText("OPENAI_API_KEY=KEY");
  await dialog.getByRole("button", { name: "Make a key and fill it in" }).click();
  await expect(dialog.getByText("shown only this once")).toBeVisible();
  await dialog.getByRole("button", { name: "Copy", exact: true }).click();
  await expect(dialog.getByRole("button", { name: "Copied" })).toBeVisible();
  const secret = /OPENAI_API_KEY=(my-\w+)/.exec(await page.evaluate(() => navigator.clipboard.readText()))?.[1] ?? "";
  expect((await gateway.chat("echo", "hi", {}, { authorization: `Bearer ${secret}` })).status).toBe(200);
  await page.reload();
  expect(await page.content()).not.toContain(secret);
});

test("a folder is bound to a profile and freed again", async ({ logIn, gateway }) => {
  await gateway.admin("POST", "/profiles", { name: "cheap", rules: [{ match: "a", to: "echo" }] });
  const folder = join(gateway.home, "client");
  mkdirSync(folder);
  const page = await logIn("/tools?view=folders");
  await expect(page.getByText("No folder is bound to a profile")).toBeVisible();
  await page.getByLabel("Folder", { exact: true }).fill(join(gateway.home, "not-there"));
  await page.getByLabel("Profile", { exact: true }).selectOption("cheap");
  await page.getByRole("button", { name: "Bind" }).click();
  await expect(page.getByRole("alert")).toContainText("not-there");
  await page.getByLabel("Folder", { exact: true }).fill(folder);
  await page.getByLabel("Tool", { exact: true }).selectOption("codex");
  await page.getByRole("button", { name: "Bind" }).click();
  const row = page.getByRole("row").filter({ hasText: folder });
  await expect(row).toContainText("codex");
  await accessible(page, "folders");
  await row.getByRole("button", { name: `Free ${folder}` }).click();
  await expect(page.getByText("No folder is bound to a profile")).toBeVisible();
});

test("what is on the machine already is offered, shown before it is used, and taken over", async ({
  logIn,
  gateway,
}) => {
  write(gateway, ".codex/auth.json", JSON.stringify({ OPENAI_API_KEY: "sk-canary-0123456789abcdef" }));
  write(
    gateway,
    ".litellm/config.yaml",
    "model_list:\n  - model_name: fast\n    litellm_params:\n      model: deepseek/deepseek-chat\n      api_key: sk-litellm-0123456789\n",
  );
  // LM Studio's usual port, unless a real one has it.
  const models = JSON.stringify({ object: "list", data: [{ id: "local-model", object: "model" }] });
  const said = JSON.stringify({
    id: "1",
    object: "chat.completion",
    created: 1,
    model: "local-model",
    choices: [{ index: 0, message: { role: "assistant", content: "hello" }, finish_reason: "stop" }],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  });
  const server = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    request.resume();
    response.end(request.url?.includes("models") ? models : said);
  });
  const free = await new Promise<boolean>((done) => {
    server.once("error", () => done(false));
    server.listen(1234, "127.0.0.1", () => done(true));
  });
  try {
    const page = await logIn("/");
    await page.getByRole("link", { name: "Look on this machine" }).click();
    const dialog = page.getByRole("dialog");
    await expect(dialog.getByRole("region", { name: "Keys" })).toContainText("openai");
    await expect(dialog.getByRole("checkbox", { name: /openai/ })).toBeChecked();
    expect(await page.content()).not.toContain("sk-canary-0123456789abcdef");
    await accessible(page, "found on the machine");
    if (free) {
      await dialog.getByRole("checkbox", { name: /openai/ }).uncheck();
      await expect(dialog.getByRole("checkbox", { name: "LM Studio" })).toBeChecked();
      for (const box of await dialog.getByRole("checkbox").all()) {
        if (!(await box.evaluate((box) => box.parentElement?.textContent?.includes("LM Studio")))) await box.uncheck();
      }
      await dialog.getByRole("button", { name: "Add 1 channel" }).click();
      await expect(dialog.getByText(/Answered in/)).toBeVisible();
      await dialog.getByRole("button", { name: "Done" }).click();
      await expect(page.getByRole("article", { name: "lmstudio" }).getByText("working", { exact: true })).toBeVisible();
      await page.getByRole("button", { name: "Look on this machine" }).click();
      await expect(dialog.getByText("there is a channel already")).toBeVisible();
    }
    await dialog.getByRole("button", { name: "Show what it becomes" }).click();
    await expect(dialog.getByRole("region", { name: "1 channel" })).toContainText("deepseek");
    expect(JSON.stringify(await gateway.admin("GET", "/channels"))).not.toContain("deepseek");
    await accessible(page, "import");
    await dialog.getByRole("button", { name: "Take it over" }).click();
    await expect(dialog.getByText("Test the new channels, and they take part.")).toBeVisible();
    expect(JSON.stringify(await gateway.admin("GET", "/channels"))).toContain("deepseek");
    expect(await page.content()).not.toContain("sk-litellm-0123456789");
  } finally {
    server.close();
  }
});
