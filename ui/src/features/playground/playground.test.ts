import { describe, expect, test } from "vitest";
import { type Event, eventReader } from "./events";
import { type Ask, call, type Format, FORMATS } from "./formats";
import { add, emptyAnswer } from "./read";

const ask = (format: Format, more: Partial<Ask> = {}): Ask => ({
  format,
  model: "m",
  turns: [{ role: "user", text: "hi" }],
  stream: true,
  ...more,
});

describe("calls", () => {
  test("hold only what was set, in every format", () => {
    for (const format of FORMATS) {
      const { body } = call(ask(format, { stream: false }));
      expect(JSON.stringify(body)).not.toMatch(/temperature|tools|system|instructions/);
      expect(Object.values(body)).not.toContain(undefined);
    }
  });

  test("carry system words, limits, tools and extra fields", () => {
    const tools = [{ name: "now", parameters: { type: "object" } }];
    // Dify has places for none of these, old formats none for tools.
    const bare = new Set(["openai-completions", "ollama-generate"]);
    for (const format of FORMATS.filter((format) => format !== "dify")) {
      const { body } = call(
        ask(format, { system: "be brief", temperature: 0, maxTokens: 7, tools, extra: { seed: 3 } }),
      );
      const text = JSON.stringify(body);
      const words = ["be brief", '"temperature":0', "7", '"seed":3', ...(bare.has(format) ? [] : ["now"])];
      for (const word of words) expect(text).toContain(word);
    }
  });

  test("name model and stream where Gemini wants them: in the path", () => {
    expect(call(ask("gemini", { model: "a/b" })).path).toBe("/v1beta/models/a%2Fb:streamGenerateContent?alt=sse");
    expect(call(ask("gemini", { stream: false })).path).toMatch(/:generateContent$/);
  });
});

test("events are the same at every split of the bytes", () => {
  const stream =
    'event: a\r\ndata: {"x": 1}\r\n\r\n: comment\r\n\r\ndata:two\r\ndata: lines\r\n\r\ndata: [DONE]\r\n\r\n';
  const wanted: Event[] = [
    { name: "a", data: '{"x": 1}' },
    { name: undefined, data: "two\nlines" },
    { name: undefined, data: "[DONE]" },
  ];
  for (let at = 0; at <= stream.length; at += 1) {
    const reader = eventReader(false);
    const got = [...reader.push(stream.slice(0, at)), ...reader.push(stream.slice(at)), ...reader.end()];
    expect(got).toEqual(wanted);
  }
  const lines = eventReader(true);
  expect([...lines.push('{"a":1}\n{"b"'), ...lines.push(":2}"), ...lines.end()].map((event) => event.data)).toEqual([
    '{"a":1}',
    '{"b":2}',
  ]);
});

const STREAMS: { [format in Format]: unknown[] } = {
  "openai-chat": [
    { choices: [{ delta: { reasoning_content: "hm" } }] },
    { choices: [{ delta: { content: "he" } }] },
    {
      choices: [
        { delta: { content: "llo", tool_calls: [{ index: 0, function: { name: "now", arguments: '{"a"' } }] } },
      ],
    },
    { choices: [{ delta: { tool_calls: [{ index: 0, function: { arguments: ":1}" } }] }, finish_reason: "stop" }] },
    { choices: [], usage: { prompt_tokens: 3, completion_tokens: 5 } },
  ],
  "openai-responses": [
    { type: "response.reasoning_summary_text.delta", delta: "hm" },
    { type: "response.output_text.delta", delta: "hello" },
    { type: "response.output_item.added", output_index: 1, item: { type: "function_call", name: "now" } },
    { type: "response.function_call_arguments.delta", output_index: 1, delta: '{"a":1}' },
    { type: "response.completed", response: { status: "stop", usage: { input_tokens: 3, output_tokens: 5 } } },
  ],
  "anthropic-messages": [
    { type: "message_start", message: { usage: { input_tokens: 3, output_tokens: 1 } } },
    { type: "content_block_delta", index: 0, delta: { type: "thinking_delta", thinking: "hm" } },
    { type: "content_block_delta", index: 1, delta: { type: "text_delta", text: "hello" } },
    { type: "content_block_start", index: 2, content_block: { type: "tool_use", name: "now", input: {} } },
    { type: "content_block_delta", index: 2, delta: { type: "input_json_delta", partial_json: '{"a":1}' } },
    { type: "message_delta", delta: { stop_reason: "stop" }, usage: { output_tokens: 5 } },
  ],
  gemini: [
    { candidates: [{ content: { parts: [{ text: "hm", thought: true }] } }] },
    { candidates: [{ content: { parts: [{ text: "hello" }] } }] },
    {
      candidates: [{ content: { parts: [{ functionCall: { name: "now", args: { a: 1 } } }] }, finishReason: "stop" }],
      usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 5 },
    },
  ],
  "ollama-chat": [
    { message: { thinking: "hm" } },
    { message: { content: "hello" } },
    { message: { tool_calls: [{ function: { name: "now", arguments: { a: 1 } } }] } },
    { done: true, done_reason: "stop", prompt_eval_count: 3, eval_count: 5 },
  ],
  "openai-completions": [
    { choices: [{ text: "he" }] },
    { choices: [{ text: "llo", finish_reason: "stop" }], usage: { prompt_tokens: 3, completion_tokens: 5 } },
  ],
  "ollama-generate": [
    { response: "hello" },
    { response: "", done: true, done_reason: "stop", prompt_eval_count: 3, eval_count: 5 },
  ],
  dify: [
    { event: "message", answer: "hello" },
    { event: "message_end", metadata: { usage: { prompt_tokens: 3, completion_tokens: 5 } } },
  ],
};
/** Formats that can say less. */
const LESS: { [format in Format]?: object } = {
  "openai-completions": { thinking: "", tools: [] },
  "ollama-generate": { thinking: "", tools: [] },
  dify: { thinking: "", tools: [], finish: undefined },
};

test("streams of every format add up to the same answer", () => {
  for (const format of FORMATS) {
    const answer = STREAMS[format].reduce(
      (answer: ReturnType<typeof emptyAnswer>, event) => add(answer, format, JSON.stringify(event)),
      emptyAnswer(),
    );
    expect({ ...answer, tools: Object.values(answer.tools) }).toEqual({
      text: "hello",
      thinking: "hm",
      tools: [{ name: "now", input: '{"a":1}' }],
      input: 3,
      output: 5,
      finish: "stop",
      ...LESS[format],
    });
  }
});

test("whole answers are read too", () => {
  const read = (format: Format, body: unknown) => add(emptyAnswer(), format, JSON.stringify(body)).text;
  expect(read("openai-chat", { choices: [{ message: { content: "hello" } }] })).toBe("hello");
  expect(
    read("openai-responses", { output: [{ type: "message", content: [{ text: "hello" }] }], status: "completed" }),
  ).toBe("hello");
  expect(read("anthropic-messages", { type: "message", content: [{ type: "text", text: "hello" }] })).toBe("hello");
});

test("errors are said in every shape, rubbish changes nothing", () => {
  const error = (body: unknown) => add(emptyAnswer(), "openai-chat", JSON.stringify(body)).error;
  expect(error({ error: { message: "no" } })).toBe("no");
  expect(error({ error: "no" })).toBe("no");
  expect(error({ type: "response.failed", response: { error: { message: "no" } } })).toBe("no");
  for (const rubbish of ["", "{", "null", "1", "[]", '{"choices": 5}', '{"choices":[null]}']) {
    for (const format of FORMATS) expect(add(emptyAnswer(), format, rubbish).text).toBe("");
  }
});
