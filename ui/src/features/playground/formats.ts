/** How one conversation is asked for in each client format. Pure: what is sent, not how. */

export const FORMATS = [
  "openai-chat",
  "openai-responses",
  "anthropic-messages",
  "gemini",
  "ollama-chat",
  "openai-completions",
  "ollama-generate",
  "dify",
] as const;
export type Format = (typeof FORMATS)[number];

export type Turn = { role: "user" | "assistant"; text: string };

export type Ask = {
  format: Format;
  model: string;
  turns: Turn[];
  system?: string;
  stream: boolean;
  temperature?: number;
  maxTokens?: number;
  /** Tools as functions: name, description, JSON schema. */
  tools?: Tool[];
  /** Fields of the format itself, laid over everything else. */
  extra?: Record<string, unknown>;
};

export type Tool = { name: string; description?: string; parameters: unknown };

type Call = { path: string; body: Record<string, unknown> };

/** Path and body of a call. Absent settings are absent in the body. */
export function call(ask: Ask): Call {
  const { path, body } = BUILDERS[ask.format](ask);
  const clean = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
  return { path, body: { ...clean, ...ask.extra } };
}

const some = <T>(list: T[] | undefined): T[] | undefined => (list && list.length > 0 ? list : undefined);

/** Formats without turns get the conversation as one text. */
const asText = (turns: Turn[]): string =>
  turns.length === 1
    ? (turns[0]?.text ?? "")
    : turns.map(({ role, text }) => `${role === "user" ? "User" : "Assistant"}: ${text}`).join("\n\n");

const BUILDERS: { [format in Format]: (ask: Ask) => Call } = {
  "openai-chat": (ask) => ({
    path: "/v1/chat/completions",
    body: {
      model: ask.model,
      messages: [
        ...(ask.system ? [{ role: "system", content: ask.system }] : []),
        ...ask.turns.map(({ role, text }) => ({ role, content: text })),
      ],
      stream: ask.stream || undefined,
      stream_options: ask.stream ? { include_usage: true } : undefined,
      temperature: ask.temperature,
      max_tokens: ask.maxTokens,
      tools: some(ask.tools)?.map((tool) => ({ type: "function", function: tool })),
    },
  }),
  "openai-responses": (ask) => ({
    path: "/v1/responses",
    body: {
      model: ask.model,
      instructions: ask.system || undefined,
      input: ask.turns.map(({ role, text }) => ({ role, content: text })),
      stream: ask.stream || undefined,
      temperature: ask.temperature,
      max_output_tokens: ask.maxTokens,
      tools: some(ask.tools)?.map((tool) => ({ type: "function", ...tool })),
      store: false,
    },
  }),
  "anthropic-messages": (ask) => ({
    path: "/v1/messages",
    body: {
      model: ask.model,
      system: ask.system || undefined,
      messages: ask.turns.map(({ role, text }) => ({ role, content: text })),
      // The format demands it.
      max_tokens: ask.maxTokens ?? 4096,
      stream: ask.stream || undefined,
      temperature: ask.temperature,
      tools: some(ask.tools)?.map(({ name, description, parameters }) => ({
        name,
        description,
        input_schema: parameters,
      })),
    },
  }),
  gemini: (ask) => ({
    path: `/v1beta/models/${encodeURIComponent(ask.model)}:${ask.stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
    body: {
      contents: ask.turns.map(({ role, text }) => ({ role: role === "user" ? "user" : "model", parts: [{ text }] })),
      systemInstruction: ask.system ? { parts: [{ text: ask.system }] } : undefined,
      generationConfig:
        ask.temperature === undefined && ask.maxTokens === undefined
          ? undefined
          : { temperature: ask.temperature, maxOutputTokens: ask.maxTokens },
      tools: some(ask.tools) && [{ functionDeclarations: ask.tools }],
    },
  }),
  "openai-completions": (ask) => ({
    path: "/v1/completions",
    body: {
      model: ask.model,
      prompt: [ask.system, asText(ask.turns)].filter(Boolean).join("\n\n"),
      stream: ask.stream || undefined,
      temperature: ask.temperature,
      max_tokens: ask.maxTokens,
    },
  }),
  "ollama-generate": (ask) => ({
    path: "/api/generate",
    body: {
      model: ask.model,
      prompt: asText(ask.turns),
      system: ask.system || undefined,
      stream: ask.stream,
      options:
        ask.temperature === undefined && ask.maxTokens === undefined
          ? undefined
          : { temperature: ask.temperature, num_predict: ask.maxTokens },
    },
  }),
  dify: (ask) => ({
    path: "/dify/v1/chat-messages",
    body: {
      // The format names no model: what the name `dify` is mapped to answers, or the only model that the key may use.
      inputs: {},
      query: asText(ask.turns),
      response_mode: ask.stream ? "streaming" : "blocking",
      user: "playground",
    },
  }),
  "ollama-chat": (ask) => ({
    path: "/api/chat",
    body: {
      model: ask.model,
      messages: [
        ...(ask.system ? [{ role: "system", content: ask.system }] : []),
        ...ask.turns.map(({ role, text }) => ({ role, content: text })),
      ],
      // Absent means true in this format.
      stream: ask.stream,
      options:
        ask.temperature === undefined && ask.maxTokens === undefined
          ? undefined
          : { temperature: ask.temperature, num_predict: ask.maxTokens },
      tools: some(ask.tools)?.map((tool) => ({ type: "function", function: tool })),
    },
  }),
};
