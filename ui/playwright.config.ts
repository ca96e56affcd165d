import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

/** A Chromium of the system: nothing is downloaded. */
const chromium = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
].find((path) => path && existsSync(path));

export default defineConfig({
  testDir: "e2e",
  // For a whole test, some of which have five pages examined; what is waited for within it has a patience of its own.
  timeout: 120_000,
  expect: { timeout: 10_000 },
  // Every worker runs a gateway and mock providers of its own.
  workers: 2,
  fullyParallel: true,
  reporter: [["list"]],
  use: {
    browserName: "chromium",
    viewport: { width: 1280, height: 800 },
    locale: "en-US",
    timezoneId: "UTC",
    trace: "retain-on-failure",
    launchOptions: {
      executablePath: chromium,
      args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb"],
    },
  },
});
