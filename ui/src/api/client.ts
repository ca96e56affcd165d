import createClient from "openapi-fetch";
import { inWords, type Said } from "@/i18n";
import { value } from "@/lib/store";
import type { components, paths } from "./schema";
import { fetchTogether } from "./together";

type Schemas = components["schemas"];
/** A type of the admin API by its name. */
export type Api<Name extends keyof Schemas> = Schemas[Name];
export type Problem = Schemas["Problem"];

/** Whether the gateway takes our requests. `unknown` until the first answer. */
export const session = value<"unknown" | "in" | "out">("unknown");

/** The admin API said no, or nothing at all. */
export class ApiError extends Error {
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  readonly kind: string;
  readonly problems: Problem[];
  /** The message with its code, by which it is said in another language. */
  readonly said: Said;

  constructor(status: number, kind: string, said: string | Said, problems: Problem[] = []) {
    super(typeof said === "string" ? said : said.message);
    this.said = typeof said === "string" ? { message: said } : said;
    this.name = "ApiError";
    this.status = status;
    this.kind = kind;
    this.problems = problems;
  }
}

export const api = createClient<paths>({ baseUrl: location.origin, credentials: "same-origin", fetch: fetchTogether });

api.use({
  onRequest: ({ request }) => {
    // The gateway asks for JSON on every write, also on those without a body.
    if (["POST", "PUT", "PATCH"].includes(request.method)) request.headers.set("content-type", "application/json");
  },
  onResponse: ({ response, request }) => {
    // Logging in and out say for themselves what came of it, after they have put the rest in order.
    if (new URL(request.url).pathname.endsWith("/session")) return;
    if (response.status === 401) session.set("out");
    else if (response.ok) session.set("in");
  },
});

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The data of an answer. Anything else is thrown as an [`ApiError`]. */
export async function answer<T>(call: Promise<Answer<T>>): Promise<T> {
  let got: Answer<T>;
  try {
    got = await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", error instanceof Error ? error.message : String(error));
  }
  if (got.error !== undefined || !got.response.ok) throw failure(got.response, got.error);
  return got.data as T;
}

function failure(response: Response, body: unknown): ApiError {
  const error = (body as Partial<Schemas["Failure"]> | undefined)?.error;
  const words = typeof error?.message === "string" ? error.message : response.statusText || `status ${response.status}`;
  const said = { code: error?.code, message: words, values: error?.values };
  return new ApiError(response.status, error?.kind ?? "unknown", said, error?.problems ?? []);
}

/** What went wrong, in the language that is shown. */
export function wordsOf(error: unknown): string {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : String(error);
  // The whole is nothing but its parts.
  const parts = error.said.code === "problems" ? error.problems : [];
  if (parts.length === 0) return inWords(error.said);
  return parts.map((problem) => (problem.path ? `${problem.path}: ` : "") + inWords(problem)).join("; ");
}
