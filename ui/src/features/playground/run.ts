import { answer, api, ApiError } from "@/api/client";
import { queries } from "@/app/query";
import { type Event, eventReader } from "./events";
import { type Ask, call } from "./formats";
import { add, type Answer, emptyAnswer } from "./read";

/** Name of the virtual key that the console makes for itself, so that its requests are told apart. */
const KEY = "playground";
const STORED = "myelin.playground";

let making: Promise<string> | undefined;

/**
 * A virtual key for this browser window. Its secret lives as long as the window; another window gets a new one. Two models that ask at once share
 * one.
 */
function secret(): Promise<string> {
  const stored = sessionStorage.getItem(STORED);
  if (stored) return Promise.resolve(stored);
  making ??= made()
    .then((fresh) => {
      sessionStorage.setItem(STORED, fresh);
      void queries.invalidateQueries({ queryKey: ["keys"] });
      return fresh;
    })
    .finally(() => {
      making = undefined;
    });
  return making;
}

async function made(): Promise<string> {
  const body = { name: KEY, tool: KEY };
  try {
    const key = await answer(api.POST("/api/v1/keys", { body }));
    return key.secret ?? "";
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 409) throw error;
    // It exists, and nobody can read its secret: a new one, beside which the old lives on for other windows.
    const rotated = await answer(api.POST("/api/v1/keys/{key}/rotate", { params: { path: { key: KEY } }, body: {} }));
    return rotated.secret ?? "";
  }
}

export type Run = {
  answer: Answer;
  events: Event[];
  sent: string;
  status?: number;
  headers: [string, string][];
  requestId?: string;
  /** Milliseconds. */
  firstToken?: number;
  total?: number;
};

/** Events that are kept for looking at. */
const MOST_EVENTS = 5_000;

/** Sends a conversation to the gateway's model port and tells how it goes. Ends when the answer does, or when it is stopped. */
export async function run(ask: Ask, profile: string, stop: AbortSignal, tell: (run: Run) => void): Promise<void> {
  const { path, body } = call(ask);
  const sent = JSON.stringify(body, null, 2);
  let state: Run = { answer: emptyAnswer(), events: [], sent, headers: [] };
  const update = (fields: Partial<Run>) => {
    state = { ...state, ...fields };
    tell(state);
  };
  update({});
  let key = await secret();
  const began = performance.now();
  let response = await send(path, sent, key, profile, stop);
  if (response.status === 401) {
    // The key was removed or its secret has ended.
    if (sessionStorage.getItem(STORED) === key) sessionStorage.removeItem(STORED);
    key = await secret();
    response = await send(path, sent, key, profile, stop);
  }
  update({
    status: response.status,
    requestId: response.headers.get("x-request-id") ?? undefined,
    headers: [...response.headers].filter(([name]) => /^(x-|server-timing|content-type)/.test(name)),
  });
  const kind = response.headers.get("content-type") ?? "";
  const streamed = response.ok && /event-stream|ndjson/.test(kind);
  const reader = eventReader(kind.includes("ndjson"));
  const take = (events: Event[]) => {
    if (events.length === 0) return;
    const next = events.reduce((answer, event) => add(answer, ask.format, event.data), state.answer);
    const first = next.text || next.thinking || Object.keys(next.tools).length > 0;
    update({
      answer: next,
      events: [...state.events, ...events].slice(-MOST_EVENTS),
      firstToken: state.firstToken ?? (first ? performance.now() - began : undefined),
    });
  };
  if (streamed && response.body) {
    const decoder = new TextDecoder();
    const pieces = response.body.getReader();
    for (;;) {
      const { done, value } = await pieces.read();
      if (done) break;
      take(reader.push(decoder.decode(value, { stream: true })));
    }
    take(reader.end());
  } else {
    const whole = await response.text();
    take([{ data: whole }]);
    if (!response.ok && !state.answer.error)
      update({ answer: { ...state.answer, error: whole || response.statusText } });
  }
  update({ total: performance.now() - began });
}

/** Sends a body as it is to a path of the model port, and reads the whole answer. */
export async function sendAgain(path: string, body: string, profile: string, signal: AbortSignal) {
  // What pins a profile in the path would win over the one that was chosen.
  const bare = profile ? path.replace(/^\/p\/[^/]+/, "") : path;
  let response = await send(bare, body, await secret(), profile, signal);
  if (response.status === 401) {
    sessionStorage.removeItem(STORED);
    response = await send(bare, body, await secret(), profile, signal);
  }
  const text = await response.text();
  return { status: response.status, text, requestId: response.headers.get("x-request-id") ?? undefined };
}

function send(path: string, body: string, key: string, profile: string, signal: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  if (profile) headers["x-myelin-profile"] = profile;
  return fetch(path, { method: "POST", headers, body, signal, credentials: "omit" });
}
