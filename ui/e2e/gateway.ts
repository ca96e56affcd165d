import { type ChildProcessByStdio, spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { type Page, test as base, expect } from "@playwright/test";

const built = join(import.meta.dirname, "..", "..", "target", "debug");
const ending = process.platform === "win32" ? ".exe" : "";
const MYELIN = process.env.MYELIN_BIN ?? join(built, `myelin${ending}`);
const MOCK = process.env.MOCK_UPSTREAM_BIN ?? join(built, `mock-upstream${ending}`);

/** How many times slower than this machine the pages run: with `SLOWER=6` a test that trusts in speed fails here, not elsewhere. */
const SLOWER = Number(process.env.SLOWER ?? 1);

type Child = ChildProcessByStdio<null, Readable, null>;

/** Variables that programs need to run at all. Whoever runs the tests may have keys and tools of their own: those stay out. */
const NEEDED = ["PATH", "SystemRoot", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH"];

/** Starts a program and waits until its output holds what the pattern wants. */
async function start(
  program: string,
  words: string[],
  ready: RegExp,
  own: Record<string, string> = {},
): Promise<{ child: Child; said: string }> {
  const needed = NEEDED.map((name) => [name, process.env[name]]).filter(([, value]) => value !== undefined);
  const env = { ...Object.fromEntries(needed), RUST_LOG: "error", NO_PROXY: "*", ...own };
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"], env });
  let said = "";
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${program} ended with ${code}: ${said}`)));
    child.stdout.on("data", (data: Buffer) => {
      said += data.toString();
      if (ready.test(said)) resolve();
    });
  });
  return { child, said };
}

const stop = (child: Child) =>
  new Promise<void>((done) => {
    child.once("exit", () => done());
    child.kill("SIGKILL");
  });

/** Mock providers that refuse what the real ones refuse. */
export class Mock {
  constructor(
    readonly child: Child,
    /** The credential that they take. */
    readonly key: string,
    private readonly said: string,
  ) {}

  static async start(): Promise<Mock> {
    const { child, said } = await start(MOCK, [], /dify/);
    return new Mock(child, /key: (\S+)/.exec(said)?.[1] ?? "", said);
  }

  /** The base address of one provider. */
  address(provider: string): string {
    const found = new RegExp(`^${provider}\\s+(\\S+)`, "m").exec(this.said)?.[1];
    if (!found) throw new Error(`the mock has no ${provider}: ${this.said}`);
    return found;
  }

  stop = () => stop(this.child);
}

/** A gateway on a free port with a store and a home of its own. */
export class Gateway {
  private constructor(
    private readonly child: Child,
    private readonly folder: string,
    /** Where it looks for tools and their files. */
    readonly home: string,
    readonly url: string,
    readonly token: string,
    readonly key: string,
  ) {}

  /** `data`: a folder whose copy it starts on. */
  static async start(data?: string): Promise<Gateway> {
    const folder = mkdtempSync(join(tmpdir(), "myelin-e2e-"));
    const home = mkdtempSync(join(tmpdir(), "myelin-e2e-home-"));
    if (data) cpSync(data, folder, { recursive: true });
    const words = ["serve", "--data-dir", folder, "--listen", "127.0.0.1:0"];
    const { child, said } = await start(MYELIN, words, /Try:[^]*\n/, { HOME: home, USERPROFILE: home });
    const find = (pattern: RegExp) => pattern.exec(said)?.[0] ?? "";
    return new Gateway(child, folder, home, find(/http:\/\/[\d.]+:\d+/), find(/mya-\w+/), find(/my-\w+/));
  }

  /** Calls the admin API. */
  async admin(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text) as unknown;
  }

  /** A channel at one of the mock providers. */
  channel = (mock: Mock, name: string, provider: string, more: object = {}) =>
    this.admin("POST", "/channels", {
      name,
      provider,
      base_urls: [mock.address(provider)],
      credentials: [mock.key],
      enabled: true,
      ...more,
    });

  /** One OpenAI chat call. */
  async chat(model: string, text: string, more: object = {}, headers: Record<string, string> = {}): Promise<Response> {
    const response = await fetch(`${this.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.key}`, "content-type": "application/json", ...headers },
      body: JSON.stringify({ model, messages: [{ role: "user", content: text }], ...more }),
    });
    await response.clone().text();
    return response;
  }

  async stop() {
    await stop(this.child);
    for (const folder of [this.folder, this.home]) rmSync(folder, { recursive: true, force: true });
  }
}

type Tools = { mock: Mock };
type Each = { gateway: Gateway; furnish: () => Promise<string>; logIn: (path?: string) => Promise<Page> };

/** Tests with a fresh gateway each, and mock providers per worker. */
export const test = base.extend<Each, Tools>({
  mock: [
    // oxlint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const mock = await Mock.start();
      await use(mock);
      await mock.stop();
    },
    { scope: "worker" },
  ],
  // oxlint-disable-next-line no-empty-pattern
  gateway: async ({}, use) => {
    const gateway = await Gateway.start();
    await use(gateway);
    await gateway.stop();
  },
  /** One of everything that pages show, and a request that was answered: its id. */
  furnish: async ({ gateway, mock }, use) => {
    await use(async () => {
      await gateway.channel(mock, "main", "openai", { tags: ["paid"] });
      await gateway.admin("POST", "/routes", {
        model: "smart",
        groups: [{ use: ["main/gpt-5-mini"] }, { use: ["tag:paid"] }],
      });
      await gateway.admin("POST", "/profiles", {
        name: "cheap",
        rules: [{ match: "claude-*", to: "main/gpt-5-mini" }],
      });
      await gateway.admin("POST", "/limits", { on: "gateway", requests: 1000, per: "day" });
      const answer = await gateway.chat("main/gpt-5-mini", "hello");
      await gateway.chat("nothing", "hello");
      return answer.headers.get("x-request-id") ?? "";
    });
  },
  // Whatever a test does, the page never fails in silence and never leaves its own address.
  page: async ({ page, gateway }, use) => {
    const trouble: string[] = [];
    page.on("pageerror", (error) => trouble.push(`error: ${error.message}`));
    page.on("console", (message) => {
      // The browser itself reports every 4xx answer; tests look at what the page makes of it.
      if (message.type() === "error" && !message.text().includes("Failed to load resource"))
        trouble.push(message.text());
    });
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(gateway.url) && !/^(data|blob):/.test(url)) trouble.push(`foreign address: ${url}`);
    });
    if (SLOWER > 1) {
      const devtools = await page.context().newCDPSession(page);
      await devtools.send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
    }
    // A page is there once the console stands in it: before, nothing hears a key or a click.
    const go = page.goto.bind(page);
    page.goto = async (...where) => {
      const response = await go(...where);
      if ((await page.locator("#root").count()) === 0) throw new Error(`${MYELIN} was built without the console`);
      await page.locator("#content, form").first().waitFor();
      return response;
    };
    await use(page);
    expect(trouble).toEqual([]);
  },
  logIn: async ({ page, gateway }, use) => {
    await use(async (path = "/") => {
      const response = await page
        .context()
        .request.post(`${gateway.url}/api/v1/session`, { data: { token: gateway.token } });
      expect(response.ok()).toBe(true);
      await page.goto(gateway.url + path);
      return page;
    });
  },
});

export { expect };
