import { defineConfig } from "@playwright/test";
import base from "../playwright.config";

/** Pictures for the README and the guide: `cargo xtask pictures`. No test. */
export default defineConfig({ ...base, testDir: ".", timeout: 300_000, workers: 1, fullyParallel: false });
