import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fetchTogether } from "./together";

const asked: string[] = [];
let answers: unknown = [];

beforeEach(() => {
  asked.length = 0;
  vi.stubGlobal("fetch", async (what: Request | string, more?: RequestInit) => {
    asked.push(typeof what === "string" ? what : `${what.method} ${new URL(what.url).pathname}`);
    more?.signal?.throwIfAborted();
    return Response.json(typeof what === "string" ? { answers } : { own: true });
  });
});
afterEach(() => vi.unstubAllGlobals());

const get = (path: string, signal?: AbortSignal) => fetchTogether(new Request(`http://h/api/v1${path}`, { signal }));

test("what is asked at once is one request, and each gets its own answer and status", async () => {
  answers = [
    { status: 200, body: { a: 1 } },
    { status: 404, body: { error: { kind: "not-found" } } },
  ];
  const [a, b] = await Promise.all([get("/channels"), get("/usage?by=model&by=key")]);
  expect(asked).toEqual(["/api/v1/together?get=%2Fchannels&get=%2Fusage%3Fby%3Dmodel%26by%3Dkey"]);
  expect(await a?.json()).toEqual({ a: 1 });
  expect([b?.status, b?.ok]).toEqual([404, false]);
});

test("one question, a write and what waits long go by themselves", async () => {
  await get("/channels");
  await Promise.all([
    get("/requests/live"),
    fetchTogether(new Request("http://h/api/v1/keys", { method: "POST", body: "{}" })),
    get("/keys"),
  ]);
  expect(asked).toEqual(["GET /api/v1/channels", "GET /api/v1/requests/live", "POST /api/v1/keys", "GET /api/v1/keys"]);
});

test("who no longer waits is left out, and the others get theirs", async () => {
  answers = [
    { status: 200, body: 1 },
    { status: 200, body: 2 },
  ];
  const stop = new AbortController();
  const gone = get("/a", stop.signal);
  const there = [get("/b"), get("/c")];
  stop.abort();
  await expect(gone).rejects.toThrow();
  expect(await Promise.all((await Promise.all(there)).map((one) => one.json()))).toEqual([1, 2]);
  expect(asked).toEqual(["/api/v1/together?get=%2Fb&get=%2Fc"]);
});

test("more than fit into one request are several", async () => {
  answers = Array.from({ length: 16 }, () => ({ status: 200, body: null }));
  await Promise.all(Array.from({ length: 18 }, (_, at) => get(`/${at}`)));
  expect(asked).toHaveLength(2);
});

test("when nobody answers, everybody is told", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("offline")));
  for (const one of await Promise.allSettled([get("/a"), get("/b")])) expect(one.status).toBe("rejected");
});
