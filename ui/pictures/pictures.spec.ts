import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, Gateway, Mock, test as base } from "../e2e/gateway";

const ROOT = join(import.meta.dirname, "..", "..");
/** Pictures that the README shows; the others are made to be looked at. */
const SHOWN = new Set(["home", "costs", "inspector", "tools", "playground"]);

/** A store with some weeks of traffic; see `cargo xtask pictures`. */
const DATA = process.env.MYELIN_DATA;

const test = base.extend({
  // oxlint-disable-next-line no-empty-pattern
  gateway: async ({}, use) => {
    const gateway = await Gateway.start(DATA);
    await use(gateway);
    await gateway.stop();
  },
});

/** The page as it stands. Playwright writes PNG and JPEG only; the browser itself also WebP. */
async function shoot(page: Page, name: string) {
  await page.mouse.move(0, 0);
  await expect(page.locator("[aria-busy=true]")).toHaveCount(0);
  await page.waitForTimeout(600);
  const session = await page.context().newCDPSession(page);
  const shot = await session.send("Page.captureScreenshot", { format: "webp", quality: 82 });
  const folder = SHOWN.has(name) ? join(ROOT, "docs", "images") : join(ROOT, "target", "pictures");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.webp`), Buffer.from(shot.data, "base64"));
  await session.detach();
}

/** Tools in a home of its own: two connected, one that was changed since, one that is not connected. */
async function tools(gateway: Gateway) {
  const write = (path: string, text: string) => {
    const file = join(gateway.home, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  };
  write(".claude/settings.json", '{\n  "theme": "dark"\n}\n');
  write(".codex/config.toml", 'model = "gpt-5"\n');
  write(".gemini/settings.json", "{}\n");
  write(".config/opencode/opencode.json", "{}\n");
  for (const tool of ["claude-code", "codex", "gemini-cli"]) {
    await gateway.admin("POST", `/tools/${tool}/connect`, {});
  }
  write(".gemini/.env", "GOOGLE_GEMINI_BASE_URL=https://elsewhere.example\n");
}

async function furnish(gateway: Gateway, mock: Mock) {
  await gateway.admin("PATCH", "/settings", { bodies: "all", unpriced: "block" });
  const channel = (name: string, provider: string, at: string, models: string[], tags: string[]) =>
    gateway.admin("POST", "/channels", {
      name,
      provider,
      base_urls: [mock.address(at)],
      credentials: [mock.key],
      models,
      tags,
      enabled: true,
    });
  await channel("anthropic-main", "anthropic", "anthropic", ["claude-sonnet-4-5", "claude-opus-4-5"], ["paid"]);
  await channel("openai-main", "openai", "openai", ["gpt-5", "gpt-5-mini"], ["paid"]);
  await channel("deepseek", "deepseek", "deepseek", ["deepseek-chat"], ["cheap"]);
  for (const name of ["anthropic-main", "openai-main", "deepseek"]) {
    await gateway.admin("POST", `/channels/${name}/test`, { enable: true });
  }
  await gateway.admin("POST", "/profiles", {
    name: "cheap",
    description: "Claude's models on DeepSeek, the rest small",
    rules: [
      { match: "claude-*", to: "deepseek/deepseek-chat", fallback: ["openai-main/gpt-5-mini"] },
      { regex: "^gpt-5(-.*)?$", to: "openai-main/gpt-5-mini" },
    ],
  });
  await gateway.admin("POST", "/limits", { on: "gateway", money: 4000, per: "month" });
  await gateway.chat("openai-main/gpt-5-mini", "What does a myelin sheath do?", { stream: true });
  const tools = [{ type: "function", function: { name: "read_file", parameters: { type: "object", properties: {} } } }];
  const messages = [
    { role: "system", content: "You are a careful engineer." },
    { role: "user", content: "Why does the retry test fail on slow machines?" },
    {
      role: "assistant",
      content: null,
      tool_calls: [
        { id: "call_1", type: "function", function: { name: "read_file", arguments: '{"path": "tests/retry.rs"}' } },
      ],
    },
    { role: "tool", tool_call_id: "call_1", content: "#[test]\nfn retries_after_a_pause() { … }" },
  ];
  await gateway.admin("PUT", "/active-profile", { profile: "cheap" });
  await gateway.chat("claude-sonnet-4-5", "", { messages, tools, stream: true });
}

test("pictures of the console", async ({ logIn, gateway, mock }) => {
  test.setTimeout(300_000);
  await furnish(gateway, mock);
  const page = await logIn("/");
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto(`${gateway.url}/`);
  await shoot(page, "home");
  await page.goto(`${gateway.url}/costs?range=month`);
  await expect(page.locator("figure canvas")).toBeVisible();
  await shoot(page, "costs");
  await page.goto(`${gateway.url}/performance?range=week&by=channel&view=time`);
  await shoot(page, "performance");
  await page.goto(`${gateway.url}/requests`);
  await shoot(page, "requests");
  await page.getByRole("row").filter({ hasText: "deepseek" }).first().getByRole("link").click();
  await expect(page.getByRole("dialog").getByText("deepseek/deepseek-chat").first()).toBeVisible();
  await shoot(page, "inspector");
  await tools(gateway);
  await page.goto(`${gateway.url}/tools`);
  await expect(
    page.getByRole("article", { name: "Claude Code" }).getByText("connected", { exact: true }),
  ).toBeVisible();
  await shoot(page, "tools");
  await page.goto(`${gateway.url}/profiles`);
  await page.getByLabel("Which model?").fill("claude-sonnet-4-5");
  await expect(page.getByRole("cell", { name: "deepseek/deepseek-chat" }).first()).toBeVisible();
  await shoot(page, "profiles");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.goto(`${gateway.url}/playground?model=deepseek%2Fdeepseek-chat&other=openai-main%2Fgpt-5-mini`);
  await page.getByLabel(/^Message/).fill("Say what a sheath is for, in one sentence.");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("link", { name: "Inspect" })).toHaveCount(2);
  await shoot(page, "playground");
});
