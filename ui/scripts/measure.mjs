// How fast the console is in front of a full store: `cargo xtask bench console` fills one and runs this. Starts MYELIN_BIN on MYELIN_DATA; prints a
// table in Markdown, for docs/performance-console.md.
import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chromium } from "@playwright/test";

const program = process.env.MYELIN_BIN;
const data = process.env.MYELIN_DATA;
if (!program || !data) throw new Error("set MYELIN_BIN and MYELIN_DATA");
const env = { ...process.env, RUST_LOG: "error" };
const gateway = spawn(program, ["serve", "--data-dir", data, "--listen", "127.0.0.1:0"], {
    stdio: ["ignore", "pipe", "inherit"],
    env,
});
const url = await new Promise((ready, failed) => {
    let said = "";
    gateway.once("exit", (code) => failed(new Error(`the gateway ended with ${code}: ${said}`)));
    gateway.stdout.on("data", (bytes) => {
        said += bytes;
        const found = /http:\/\/[\d.]+:\d+/.exec(said);
        if (found) ready(found[0]);
    });
});
gateway.removeAllListeners("exit");
process.once("exit", () => gateway.kill("SIGTERM"));
const token = /mya-\w+/.exec(execFileSync(program, ["admin", "token", "--data-dir", data], { env }).toString())[0];
const made = await fetch(`${url}/api/v1/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ name: `measure-${Date.now()}` }),
});
const key = (await made.json()).secret;
const ROUNDS = 7;
const SCROLL_MS = 4_000;
const LIVE_MS = 10_000;
const LIVE_RATE = 200;

const found = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"].find(
    (path) => path && existsSync(path),
);
const browser = await chromium.launch({ executablePath: found, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-US" });
const page = await context.newPage();
const asked = [];
page.on("request", (request) => {
    const path = new URL(request.url()).pathname;
    if (path.startsWith("/api/v1/")) asked.push(path);
});
await context.request.post(`${url}/api/v1/session`, { data: { token } });

const rows = [];
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const say = (what, value, goal) => {
    rows.push([what, value, goal]);
    process.stderr.write(`${what}: ${value} (goal ${goal})\n`);
};

/** Milliseconds from an act to the first frame in which the page holds what a selector wants. */
async function until(act, selector) {
    const seen = page.evaluate(
        (selector) =>
            new Promise((done) => {
                const began = performance.now();
                const look = () =>
                    document.querySelector(selector)
                        ? requestAnimationFrame(() => done(performance.now() - began))
                        : requestAnimationFrame(look);
                look();
            }),
        selector,
    );
    await act();
    return seen;
}

const devtools = await context.newCDPSession(page);
await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
/** Milliseconds of processor time that the page's main thread has used: what else runs on the machine does not count. */
async function used() {
    const { metrics } = await devtools.send("Performance.getMetrics");
    return metrics.find((metric) => metric.name === "TaskDuration").value * 1000;
}

/** Opens a page by its link in the rail, again and again, each time with nothing remembered of it. */
async function opens(name, selector, from) {
    const times = [];
    times.used = [];
    for (let round = 0; round < ROUNDS; round += 1) {
        // A fresh document: nothing is cached but files.
        await page.goto(url + from);
        await page.getByRole("navigation", { name: "Pages" }).waitFor();
        await page.waitForTimeout(1_200);
        const before = await used();
        times.push(await until(() => page.getByRole("link", { name, exact: true }).first().click(), selector));
        times.used.push((await used()) - before);
    }
    return times;
}

/** Milliseconds from nothing at all: a fresh document with cached files. */
async function loads(path, selector) {
    const times = [];
    for (let round = 0; round < ROUNDS; round += 1) {
        await page.goto("about:blank");
        await page.goto(url + path, { waitUntil: "commit" });
        await page.waitForFunction((selector) => document.querySelector(selector), selector, { polling: "raf" });
        times.push(await page.evaluate(() => performance.now()));
    }
    return times;
}

const ROW = "[role=table] [role=row] a";
const COSTS = "main figure canvas";
const ms = (times) => {
    const own = times.used ? `, ${Math.round(median(times.used))} ms of it at work in the page` : "";
    return `${Math.round(median(times))} ms (worst ${Math.round(Math.max(...times))})${own}`;
};

say("Requests opens, by its link", ms(await opens("Requests", ROW, "/settings")), "300 ms");
say("Requests opens, whole page loaded anew", ms(await loads("/requests", ROW)), "–");
say("Requests, one model, opens", ms(await loads("/requests?model=gpt-5", ROW)), "–");
say("Costs opens, by its link", ms(await opens("Costs", COSTS, "/settings")), "500 ms");
say("Costs opens, whole page loaded anew", ms(await loads("/costs", COSTS)), "–");
say("Costs, by key over 90 days, opens", ms(await loads("/costs?by=key&range=quarter", COSTS)), "500 ms");

/** What a page asks for while it opens, follow-ups apart. */
async function asks(path, ready) {
    asked.length = 0;
    await page.goto(url + path);
    await page.locator(ready).first().waitFor();
    await page.waitForTimeout(600);
    return [...asked];
}
const once = (paths) => paths.filter((path) => !/\/(live|active)$/.test(path));
for (const [name, path, ready] of [
    ["Requests", "/requests", ROW],
    ["Costs", "/costs", COSTS],
    ["Performance", "/performance", "main table"],
]) {
    const all = await asks(path, ready);
    say(`API requests of ${name}`, `${once(all).length} (${once(all).join(", ")})`, "1");
}

/** Frames a second and the longest frame while something goes on. */
function frames(work) {
    return page.evaluate(
        ({ work, length }) =>
            new Promise((done) => {
                const box = document.querySelector("[role=table]");
                const began = performance.now();
                let [last, count, longest, slow] = [began, 0, 0, 0];
                const tick = (now) => {
                    const gap = now - last;
                    if (count > 0) longest = Math.max(longest, gap);
                    if (gap > 50) slow += 1;
                    last = now;
                    count += 1;
                    if (work === "scroll" && box) box.scrollTop += 40;
                    if (now - began < length) requestAnimationFrame(tick);
                    else done({ rate: (count / (now - began)) * 1000, longest, slow, top: box?.scrollTop ?? 0 });
                };
                requestAnimationFrame(tick);
            }),
        { work, length: work === "scroll" ? SCROLL_MS : LIVE_MS },
    );
}
const shown = ({ rate, longest, slow }) =>
    `${rate.toFixed(1)} a second, longest ${Math.round(longest)} ms, ${slow} over 50 ms`;

await page.goto(`${url}/requests`);
await page.locator(ROW).first().waitFor();
await page.waitForTimeout(1_000);
const scrolled = await frames("scroll");
say(`Frames while scrolling ${Math.round(scrolled.top / 41)} rows`, shown(scrolled), "50 a second");

// Live: so many requests a second of the built-in model come in while the page follows.
await page.goto(`${url}/requests`);
await page.getByText("Live", { exact: true }).waitFor();
const body = JSON.stringify({ model: "echo", messages: [{ role: "user", content: "hello" }] });
const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
let sent = 0;
const stop = new AbortController();
const began = Date.now();
const load = (async () => {
    const open = new Set();
    while (!stop.signal.aborted) {
        const due = Math.floor(((Date.now() - began) / 1000) * LIVE_RATE);
        for (; sent < due; sent += 1) {
            const call = fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body })
                .then((response) => response.arrayBuffer())
                .catch(() => undefined)
                .finally(() => open.delete(call));
            open.add(call);
        }
        await new Promise((done) => setTimeout(done, 5));
    }
    await Promise.all(open);
})();
const live = await frames("live");
const rate = Math.round(sent / ((Date.now() - began) / 1000));
const click = await until(() => page.locator(ROW).first().click(), "[role=dialog] [role=tablist]");
stop.abort();
await load;
say(`Frames while ${rate} requests a second come in`, shown(live), "responsive");
say("A click on a row in the meantime opens it after", `${Math.round(click)} ms`, "–");

await page.goto(`${url}/requests`);
await page.locator(ROW).first().waitFor();
await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "hidden" });
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
});
await page.waitForTimeout(400);
asked.length = 0;
await page.waitForTimeout(10_000);
say("API requests in ten seconds while hidden", String(asked.length), "0");
await browser.close();
gateway.kill("SIGTERM");

process.stdout.write("| what | measured | goal |\n|---|---|---|\n");
for (const row of rows) process.stdout.write(`| ${row.join(" | ")} |\n`);
