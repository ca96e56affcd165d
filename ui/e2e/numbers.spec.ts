import { expect, test } from "./gateway";

test("costs lead to their requests, bodies are kept and shown as text, a limit refuses and says so", async ({
  logIn,
  gateway,
  mock,
}) => {
  await gateway.admin("PATCH", "/settings", { bodies: "all" });
  await gateway.admin("POST", "/channels", {
    name: "main",
    provider: "openai",
    base_urls: [mock.address("openai")],
    credentials: [mock.key],
    enabled: true,
  });
  const hostile = `</pre><img src=x onerror="document.title='pwned'">`;
  await gateway.chat("main/gpt-5-mini", hostile, { stream: true });
  await gateway.chat("main/gpt-5-mini", "hello again");

  const page = await logIn("/costs?range=hour&by=channel");
  await expect(page.getByRole("figure")).toBeVisible();
  await page.getByRole("button", { name: "Show as a table" }).click();
  await expect(page.getByRole("columnheader", { name: "main" })).toBeVisible();
  const row = page.getByRole("region", { name: "Ranking" }).getByRole("row").filter({ hasText: "main" });
  await row.getByRole("link", { name: "2" }).click();
  await expect(page).toHaveURL(/channel=main/);
  await expect(page.getByRole("row").filter({ hasText: "gpt-5-mini" })).toHaveCount(2);

  await page.getByRole("row").filter({ hasText: "gpt-5-mini" }).last().getByRole("link").click();
  const inspector = page.getByRole("dialog");
  await inspector.getByRole("tab", { name: "Conversation" }).click();
  await expect(inspector.getByText(hostile, { exact: true })).toBeVisible();
  await inspector.getByRole("tab", { name: "Bodies" }).click();
  await inspector.getByRole("button", { name: /^As sent/ }).click();
  await inspector.getByRole("button", { name: "Changes" }).click();
  await expect(inspector.getByLabel("Changes")).toContainText("gpt-5-mini");
  await inspector.getByRole("button", { name: /^Answer/ }).click();
  await inspector.getByRole("button", { name: "Events" }).click();
  await expect(inspector.getByRole("list", { name: "Events" })).toContainText("[DONE]");
  expect(await page.title()).toBe("Myelin");

  await page.goto(`${gateway.url}/limits`);
  await page.getByRole("button", { name: "New limit" }).click();
  await page.getByLabel("For").selectOption("gateway");
  await page.getByLabel("At most").fill("1");
  await page.getByLabel("Of", { exact: true }).selectOption("requests");
  await page.getByLabel("In", { exact: true }).selectOption("day");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText(/1 requests? per day/)).toBeVisible();
  expect((await gateway.chat("main/gpt-5-mini", "one")).status).toBe(200);
  expect((await gateway.chat("main/gpt-5-mini", "two")).status).toBe(429);
  await expect(page.getByText("100%")).toBeVisible();
  await page.goto(`${gateway.url}/requests?state=failed`);
  await page.getByRole("row").filter({ hasText: "429" }).getByRole("link").click();
  await expect(page.getByRole("dialog").getByRole("alert")).toBeVisible();
  await page.getByRole("dialog").getByRole("tab", { name: "Routing" }).click();
  await expect(page.getByRole("dialog").getByText(/refused by the limit/)).toBeVisible();
});

test("a request in flight is seen and stopped", async ({ logIn, gateway, mock }) => {
  await gateway.admin("POST", "/channels", {
    name: "main",
    provider: "openai",
    base_urls: [mock.address("openai")],
    credentials: [mock.key],
    enabled: true,
  });
  const page = await logIn("/requests");
  const slow = gateway.chat("main/gpt-5-mini", "[[pace 400]] a long answer of many words that goes on and on and on", {
    stream: true,
  });
  await expect(page.getByText("1 request in flight")).toBeVisible();
  await page.getByRole("button", { name: /^Stop the request/ }).click();
  await slow.catch(() => undefined);
  await expect(page.getByText("1 request in flight")).toBeHidden();
  await expect(page.getByRole("row").filter({ hasText: "gpt-5-mini" })).toHaveCount(1);
});
