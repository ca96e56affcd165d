/** Questions that are asked in the same moment go out as one request: a page asks once for all that it shows. */

const PREFIX = "/api/v1";
/** What the API takes in one request. */
const MOST = 16;
/** Long answers to wait for, and files: each by itself. */
const ALONE = /^\/api\/v1\/(requests\/live|version|export|backup|together)$/;

type Waiting = { request: Request; resolve: (response: Response) => void; reject: (why: unknown) => void };
type Together = { answers: { status: number; body: unknown }[] };

let waiting: Waiting[] = [];

/** `fetch`, with others that are asked for at the same time. */
export function fetchTogether(request: Request): Promise<Response> {
  if (request.method !== "GET" || ALONE.test(new URL(request.url).pathname)) return fetch(request);
  return new Promise((resolve, reject) => {
    if (waiting.length === 0) setTimeout(flush);
    waiting.push({ request, resolve, reject });
  });
}

function flush() {
  const wanted = waiting.filter(({ request, reject }) => {
    if (request.signal.aborted) reject(request.signal.reason);
    return !request.signal.aborted;
  });
  waiting = [];
  for (let at = 0; at < wanted.length; at += MOST) void ask(wanted.slice(at, at + MOST));
}

async function ask(wanted: Waiting[]) {
  const [only] = wanted;
  if (only && wanted.length === 1) return fetch(only.request).then(only.resolve, only.reject);
  const stop = new AbortController();
  let left = wanted.length;
  for (const { request, reject } of wanted) {
    request.signal.addEventListener("abort", () => {
      reject(request.signal.reason);
      left -= 1;
      // As long as somebody waits, the others' answers come too.
      if (left === 0) stop.abort();
    });
  }
  try {
    const query = new URLSearchParams(wanted.map(({ request }) => ["get", path(request)]));
    const response = await fetch(`${PREFIX}/together?${query}`, { credentials: "same-origin", signal: stop.signal });
    if (!response.ok) {
      for (const { resolve } of wanted) resolve(response.clone());
      return;
    }
    const { answers } = (await response.json()) as Together;
    for (const [at, { resolve }] of wanted.entries()) {
      const { status, body } = answers[at] ?? { status: 500, body: null };
      resolve(Response.json(body, { status }));
    }
  } catch (why) {
    for (const { reject } of wanted) reject(why);
  }
}

function path(request: Request): string {
  const { pathname, search } = new URL(request.url);
  return pathname.slice(PREFIX.length) + search;
}
