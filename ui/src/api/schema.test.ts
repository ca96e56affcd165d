// @vitest-environment node
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import openapiTS, { astToString } from "openapi-typescript";
import { expect, test } from "vitest";

test("schema.d.ts is what the committed API description says", async () => {
  const ui = join(import.meta.dirname, "..", "..");
  const source = pathToFileURL(join(ui, "..", "docs", "reference", "openapi.json"));
  const wanted = astToString(await openapiTS(source, { emptyObjectsUnknown: true, defaultNonNullable: false }));
  const committed = readFileSync(join(ui, "src", "api", "schema.d.ts"), "utf8");
  // The file begins with a notice of the generator.
  const body = committed.slice(committed.indexOf("export "));
  expect(body, "run `npm run api` in ui/").toBe(wanted.slice(wanted.indexOf("export ")));
});
