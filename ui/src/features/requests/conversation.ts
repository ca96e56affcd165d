/** A request body of any client format as turns. Pure; what is not understood is left to the raw view. */

export type Part = { kind: "text" | "thinking" | "call" | "result" | "media"; name?: string; text: string };
export type Turn = { role: string; parts: Part[] };

/** Looked into by name; what is no object has no names. */
interface Json {
  readonly [name: string]: Json | undefined;
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const shown = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value ?? null, null, 2));
const list = (value: unknown): Json[] =>
  Array.isArray(value) ? value.filter((entry): entry is Json => typeof entry === "object" && entry !== null) : [];

/** The turns of a request; `undefined` when it is no conversation that we know. */
export function conversation(body: string): Turn[] | undefined {
  let request: Json | null;
  try {
    request = JSON.parse(body) as Json | null;
  } catch {
    return undefined;
  }
  if (typeof request !== "object" || request === null) return undefined;
  const turns: Turn[] = [];
  const system = request.system ?? request.instructions ?? request.systemInstruction ?? request.system_instruction;
  if (system) turns.push({ role: "system", parts: parts(system) });
  const given = request.messages ?? request.contents ?? request.input;
  if (typeof given === "string") turns.push({ role: "user", parts: [{ kind: "text", text: given }] });
  for (const message of list(given)) turns.push(turn(message));
  const query = text(request.query);
  if (query) turns.push({ role: "user", parts: [{ kind: "text", text: query }] });
  return turns.length > 0 ? turns : undefined;
}

function turn(message: Json): Turn {
  const role = text(message.role) || ROLES[text(message.type)] || text(message.type) || "user";
  const own = part(message);
  const said = message.content ?? message.parts;
  const found = [
    ...(text(message.reasoning_content) ? [{ kind: "thinking" as const, text: text(message.reasoning_content) }] : []),
    ...(said === undefined || said === null ? [] : parts(said)),
    ...list(message.tool_calls).map((call) => ({
      kind: "call" as const,
      name: text(call.function?.name),
      text: shown(call.function?.arguments),
    })),
  ];
  if (role === "tool" && found.length > 0) return { role, parts: found.map((entry) => ({ ...entry, kind: "result" })) };
  return { role, parts: found.length > 0 ? found : own ? [own] : [] };
}

/** Who speaks in items of the Responses format that have no role. */
const ROLES: Record<string, string> = {
  function_call: "assistant",
  function_call_output: "tool",
  reasoning: "assistant",
};

function parts(content: unknown): Part[] {
  if (typeof content === "string") return [{ kind: "text", text: content }];
  if (Array.isArray(content)) return list(content).map((entry) => part(entry) ?? { kind: "media", text: shown(entry) });
  if (typeof content !== "object" || content === null) return [];
  const inner = (content as Json).parts;
  const own = part(content as Json);
  return inner ? parts(inner) : own ? [own] : [];
}

function part(entry: Json): Part | undefined {
  const type = text(entry.type);
  if (type === "tool_use" || type === "function_call") {
    return { kind: "call", name: text(entry.name), text: shown(entry.input ?? entry.arguments) };
  }
  if (type === "tool_result" || type === "function_call_output") {
    const content = entry.content ?? entry.output;
    const words = parts(content).map((found) => found.text);
    return { kind: "result", text: words.join("\n") || shown(content) };
  }
  if (entry.functionCall)
    return { kind: "call", name: text(entry.functionCall.name), text: shown(entry.functionCall.args) };
  if (entry.functionResponse) {
    return { kind: "result", name: text(entry.functionResponse.name), text: shown(entry.functionResponse.response) };
  }
  if (type === "reasoning") {
    const summary = list(entry.summary).map((found) => text(found.text));
    return { kind: "thinking", text: summary.join("\n") };
  }
  if (text(entry.thinking) || (entry.thought as unknown) === true) {
    return { kind: "thinking", text: text(entry.thinking) || text(entry.text) };
  }
  if (typeof entry.text === "string") return { kind: "text", text: text(entry.text) };
  const media = ["image_url", "input_image", "image", "input_audio", "audio", "document", "file", "input_file"];
  const data = entry.inlineData ?? entry.inline_data ?? entry.fileData ?? entry.source;
  if (media.includes(type) || data) {
    const mime = text(data?.mimeType) || text(data?.mime_type) || text(data?.media_type) || type;
    return { kind: "media", text: mime };
  }
  return undefined;
}
