import { accessible } from "./accessibility";
import { expect, test } from "./gateway";
import { DIALOGS, PAGES } from "./views";

test("costs lead to their requests, bodies are kept and shown as text, a limit refuses and says so", async ({
  logIn,
  gateway,
  mock,
}) => {
  await gateway.admin("PATCH", "/settings", { bodies: "all" });
  await gateway.channel(mock, "main", "openai");
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
  await expect(page.getByRole("dialog")).toBeHidden();
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
  await gateway.channel(mock, "main", "openai");
  const page = await logIn("/requests");
  // Longer than any machine takes to press the button.
  const slow = gateway.chat("main/gpt-5-mini", `[[pace 400]] ${"and on ".repeat(300)}`, { stream: true });
  await expect(page.getByText("1 request in flight")).toBeVisible();
  await page.getByRole("button", { name: /^Stop the request/ }).click();
  await slow.catch(() => undefined);
  await expect(page.getByText("1 request in flight")).toBeHidden();
  await expect(page.getByRole("row").filter({ hasText: "gpt-5-mini" })).toHaveCount(1);
});

test("what the provider's prompt cache saved is told by channel and model", async ({ logIn, gateway, mock }) => {
  await gateway.channel(mock, "claude", "anthropic", { models: ["claude-sonnet-4-5"] });
  const price = { input: 3, cache_read: 0.3, cache_write: 3.75, output: 15 };
  await gateway.admin("PUT", "/prices", { channel: "claude", model: "claude-sonnet-4-5", price });
  const page = await logIn("/costs?tab=caches");
  await expect(page.getByText("No prompt cache was used")).toBeVisible();
  const system = `${Date.now()} ${"a long and steady prompt ".repeat(2_000)}`;
  for (const text of ["one", "two", "three"]) {
    const response = await fetch(`${gateway.url}/anthropic/v1/messages`, {
      method: "POST",
      headers: { "x-api-key": gateway.key, "content-type": "application/json", "anthropic-version": "2023-06-01" },
      body: JSON.stringify({
        model: "claude/claude-sonnet-4-5",
        max_tokens: 50,
        system: [{ type: "text", text: system, cache_control: { type: "ephemeral" } }],
        messages: [{ role: "user", content: text }],
      }),
    });
    expect(response.status, await response.text()).toBe(200);
  }
  await page.reload();
  const row = page.getByRole("region", { name: "Saved by channel and model" }).getByRole("row").nth(1);
  await expect(row).toContainText("claude/claude-sonnet-4-5");
  await expect(page.locator("dt", { hasText: "Saved by reading" }).locator("..")).toContainText(/\$0\.0\d+/);
  await accessible(page, "prompt caches");
  // Read twice at a tenth of the price, written once a quarter dearer.
  const found = (await gateway.admin("GET", "/usage/caches")) as { saved: number; surcharge: number };
  expect(found.saved / found.surcharge).toBeCloseTo((2 * 2.7) / 0.75, 3);
});

const VIEWS = [...PAGES, ...DIALOGS, "/requests?open=REQUEST"];
/** So many are open at once: most of what this takes is waiting. */
const AT_ONCE = 5;

for (let first = 0; first < VIEWS.length; first += AT_ONCE) {
  const some = VIEWS.slice(first, first + AT_ONCE);
  test(`a page asks once for all that it shows, then only for what is new: ${some.join(" ")}`, async ({
    logIn,
    gateway,
    furnish,
    context,
  }) => {
    const request = await furnish();
    await logIn("/settings");
    const look = async (path: string) => {
      // A page of its own: what another one still asks for is not this one's.
      const page = await context.newPage();
      const asked: string[] = [];
      page.on("request", (request) => {
        const { pathname, search } = new URL(request.url());
        // What is followed from then on: requests in flight and those that end.
        if (pathname.startsWith("/api/v1/") && !pathname.endsWith("/requests/live")) asked.push(pathname + search);
      });
      await page.goto(gateway.url + path.replace("REQUEST", request));
      await expect.poll(() => asked.length, path).toBeGreaterThan(0);
      await expect(page.locator("[aria-busy=true]")).toHaveCount(0);
      for (let before = -1; before !== asked.length; await page.waitForTimeout(500)) before = asked.length;
      expect(asked, path).toHaveLength(1);
    };
    await Promise.all(some.map(look));
  });
}
