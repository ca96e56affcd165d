import { expect, test } from "vitest";
import { base64, type Discovered, empty, nameOf, offered } from "./shape";

const key = (id: string, more: Partial<Discovered["keys"][number]> = {}) => ({
  id,
  provider: "openai",
  from: `env:${id}`,
  hint: `sk-…${id}`,
  known: false,
  ...more,
});

test("what has no channel yet is chosen, the same key only once", () => {
  const found: Discovered = {
    keys: [
      key("a", { hint: "sk-…1" }),
      key("b", { hint: "sk-…1" }),
      key("c", { hint: "sk-…1", base_url: "http://other" }),
      key("d", { known: true }),
    ],
    servers: [
      { provider: "ollama", name: "Ollama", base_url: "http://127.0.0.1:11434", models: [], known: false },
      { provider: "vllm", name: "vLLM", base_url: "http://127.0.0.1:8000", models: [], known: true },
    ],
    configs: [],
  };
  expect(offered(found)).toEqual({ keys: ["a", "c"], servers: ["ollama"] });
  expect(empty(found)).toBe(false);
  expect(empty({ keys: [], servers: [], configs: [] })).toBe(true);
});

test("bytes of any kind and length become base64", () => {
  const bytes = Uint8Array.from({ length: 100_000 }, (_, at) => at % 256);
  expect(Uint8Array.from(atob(base64(bytes)), (letter) => letter.charCodeAt(0))).toEqual(bytes);
  expect(base64(new Uint8Array())).toBe("");
});

test("every kind has a name", () => {
  expect(nameOf("litellm")).toBe("LiteLLM");
});
