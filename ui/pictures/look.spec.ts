import { writeFileSync } from "node:fs";
import { test } from "../e2e/gateway";
for (const [theme, locale, width] of [["light","en-US",1280],["dark","zh-CN",1280],["dark","en-US",360],["light","zh-CN",360]] as const)
test.describe(`${theme}${locale}${width}`, () => {
  test.use({ colorScheme: theme, locale, viewport: { width, height: width === 360 ? 760 : 860 } });
  test("look", async ({ logIn, gateway, mock }) => {
    await gateway.admin("PATCH", "/settings", { bodies: "all" });
    await gateway.admin("POST", "/channels", { name: "main", provider: "openai", base_urls: [mock.address("openai")], credentials: [mock.key], enabled: true, tags: ["paid"] });
    await gateway.admin("POST", "/channels/main/models");
    await gateway.admin("POST", "/channels", { name: "broken", provider: "openai-compatible", base_urls: ["http://127.0.0.1:9/v1"], credentials: ["sk-x"], models: ["m"], enabled: true });
    await gateway.admin("POST", "/profiles", { name: "cheap", description: "Small models", rules: [{ match: "claude-*", to: "main/gpt-5-mini", if: { tool: ["claude-code"] } }] });
    await gateway.admin("POST", "/limits", { on: "gateway", money: 50, per: "month" });
    for (let i = 0; i < 6; i += 1) { await gateway.chat("main/gpt-5-mini", "hello " + i, { stream: true }); await gateway.chat("broken/m", "x"); }
    const page = await logIn("/");
    const paths = width === 360 ? ["/", "/requests", "/requests?open=LAST", "/costs", "/performance?view=failures", "/profiles", "/channels", "/settings"] : ["/", "/requests", "/requests?open=LAST", "/costs?range=hour", "/costs?tab=whatif&as=main%2Fgpt-5", "/costs?tab=forecast", "/performance", "/performance?view=failures", "/profiles", "/profiles?edit=cheap", "/channels", "/channels?look=main", "/keys?add=true", "/playground", "/settings"];
    const list = (await gateway.admin("GET", "/requests?limit=3&model=main%2Fgpt-5-mini")) as { records: { id: string }[] };
    for (const [at, path] of paths.entries()) {
      await page.goto(gateway.url + path.replace("LAST", list.records[0]?.id ?? ""));
      if (path === "/profiles") await page.getByRole("textbox").first().or(page.getByRole("combobox").first()).fill("claude-sonnet-4-5").catch(() => undefined);
      await page.waitForTimeout(900);
      writeFileSync(`/tmp/console-look/${theme}-${width}-${String(at).padStart(2, "0")}.png`, await page.screenshot());
    }
  });
});
