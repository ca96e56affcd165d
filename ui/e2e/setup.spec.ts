import { expect, test } from "./gateway";

test("a wrong key is explained and can be put right without beginning anew", async ({ logIn, mock }) => {
  const page = await logIn("/channels?add=deepseek");
  await page.getByLabel("Key", { exact: true }).fill("mock-bad-key");
  await page.getByText("Name, address, models, tags").click();
  await page.getByLabel(/^Address/).fill(mock.address("deepseek"));
  await page.getByRole("button", { name: "Add and test" }).click();
  await expect(page.getByText("The provider refuses the key")).toBeVisible();
  await page.getByLabel("Key", { exact: true }).fill(mock.key);
  await page.getByRole("button", { name: "Test again" }).click();
  await expect(page.getByText(/Answered in/)).toBeVisible();
});

test("a second key is added without knowing the first", async ({ logIn, gateway, mock }) => {
  await gateway.channel(mock, "main", "openai", { credentials: ["mock-first-credential"] });
  const page = await logIn("/channels?edit=main");
  await expect(page.getByText("…tial")).toBeVisible();
  await page.getByLabel("Add a key").first().fill("mock-second-credential-9876");
  await page.getByRole("button", { name: "Add a key" }).click();
  await expect(page.getByRole("article", { name: "main" }).getByText("2 keys")).toBeVisible();
  const text = JSON.stringify(await gateway.admin("GET", "/channels/main"));
  expect(text).toContain('["…tial","…9876"]');
  expect((await gateway.chat("main/gpt-5-mini", "hi")).status).toBe(200);
});

test("a key is shown once, works, and can be blocked", async ({ logIn, gateway }) => {
  const page = await logIn("/keys");
  await page.getByRole("button", { name: "New key" }).click();
  await page.getByLabel("Name", { exact: true }).fill("laptop");
  await page.getByLabel("Models").fill("echo,");
  await page.getByRole("button", { name: "Make key" }).click();
  const shown = page.getByRole("dialog", { name: "Secret of laptop" });
  await expect(shown.getByText("shown only this once")).toBeVisible();
  const secret = (await shown.getByLabel("Secret", { exact: true }).textContent()) ?? "";
  expect(secret).toMatch(/^my-\w{20,}$/);
  await shown.getByRole("button", { name: "I have copied it" }).click();
  await page.reload();
  await expect(page.getByRole("cell", { name: /laptop/ }).first()).toBeVisible();
  expect(await page.content()).not.toContain(secret);

  const ask = (model: string) => gateway.chat(model, "hi", {}, { authorization: `Bearer ${secret}` });
  expect((await ask("echo")).status).toBe(200);
  expect((await ask("gpt-5")).status).toBe(403);
  await page.getByRole("button", { name: "More about laptop" }).click();
  await page.getByRole("menuitem", { name: "Block" }).click();
  await expect(page.getByText("blocked", { exact: true })).toBeVisible();
  expect((await ask("echo")).status).toBe(403);
});

test("a profile is built, checked and switched to; the next request follows", async ({ logIn, gateway, mock }) => {
  await gateway.channel(mock, "cheapo", "deepseek");
  await gateway.admin("POST", "/channels/cheapo/models");
  const page = await logIn("/profiles");
  await page.getByRole("button", { name: "New profile" }).click();
  await page.getByLabel("Name", { exact: true }).fill("cheap");
  await page.getByLabel("Asked for").fill("claude-*");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("Say where they go")).toBeVisible();
  await page.getByLabel("Goes to").fill("cheapo/deepseek-chat");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("dialog")).toBeHidden();
  await page.getByText("cheap", { exact: true }).first().click();
  await expect(page.getByRole("radio", { name: /^cheap/ })).toBeChecked();
  await expect(page.getByText("The next request follows the new profile")).toBeVisible();
  const reply = await gateway.chat("claude-sonnet-4-5", "hi");
  expect(reply.headers.get("x-myelin-channel")).toBe("cheapo");

  await page.getByLabel("Profile of default").selectOption("direct");
  await expect(page.getByText("its own", { exact: true })).toBeVisible();
  expect((await gateway.chat("claude-sonnet-4-5", "hi")).status).toBe(404);
});

test("a choice is shown from the click on, and taken back when it is refused", async ({ logIn, gateway }) => {
  await gateway.admin("POST", "/profiles", { name: "cheap", rules: [{ match: "a", to: "echo" }] });
  const page = await logIn("/profiles");
  let release = () => {};
  const held = new Promise<void>((done) => (release = done));
  await page.route("**/api/v1/active-profile", async (route) => {
    await held;
    await route.fulfill({ status: 500, json: { error: { kind: "internal", message: "the disk is full" } } });
  });
  const cheap = page.getByRole("radio", { name: /^cheap/ });
  await cheap.focus();
  await page.keyboard.press("Space");
  await expect(cheap).toBeChecked();
  release();
  await expect(page.getByText("the disk is full")).toBeVisible();
  await expect(page.getByRole("radio", { name: /^direct/ })).toBeChecked();
});

test("what the app switches from its tray is shown without a reload", async ({ logIn, gateway }) => {
  await gateway.admin("POST", "/profiles", { name: "cheap", rules: [{ match: "a", to: "echo" }] });
  const page = await logIn("/");
  await expect(page.getByRole("radio", { name: /^direct/ })).toBeChecked();
  await gateway.admin("PUT", "/active-profile", { profile: "cheap" });
  await page.evaluate(() => dispatchEvent(new CustomEvent("myelin", { detail: "configuration" })));
  await expect(page.getByRole("radio", { name: /^cheap/ })).toBeChecked();
});

test("a route names an order of deployments", async ({ logIn, gateway, mock }) => {
  await gateway.channel(mock, "main", "openai");
  const page = await logIn("/routes");
  await page.getByRole("button", { name: "New route" }).click();
  await page.getByLabel("Model", { exact: true }).fill("smart");
  await page.getByLabel("Deployments").fill("main/gpt-5-mini,");
  await page.getByRole("button", { name: "Save" }).click();
  // The dialog shows the same words while it is still being saved.
  await expect(page.getByRole("dialog")).toBeHidden();
  await expect(page.getByText("main/gpt-5-mini")).toBeVisible();
  expect((await gateway.chat("smart", "hi")).headers.get("x-myelin-model")).toContain("gpt-5-mini");
});

test("what the gateway refuses is said with its place and what to do", async ({ logIn, gateway }) => {
  await gateway.admin("POST", "/keys", { name: "laptop" });
  const page = await logIn("/keys?add=true");
  await page.getByLabel("Name", { exact: true }).fill("laptop");
  await page.getByRole("button", { name: "Make key" }).click();
  await expect(page.getByRole("alert")).toContainText("Choose another name");
});

test("settings are changed, and the change has a name", async ({ logIn, gateway }) => {
  const page = await logIn("/settings");
  await page.getByLabel("Most attempts").fill("3");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("status").filter({ hasText: "Saved" })).toBeVisible();
  expect(JSON.stringify(await gateway.admin("GET", "/settings"))).toContain('"max_attempts":3');
  await expect(page.getByRole("region", { name: "Changes" }).getByText("admin:first").first()).toBeVisible();
});

test("two models answer side by side, in any format, and the raw events are there", async ({
  logIn,
  gateway,
  mock,
}) => {
  await gateway.channel(mock, "main", "openai");
  await gateway.admin("POST", "/channels/main/models");
  const page = await logIn("/playground?model=echo&other=gpt-5-mini");
  for (const format of ["anthropic-messages", "gemini", "openai-responses", "ollama-chat"]) {
    await page.getByLabel("Format").selectOption(format);
    await page.getByLabel(/^Message/).fill(`hello ${format}`);
    await page.getByRole("button", { name: "Send" }).click();
    await expect(
      page
        .getByRole("region", { name: "gpt-5-mini" })
        .getByText(/^You said: /)
        .last(),
    ).toBeVisible();
    await expect(page.getByRole("link", { name: "Inspect" })).toHaveCount(2);
    await page.getByRole("button", { name: "Clear" }).click();
  }
  await page.getByLabel(/^Message/).fill("once more");
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByRole("region", { name: "echo" }).getByRole("button", { name: "Events" }).click();
  await expect(page.getByLabel("Events")).toContainText("data: ");
});
