import { accessible } from "./accessibility";
import { expect, test } from "./gateway";

test("from nothing to the first answer", async ({ page, gateway, mock }) => {
  await page.goto(gateway.url);
  await page.getByLabel("Admin token").fill(gateway.token);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByText("Three steps to the first answer")).toBeVisible();
  await accessible(page, "home, empty");

  await page.getByRole("link", { name: "Add the first channel" }).click();
  await page.getByLabel("Search by name or address").fill("openai-comp");
  await page.getByRole("button", { name: /Any OpenAI-compatible host/ }).click();
  await page.getByLabel(/^Key/).fill(`export SOME_KEY="${mock.key}"`);
  await page.getByLabel("Address", { exact: true }).fill(mock.address("openai"));
  await page.getByRole("button", { name: "Add and test" }).click();
  await expect(page.getByText(/Answered in \d+ ms/)).toBeVisible();
  await accessible(page, "channel added");
  await page.getByRole("button", { name: "Done" }).click();
  const card = page.getByRole("article", { name: "openai-compatible" });
  await expect(card.getByText("working", { exact: true })).toBeVisible();
  await expect(card.getByText(/\d+ models: /)).toBeVisible();

  await page.getByRole("link", { name: "Playground" }).click();
  await page.getByLabel("Model", { exact: true }).fill("gpt-5-mini");
  await page.getByLabel(/^Message/).fill("hello from the console");
  await page.keyboard.press("Enter");
  await expect(page.getByText("You said: hello from the console")).toBeVisible();
  await accessible(page, "playground");
  await page.getByRole("link", { name: "Inspect" }).click();
  const inspector = page.getByRole("dialog");
  await expect(inspector.getByText("openai-compatible/gpt-5-mini")).toBeVisible();
  await expect(inspector.getByText("answered 200")).toBeVisible();
  await accessible(page, "inspector");
  await inspector.getByRole("tab", { name: "Tokens and cost" }).click();
  await expect(inspector.getByRole("cell", { name: "Input, everything read" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(inspector).toBeHidden();
  await page.getByRole("link", { name: "Home" }).click();
  await expect(page.getByRole("link", { name: /gpt-5-mini/ })).toBeVisible();
});
