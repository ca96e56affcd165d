import { readFileSync } from "node:fs";
import { accessible } from "./accessibility";
import { expect, test } from "./gateway";

test("the inspector goes down to headers, prices and sending again", async ({ logIn, gateway, mock, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await gateway.admin("PATCH", "/settings", { bodies: "all" });
  await gateway.channel(mock, "main", "openai");
  await gateway.admin("PUT", "/prices", { channel: "main", model: "gpt-5-mini", price: { input: 2, output: 8 } });
  await gateway.chat("main/gpt-5-mini", "first", {}, { "user-agent": "e2e-tool", "x-own-secret": "canary-value" });
  await gateway.chat("main/gpt-5-mini", "second");

  const page = await logIn("/requests");
  await expect(page.getByRole("row").filter({ hasText: "gpt-5-mini" })).toHaveCount(2);
  await page.keyboard.press("j");
  const inspector = page.getByRole("dialog");
  await inspector.getByRole("tab", { name: "Conversation" }).click();
  await expect(inspector.getByText("second", { exact: true })).toBeVisible();
  await page.keyboard.press("j");
  await expect(inspector.getByText("first", { exact: true })).toBeVisible();

  await inspector.getByRole("tab", { name: "Headers" }).click();
  await expect(inspector.getByLabel("Request as received")).toContainText("user-agent: e2e-tool");
  await expect(inspector.getByLabel("Request as received")).toContainText("x-own-secret: …");
  await expect(inspector.getByLabel("Request as sent 1")).toContainText("authorization: …");
  expect(await page.content()).not.toContain("canary-value");

  await inspector.getByRole("tab", { name: "Tokens and cost" }).click();
  await expect(inspector.getByRole("region", { name: "Charged as" }).getByText("$8")).toBeVisible();
  await accessible(page, "cost breakdown");

  await inspector.getByRole("tab", { name: "Overview" }).click();
  await inspector.getByRole("button", { name: "Copy as curl" }).click();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  expect(command).toContain(`curl '${gateway.url}/v1/chat/completions'`);
  expect(command).toContain('"content":"first"');

  await inspector.getByRole("button", { name: "Send again" }).click();
  const again = page.getByRole("dialog", { name: "Send again" });
  await expect(again.getByText(/The first time it cost/)).toBeVisible();
  await again.getByRole("textbox", { name: /Model/ }).fill("echo");
  await again.getByRole("button", { name: "Send", exact: true }).click();
  await expect(again.getByLabel("Answer")).toContainText("first");
  await again.getByRole("link", { name: "Inspect" }).click();
  await expect(page.getByRole("dialog").getByRole("heading", { name: /echo/ })).toBeVisible();
});

test("hostile bodies are text: markup, a deep and huge document, bytes that are no text", async ({
  logIn,
  gateway,
}) => {
  await gateway.admin("PATCH", "/settings", { bodies: "all" });
  const huge = JSON.stringify({
    model: "echo",
    messages: [{ role: "user", content: `</pre><script>document.title='pwned'</script>${"x".repeat(900_000)}` }],
    metadata: { deep: "[".repeat(2_000) },
  });
  const send = (body: string | Uint8Array) =>
    fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${gateway.key}`, "content-type": "application/json" },
      body: body as BodyInit,
    }).then((response) => response.text());
  await send(huge);
  const odd = new TextEncoder().encode('{"model": "echo", "messages": [{"role": "user", "content": "?"}]}');
  odd[odd.indexOf("?".charCodeAt(0))] = 0xff;
  await send(odd);
  const page = await logIn("/requests");
  await expect(page.getByRole("row").filter({ hasText: /echo|chat/ })).toHaveCount(2);
  for (const at of [0, 1]) {
    await page
      .getByRole("row")
      .filter({ hasText: /echo|chat/ })
      .nth(at)
      .getByRole("link")
      .click();
    const inspector = page.getByRole("dialog");
    await inspector.getByRole("tab", { name: "Bodies" }).click();
    // Of what was refused unread, only the answer is kept.
    await inspector.getByRole("group", { name: "Which body" }).getByRole("button").first().click();
    await expect(inspector.locator("pre").first()).toBeVisible();
    await inspector.getByRole("tab", { name: "Conversation" }).click();
    await page.keyboard.press("Escape");
  }
  expect(await page.title()).toBe("Myelin");
});

test("the list is narrowed by what occurs, kept as a view, and exported", async ({ logIn, gateway }) => {
  await gateway.chat("echo", "one");
  await gateway.chat("nothing-of-that-name", "two");
  const page = await logIn("/requests");
  await expect(page.getByRole("row").filter({ hasText: "nothing-of-that-name" })).toHaveCount(1);
  await page.getByRole("button", { name: "Filter" }).click();
  await accessible(page, "filter");
  await page.getByRole("button", { name: /^echo/ }).click();
  await expect(page).toHaveURL(/model=echo/);
  await expect(page.getByRole("row").filter({ hasText: "nothing-of-that-name" })).toHaveCount(0);

  await page.getByRole("button", { name: "Views" }).click();
  await page.getByRole("menuitem", { name: "Save this view" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("echoes");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("dialog")).toBeHidden();
  await page.goto(`${gateway.url}/requests`);
  await page.getByRole("button", { name: "Views" }).click();
  await page.getByRole("menuitem", { name: "echoes" }).click();
  await expect(page).toHaveURL(/model=echo/);

  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page
      .getByRole("button", { name: "Export" })
      .click()
      .then(() => page.getByRole("menuitem", { name: "CSV" }).click()),
  ]);
  const rows = readFileSync(await file.path(), "utf8")
    .trim()
    .split("\r\n");
  expect(rows).toHaveLength(2);
  expect(rows[1]).toContain("echo");
});

test("a profile is explained before anything is sent, then tested", async ({ logIn, gateway, mock }) => {
  await gateway.channel(mock, "cheapo", "deepseek");
  await gateway.admin("POST", "/channels/cheapo/models");
  await gateway.admin("POST", "/profiles", {
    name: "cheap",
    rules: [{ match: "claude-*", to: "cheapo/deepseek-chat", if: { tool: ["claude-code"] } }],
  });
  const page = await logIn("/profiles");
  await page.getByLabel("Which model?").fill("claude-sonnet-4-5");
  await page.getByLabel("Profile", { exact: true }).selectOption("cheap");
  await expect(page.getByText("No rule of it matched", { exact: false })).toBeVisible();
  await page.getByLabel("Tool", { exact: true }).fill("claude-code");
  await expect(page.getByText("Its rule fired", { exact: false })).toBeVisible();
  await expect(
    page.getByRole("region", { name: "Planned deployments" }).getByText("cheapo/deepseek-chat"),
  ).toBeVisible();
  await accessible(page, "explained");
  await page.getByLabel("Tool", { exact: true }).fill("");
  await page.getByLabel("Which model?").fill("cheapo/deepseek-chat");
  await page.getByRole("button", { name: "Send a small test" }).click();
  await expect(page.getByText("→ cheapo/deepseek-chat", { exact: true })).toBeVisible();

  await page.getByRole("button", { name: "Ready-made" }).click();
  await page.getByRole("menuitem").first().click();
  await expect(page.getByRole("dialog", { name: "New profile" }).getByLabel("Asked for").first()).not.toBeEmpty();
});

test("what fails is out of rotation, is shown with its reason, and is put back", async ({ logIn, gateway }) => {
  await gateway.admin("POST", "/channels", {
    name: "broken",
    provider: "openai-compatible",
    base_urls: ["http://127.0.0.1:9/v1"],
    credentials: ["sk-broken"],
    models: ["m"],
    enabled: true,
  });
  for (let at = 0; at < 8; at += 1) await gateway.chat("broken/m", "hello");
  const page = await logIn("/channels");
  const card = page.getByRole("article", { name: "broken" });
  await expect(card.getByRole("button", { name: "Put back" })).toBeVisible();
  await accessible(page, "out of rotation");
  await page.goto(`${gateway.url}/performance?view=failures`);
  await expect(page.getByRole("region", { name: "Out of rotation" }).getByRole("row").nth(1)).toContainText("broken");
  await expect(page.getByRole("figure", { name: "Failed requests by kind" })).toBeVisible();
  await accessible(page, "failures");
  await page.goto(`${gateway.url}/channels`);
  await card.getByRole("button", { name: "Put back" }).click();
  await expect(card.getByRole("button", { name: "Put back" })).toBeHidden();
});

test("prices are seen and set, and the same tokens are held against another model", async ({
  logIn,
  gateway,
  mock,
}) => {
  await gateway.channel(mock, "main", "openai", { models: ["gpt-5-mini", "gpt-5"] });
  const page = await logIn("/channels");
  await page.getByRole("article", { name: "main" }).getByRole("button", { name: "Models and prices" }).click();
  await page.getByRole("button", { name: "Set the price of gpt-5-mini" }).click();
  const form = page.getByRole("dialog", { name: "Set the price of gpt-5-mini" });
  await form.getByLabel("Input").fill("1000");
  await form.getByLabel("Output").fill("2000");
  await form.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("cell", { name: "$1000" })).toBeVisible();
  await accessible(page, "prices");
  await gateway.chat("main/gpt-5-mini", "hello");

  await page.goto(`${gateway.url}/costs?range=hour&tab=whatif`);
  await page.getByLabel("Model to compare with").fill("main/gpt-5");
  await expect(page.getByText("On main/gpt-5").first()).toBeVisible();
  await expect(page).toHaveURL(/as=main/);
  await expect(page.getByRole("region", { name: "The same tokens" }).getByText(/^-\$/)).toBeVisible();
  await accessible(page, "what if");
  await page.keyboard.press("Escape");
  await page.getByRole("heading", { name: "Costs" }).click();
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keyboard shortcuts" })).toBeVisible();
});
