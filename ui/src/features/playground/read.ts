import type { Format } from "./formats";

/** What an answer consists of, as far as the playground shows it. */
export type Answer = {
  text: string;
  thinking: string;
  /** Tool calls by their place in the answer. */
  tools: Record<string, { name: string; input: string }>;
  input?: number;
  output?: number;
  finish?: string;
  error?: string;
};

export const emptyAnswer = (): Answer => ({ text: "", thinking: "", tools: {} });

/** Anything, looked into by name; what is no object has no names. */
interface Json {
  readonly [name: string]: Json | undefined;
}

/** Adds one stream event to an answer; whole answers are read as one event. Unknown events change nothing. */
export function add(answer: Answer, format: Format, data: string): Answer {
  if (data === "[DONE]") return answer;
  let event: Json | null;
  try {
    event = JSON.parse(data) as Json | null;
  } catch {
    return answer;
  }
  if (typeof event !== "object" || event === null) return answer;
  const next: Answer = { ...answer, tools: { ...answer.tools } };
  const trouble = event.error ?? event.response?.error;
  if (trouble) {
    next.error = typeof trouble === "string" ? trouble : text(trouble.message) || JSON.stringify(trouble);
    return next;
  }
  READERS[format](next, event);
  return next;
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const whole = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);
const list = (value: unknown): Json[] =>
  Array.isArray(value) ? value.filter((entry): entry is Json => typeof entry === "object" && entry !== null) : [];
const inputOf = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value ?? {}));

function tool(answer: Answer, at: string | number, name: unknown, input: unknown) {
  const before = answer.tools[at] ?? { name: "", input: "" };
  answer.tools[at] = { name: text(name) || before.name, input: before.input + text(input) };
}

const READERS: { [format in Format]: (answer: Answer, event: Json) => void } = {
  "openai-chat": (answer, event) => {
    const choice = list(event.choices)[0];
    const part = choice?.delta ?? choice?.message;
    answer.text += text(part?.content);
    answer.thinking += text(part?.reasoning_content ?? part?.reasoning);
    for (const [place, call] of list(part?.tool_calls).entries()) {
      tool(answer, whole(call.index) ?? place, call.function?.name, call.function?.arguments);
    }
    answer.finish = text(choice?.finish_reason) || answer.finish;
    answer.input = whole(event.usage?.prompt_tokens) ?? answer.input;
    answer.output = whole(event.usage?.completion_tokens) ?? answer.output;
  },
  "openai-responses": (answer, event) => {
    const kind = text(event.type);
    const at = whole(event.output_index) ?? 0;
    if (kind === "response.output_text.delta") answer.text += text(event.delta);
    else if (kind.startsWith("response.reasoning") && kind.endsWith(".delta")) answer.thinking += text(event.delta);
    else if (kind === "response.output_item.added" && text(event.item?.type) === "function_call")
      tool(answer, at, event.item?.name, "");
    else if (kind === "response.function_call_arguments.delta") tool(answer, at, "", event.delta);
    // The whole answer comes as itself, or in the last event of a stream.
    const response = kind ? event.response : event;
    if (!kind) {
      for (const [place, item] of list(event.output).entries()) {
        for (const part of list(item.content)) answer.text += text(part.text);
        for (const part of list(item.summary)) answer.thinking += text(part.text);
        if (text(item.type) === "function_call") tool(answer, place, item.name, item.arguments);
      }
    }
    answer.input = whole(response?.usage?.input_tokens) ?? answer.input;
    answer.output = whole(response?.usage?.output_tokens) ?? answer.output;
    if (!kind || kind === "response.completed" || kind === "response.incomplete") {
      answer.finish = text(response?.status) || answer.finish;
    }
  },
  "anthropic-messages": (answer, event) => {
    const block = (part: Json | undefined, at: number) => {
      answer.text += text(part?.text);
      answer.thinking += text(part?.thinking);
      if (part && text(part.type) === "tool_use") {
        const input = part.input && Object.keys(part.input).length > 0 ? inputOf(part.input) : "";
        tool(answer, at, part.name, input);
      }
      if (part && text(part.type) === "input_json_delta") tool(answer, at, "", part.partial_json);
    };
    const at = whole(event.index) ?? 0;
    if (text(event.type) === "content_block_start") block(event.content_block, at);
    else if (text(event.type) === "content_block_delta") block(event.delta, at);
    else for (const [place, part] of list(event.content).entries()) block(part, place);
    const usage = event.message?.usage ?? event.usage;
    answer.input = whole(usage?.input_tokens) ?? answer.input;
    answer.output = whole(usage?.output_tokens) ?? answer.output;
    answer.finish = text(event.delta?.stop_reason ?? event.stop_reason) || answer.finish;
  },
  gemini: (answer, event) => {
    const candidate = list(event.candidates)[0];
    for (const part of list(candidate?.content?.parts)) {
      if (part.functionCall)
        tool(answer, Object.keys(answer.tools).length, part.functionCall.name, inputOf(part.functionCall.args));
      else if (part.thought) answer.thinking += text(part.text);
      else answer.text += text(part.text);
    }
    answer.finish = text(candidate?.finishReason) || answer.finish;
    answer.input = whole(event.usageMetadata?.promptTokenCount) ?? answer.input;
    answer.output = whole(event.usageMetadata?.candidatesTokenCount) ?? answer.output;
  },
  "openai-completions": (answer, event) => {
    const choice = list(event.choices)[0];
    answer.text += text(choice?.text);
    answer.finish = text(choice?.finish_reason) || answer.finish;
    answer.input = whole(event.usage?.prompt_tokens) ?? answer.input;
    answer.output = whole(event.usage?.completion_tokens) ?? answer.output;
  },
  "ollama-generate": (answer, event) => {
    answer.text += text(event.response);
    answer.thinking += text(event.thinking);
    answer.finish = text(event.done_reason) || answer.finish;
    answer.input = whole(event.prompt_eval_count) ?? answer.input;
    answer.output = whole(event.eval_count) ?? answer.output;
  },
  dify: (answer, event) => {
    const kind = text(event.event);
    if (kind === "error" || text(event.code)) answer.error = text(event.message) || text(event.code);
    answer.text += text(event.answer);
    const usage = event.metadata?.usage;
    answer.input = whole(usage?.prompt_tokens) ?? answer.input;
    answer.output = whole(usage?.completion_tokens) ?? answer.output;
  },
  "ollama-chat": (answer, event) => {
    answer.text += text(event.message?.content);
    answer.thinking += text(event.message?.thinking);
    for (const call of list(event.message?.tool_calls)) {
      tool(answer, Object.keys(answer.tools).length, call.function?.name, inputOf(call.function?.arguments));
    }
    answer.finish = text(event.done_reason) || answer.finish;
    answer.input = whole(event.prompt_eval_count) ?? answer.input;
    answer.output = whole(event.eval_count) ?? answer.output;
  },
};
