import { accessible } from "./accessibility";
import { expect, test } from "./gateway";
import { DIALOGS, LOOKING, PAGES } from "./views";

/** Every pair of theme, language and width at least once. */
const LOOKS = [
  { theme: "light", locale: "en-US", width: 1280 },
  { theme: "light", locale: "zh-CN", width: 360 },
  { theme: "dark", locale: "en-US", width: 360 },
  { theme: "dark", locale: "zh-CN", width: 1280 },
] as const;

for (const { theme, locale, width } of LOOKS) {
  test.describe(`${theme}, ${locale}, ${width} px`, () => {
    test.use({ colorScheme: theme, locale, viewport: { width, height: 780 }, reducedMotion: "reduce" });

    for (const [what, paths] of [
      ["page", PAGES],
      ["dialog", [...DIALOGS, ...LOOKING]],
    ] as const) {
      test(`every ${what} fits, is readable, and has no serious finding`, async ({ logIn, gateway, furnish }) => {
        test.setTimeout(180_000);
        await furnish();
        const page = await logIn("/");
        for (const path of paths) {
          await page.goto(gateway.url + path);
          await expect(page.getByRole(what === "dialog" ? "dialog" : "heading").first()).toBeVisible();
          await expect(page.locator("[aria-busy=true]")).toHaveCount(0);
          const wide = await page.evaluate(() =>
            [document.documentElement, ...document.querySelectorAll("main, [role=dialog]")].some(
              (element) => element.scrollWidth > element.clientWidth + 1,
            ),
          );
          expect(wide, `${path} is wider than the window`).toBe(false);
          await accessible(page, path);
        }
        expect(await page.locator("html").getAttribute("lang")).toBe(locale.startsWith("zh") ? "zh-CN" : "en");
      });
    }
  });
}

test("theme and language are chosen by hand and kept", async ({ logIn }) => {
  const page = await logIn("/settings");
  await page.getByRole("button", { name: "dark", exact: true }).click();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  await page.getByRole("button", { name: "中文" }).first().click();
  await expect(page.getByRole("heading", { name: "设置" })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("heading", { name: "设置" })).toBeVisible();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
});

test("the keyboard reaches any page and profile", async ({ logIn, gateway }) => {
  await gateway.admin("POST", "/profiles", { name: "cheap", rules: [{ match: "a", to: "echo" }] });
  const page = await logIn("/");
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").fill("cheap");
  await expect(page.getByRole("option", { name: /cheap/ })).toBeVisible();
  await accessible(page, "palette");
  await page.keyboard.press("Enter");
  await expect(page.getByText("The next request follows the new profile")).toBeVisible();
  expect(JSON.stringify(await gateway.admin("GET", "/active-profile"))).toContain('"active":"cheap"');
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").fill("settings");
  await expect(page.getByRole("option").first()).toContainText("Settings");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/settings/);
  await page.keyboard.press("Control+1");
  await expect(page.getByRole("heading", { name: "Home" })).toBeVisible();
});

test.describe("in Chinese", () => {
  test.use({ locale: "zh-CN" });

  test("reasons, problems and names that the gateway says are Chinese too", async ({ logIn, gateway, furnish }) => {
    const request = await furnish();
    await gateway.admin("POST", "/profiles", {
      name: "night",
      rules: [
        { match: "gpt-*", to: "echo", if: { tool: "codex" } },
        { match: "gpt-*", to: "tag:gone/x", if: { min_prompt_tokens: 60000 } },
      ],
      channels: ["!main"],
    });
    const page = await logIn("/profiles");
    await page.getByLabel("请求的模型").fill("gpt-5-mini");
    await expect(page.getByRole("cell", { name: "唯一的一个" })).toBeVisible();
    await page.getByLabel("配置方案", { exact: true }).selectOption("night");
    await expect(page.getByText("工具不是 codex")).toBeVisible();
    await expect(page.getByText("提示词少于 60000 个词元")).toBeVisible();
    await expect(page.getByRole("alert")).toContainText("配置方案 night 都不允许");
    await page.goto(`${gateway.url}/requests?open=${request}`);
    await page.getByRole("dialog").getByRole("tab", { name: "路由" }).click();
    await expect(page.getByRole("dialog").getByRole("cell", { name: "唯一的一个" })).toBeVisible();
    await page.goto(gateway.url);
    await expect(page.getByText("没有渠道带有标签 “gone”")).toBeVisible();
    await page.goto(`${gateway.url}/tools`);
    await expect(page.getByText("终端", { exact: true })).toBeVisible();
    await expect(page.getByText("A shell")).toBeHidden();
  });

  test("events that the gateway tells are Chinese too", async ({ logIn, gateway }) => {
    // Nobody listens on the discard port.
    const away = {
      name: "away",
      provider: "openai-compatible",
      base_urls: ["http://127.0.0.1:9/v1"],
      credentials: ["x"],
    };
    await gateway.admin("POST", "/channels", { ...away, models: ["m"] });
    await gateway.admin("POST", "/channels/away/test", { model: "m" });
    const page = await logIn("/");
    await expect(page.getByText("渠道 away 未通过测试")).toBeVisible();
  });
});

test.describe("slow words", () => {
  test.use({ locale: "zh-CN" });

  test("a key that is pressed while the page loads is not lost", async ({ logIn, gateway }) => {
    const page = await logIn("/settings");
    const words = /assets\/zh-.*\.js/;
    let release = () => {};
    const held = new Promise<void>((done) => (release = done));
    await page.route(words, (route) => held.then(() => route.continue()));
    const wanted = page.waitForRequest(words);
    const there = page.goto(gateway.url);
    await wanted;
    await page.keyboard.press("Control+k");
    release();
    await there;
    await expect(page.getByRole("combobox")).toBeVisible();
  });
});

test("hostile text is text", async ({ logIn, gateway }) => {
  const evil = `<img src=x onerror="document.title='pwned'"><script>document.title='pwned'</script>`;
  await gateway.chat(evil, evil);
  await gateway.chat("\u202Eevil\u0000 model", "x");
  const page = await logIn("/requests");
  await expect(page.getByRole("row").filter({ hasText: "<img src=x" })).toBeVisible();
  await page.getByRole("link", { name: /img src/ }).click();
  await expect(page.getByRole("dialog")).toContainText("<img src=x");
  await page.goto(`${gateway.url}/playground?model=echo`);
  await page.getByLabel(/^Message/).fill(evil);
  await page.keyboard.press("Enter");
  await expect(page.getByText(evil)).toHaveCount(2);
  expect(await page.title()).toBe("Myelin");
});

test("nothing is asked for while the page is hidden", async ({ logIn, page }) => {
  await logIn("/");
  await expect(page.getByText("Everything works")).toBeVisible();
  const hide = (hidden: boolean) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      Object.defineProperty(document, "visibilityState", {
        configurable: true,
        get: () => (hidden ? "hidden" : "visible"),
      });
      document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    }, hidden);
  await hide(true);
  await page.waitForTimeout(400);
  let asked = 0;
  page.on("request", () => (asked += 1));
  await page.waitForTimeout(12_000);
  expect(asked).toBe(0);
  await hide(false);
  await expect.poll(() => asked).toBeGreaterThan(0);
});
