import { expect, test } from "vitest";
import { conversation } from "./conversation";

const read = (body: unknown) =>
  conversation(JSON.stringify(body))?.map(
    (turn) => `${turn.role}: ${turn.parts.map((part) => `${part.kind} ${part.name ?? ""}${part.text}`).join(" | ")}`,
  );

test("every client format becomes turns", () => {
  expect(
    read({
      messages: [
        { role: "system", content: "s" },
        {
          role: "user",
          content: [
            { type: "text", text: "u" },
            { type: "image_url", image_url: { url: "data:…" } },
          ],
        },
        {
          role: "assistant",
          content: null,
          reasoning_content: "hm",
          tool_calls: [{ function: { name: "f", arguments: "{}" } }],
        },
        { role: "tool", content: "r" },
      ],
    }),
  ).toEqual([
    "system: text s",
    "user: text u | media image_url",
    "assistant: thinking hm | call f{}",
    "tool: result r",
  ]);

  expect(
    read({
      system: [{ type: "text", text: "s" }],
      messages: [
        {
          role: "assistant",
          content: [
            { type: "thinking", thinking: "hm" },
            { type: "tool_use", name: "f", input: { a: 1 } },
          ],
        },
        { role: "user", content: [{ type: "tool_result", content: [{ type: "text", text: "r" }] }] },
      ],
    }),
  ).toEqual(["system: text s", 'assistant: thinking hm | call f{\n  "a": 1\n}', "user: result r"]);

  expect(
    read({
      instructions: "s",
      input: [
        { role: "user", content: [{ type: "input_text", text: "u" }] },
        { type: "reasoning", summary: [{ text: "hm" }] },
        { type: "function_call", name: "f", arguments: "{}" },
        { type: "function_call_output", output: "r" },
      ],
    }),
  ).toEqual(["system: text s", "user: text u", "assistant: thinking hm", "assistant: call f{}", "tool: result r"]);

  expect(
    read({
      systemInstruction: { parts: [{ text: "s" }] },
      contents: [
        { role: "user", parts: [{ text: "u" }, { inlineData: { mimeType: "image/png", data: "…" } }] },
        { role: "model", parts: [{ functionCall: { name: "f", args: {} } }] },
      ],
    }),
  ).toEqual(["system: text s", "user: text u | media image/png", "model: call f{}"]);

  expect(read({ input: "u" })).toEqual(["user: text u"]);
  expect(read({ query: "u" })).toEqual(["user: text u"]);
});

test("what is no conversation is left to the raw view", () => {
  for (const body of ["", "not json", "null", "[]", "{}", '{"messages": 5}', '{"input": [[1, 2]]}']) {
    expect(() => conversation(body)).not.toThrow();
  }
  expect(conversation("{}")).toBeUndefined();
});
