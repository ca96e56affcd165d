import { accessible } from "./accessibility";
import { expect, test } from "./gateway";

test("programs that look at / still learn that a server is up, browsers get the console", async ({
  gateway,
  request,
}) => {
  const program = await request.get(gateway.url, { headers: { accept: "*/*" } });
  expect(await program.text()).toContain("Myelin is running");
  const browser = await request.get(`${gateway.url}/requests`, { headers: { accept: "text/html" } });
  expect(browser.headers()["content-security-policy"]).toContain("script-src 'self'");
  const typo = await request.get(`${gateway.url}/v1/chat/completion`, {
    headers: { accept: "application/json", authorization: `Bearer ${gateway.key}` },
  });
  expect(typo.status()).toBe(404);
});

test("a wrong token is refused in words, the right one opens the console", async ({ page, gateway }) => {
  await page.goto(gateway.url);
  const token = page.getByLabel("Admin token");
  await token.fill(gateway.key);
  await expect(page.getByText("This looks like a virtual key")).toBeVisible();
  await token.fill("mya-wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("alert")).toContainText("this is no admin token");
  await accessible(page, "login");
  await token.fill(gateway.token);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("navigation", { name: "Pages" })).toBeVisible();
  await page.getByRole("button", { name: "Log out" }).click();
  await expect(token).toBeVisible();
});

test("requests arrive while the page is open", async ({ logIn, gateway }) => {
  const page = await logIn("/requests");
  await expect(page.getByText("No request yet")).toBeVisible();
  await expect(page.getByText("Live", { exact: true })).toBeVisible();
  await gateway.chat("echo", "hello");
  await expect(page.getByRole("row").filter({ hasText: "echo" })).toHaveCount(1);
  await gateway.chat("no-such-model", "hello");
  await expect(page.getByRole("row").filter({ hasText: "failed" })).toHaveCount(1);
  await page.getByLabel("State").selectOption("failed");
  await expect(page.getByRole("row").filter({ hasText: "echo" })).toHaveCount(0);
  await expect(page).toHaveURL(/state=failed/);
  await accessible(page, "requests");
});

test("two requests stand side by side: figures, what was asked, what came back", async ({ logIn, gateway }) => {
  await gateway.admin("PATCH", "/settings", { bodies: "all" });
  await gateway.chat("echo", "short");
  await gateway.chat("echo", "a good deal longer than the other one");
  const page = await logIn("/requests");
  const boxes = page.getByRole("checkbox", { name: "Pick echo to compare" });
  await boxes.nth(1).check();
  await expect(page.getByRole("button", { name: "Compare" })).toBeDisabled();
  await boxes.nth(0).check();
  await page.getByRole("button", { name: "Compare" }).click();
  const dialog = page.getByRole("dialog", { name: "Two requests side by side" });
  await expect(dialog.getByRole("row").filter({ hasText: "Input, everything read" })).toContainText("+");
  await expect(page).toHaveURL(/compare=/);
  await accessible(page, "two requests");
  await dialog.getByRole("tab", { name: "What was asked" }).click();
  await expect(dialog.getByText("a good deal longer", { exact: false })).toBeVisible();
  await dialog.getByRole("tab", { name: "What came back" }).click();
  await expect(dialog.getByRole("region", { name: "First" })).toContainText("short");
  await expect(dialog.getByRole("region", { name: "Second" })).toContainText("a good deal longer");
  await page.reload();
  await dialog.getByRole("button", { name: "Swap" }).click();
  await expect(dialog.getByRole("row").filter({ hasText: "Input, everything read" })).toContainText("−");
  await page.keyboard.press("Escape");
  await expect(page).not.toHaveURL(/compare=/);
});
