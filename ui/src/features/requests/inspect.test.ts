import { expect, test } from "vitest";
import type { RequestRecord } from "@/api/live";
import { curl, scrubbed, tokenClasses } from "./inspect";

const record = (fields: object) => fields as RequestRecord;

test("only known token classes are listed, zero is known", () => {
  expect(tokenClasses({ input: 5, cache_read: 0 })).toEqual([
    { name: "input", part: false, count: 5 },
    { name: "cache_read", part: true, count: 0 },
  ]);
  expect(tokenClasses({})).toEqual([]);
});

test("a command survives quotes and shell words in the body and the path", () => {
  const text = curl(record({ path: "/v1/x", model: "m" }), "http://h", `{"a":"it's $(rm) \`x\`"}`);
  expect(text).toContain(`-d '{"a":"it'\\''s $(rm) \`x\`"}'`);
  expect(text).not.toMatch(/my-\w/);
});

test("a report names neither key nor conversation", () => {
  const text = scrubbed(
    record({ id: "req_1", key: "key_secret", session: "s-1", trace: null, usage: { input: 1, raw: { secret: 1 } } }),
  );
  expect(text).not.toContain("key_secret");
  expect(text).not.toContain("s-1");
  expect(text).not.toContain("raw");
  expect(JSON.parse(text)).toMatchObject({ id: "req_1", key: "[removed]", trace: null, usage: { input: 1 } });
});
