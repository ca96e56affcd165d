// @vitest-environment node
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { en } from "@/i18n/en";
import { SECTIONS } from "./fields";

type Document = { components: { schemas: Record<string, { properties: Record<string, unknown> }> } };

test("every setting of the gateway is on the page, and explained; each row is one of the gateway's, and is explained", () => {
  const path = join(import.meta.dirname, "..", "..", "..", "..", "docs", "reference", "openapi.json");
  const document = JSON.parse(readFileSync(path, "utf8")) as Document;
  const known = Object.keys(document.components.schemas.Settings?.properties ?? {});
  const shown = new Set<string>(SECTIONS.flatMap((section) => section.rows.map((row) => row.name)));
  // The active profile has a page of its own.
  expect(known.filter((name) => !shown.has(name))).toEqual(["active_profile"]);
  for (const { name, choices } of SECTIONS.flatMap((section) => section.rows)) {
    expect(known).toContain(name);
    expect(en).toHaveProperty([`setting.${name}`]);
    expect(en).toHaveProperty([`setting.${name}.hint`]);
    for (const choice of name === "strategy" ? [] : (choices ?? [])) expect(en).toHaveProperty([`choice.${choice}`]);
  }
});
