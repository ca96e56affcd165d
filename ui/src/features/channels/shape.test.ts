import { expect, test } from "vitest";
import {
  type Channel,
  freeName,
  offered,
  pastedKeys,
  placeholders,
  type Provider,
  readModels,
  searchProviders,
  standing,
  writeModels,
} from "./shape";

test("keys are taken as people paste them", () => {
  expect(pastedKeys("  sk-abc \n\n")).toEqual(["sk-abc"]);
  expect(pastedKeys('export OPENAI_API_KEY="sk-abc"')).toEqual(["sk-abc"]);
  expect(pastedKeys("OPENAI_API_KEY=sk-a=b\nBearer sk-c")).toEqual(["sk-a=b", "sk-c"]);
  expect(pastedKeys('{\n "type": "service_account"\n}')).toHaveLength(1);
  expect(pastedKeys("env:OPENAI_API_KEY")).toEqual(["env:OPENAI_API_KEY"]);
  expect(pastedKeys("ACCESS:se+cr/et=")).toEqual(["ACCESS:se+cr/et="]);
});

test("an address tells which options it needs", () => {
  expect(placeholders("https://{resource}.x.com/{a}/{resource}")).toEqual(["resource", "a"]);
  expect(placeholders("https://api.openai.com/v1")).toEqual([]);
});

test("names stay unique", () => {
  expect(freeName("openai", [])).toBe("openai");
  expect(freeName("openai", ["openai", "openai-2"])).toBe("openai-3");
});

test("the search looks at names and addresses, beginnings first", () => {
  const list = [
    { id: "azure", name: "Azure OpenAI", base_url: "https://x" },
    { id: "openai", name: "OpenAI", base_url: "https://api.openai.com" },
  ] as Provider[];
  expect(searchProviders(list, "open").map((row) => row.id)).toEqual(["openai", "azure"]);
  expect(searchProviders(list, "azure openai").map((row) => row.id)).toEqual(["azure"]);
  expect(searchProviders(list, "nothing")).toEqual([]);
});

test("models survive being written and read", () => {
  const models = ["gpt-5", { name: "fast", upstream: "gpt-5-mini" }];
  expect(readModels(writeModels(models))).toEqual(models);
  expect(readModels(["a = a"])).toEqual(["a"]);
});

test("a channel offers what it names, else what the provider lists", () => {
  expect(offered({ models: null, listed: ["a"] } as unknown as Channel)).toEqual(["a"]);
  expect(offered({ models: [{ name: "x", upstream: "y" }], listed: ["a"] } as unknown as Channel)).toEqual(["x"]);
});

test("what failed last is said even while the channel is off", () => {
  const channel = (state: object, enabled: boolean) => ({ state, enabled }) as Channel;
  expect(standing(channel({ is: "failing", why: "401", at: 1 }, false))).toMatchObject({
    label: "channel.failing",
    why: "401",
  });
  expect(standing(channel({ is: "working", at: 1 }, true)).tone).toBe("good");
  expect(standing(channel({ is: "untested" }, true)).tone).toBe("warn");
  expect(standing(channel({ is: "working", at: 1 }, false)).label).toBe("channel.off");
});
