// @vitest-environment node
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fill } from ".";
import { en } from "./en";
import { said, told, words as zh } from "./zh";

const catalogues: Record<string, Record<string, string>> = { en, zh };
const source = join(import.meta.dirname, "..");

function files(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? files(path) : [path];
  });
}

const code = files(source)
  .filter((path) => /\.tsx?$/.test(path) && !/\.test\.|schema\.d\.ts|i18n[\\/](en|zh)[\\/]/.test(path))
  .map((path) => readFileSync(path, "utf8"))
  .join("\n");

const holes = (text: string) => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]))].toSorted();

describe("the catalogue", () => {
  test("has the same keys in every language", () => {
    expect(Object.keys(zh).toSorted()).toEqual(Object.keys(en).toSorted());
  });

  test("has the same values in every translation, and no empty text", () => {
    for (const [key, text] of Object.entries(en)) {
      const other = catalogues.zh?.[key] ?? "";
      expect(other.trim(), key).not.toBe("");
      expect(holes(other), key).toEqual(holes(text));
      for (const form of text.split("|")) expect(form.trim(), key).not.toBe("");
      expect(text.split("|").length, key).toBeLessThanOrEqual(2);
    }
  });

  test("has Chinese in the Chinese texts, but for names and units", () => {
    const same = Object.keys(en).filter(
      (key) => catalogues.zh?.[key] === catalogues.en?.[key] && /[a-z]{4}/i.test(catalogues.en?.[key] ?? ""),
    );
    const names = new Set(["Myelin", "JSON", "HTTP", "Curl", "curl"]);
    expect(same.filter((key) => !names.has(catalogues.en?.[key] ?? ""))).toEqual([]);
  });

  test("holds nothing that no code asks for", () => {
    const unused = Object.keys(en).filter((key) => {
      if (code.includes(`"${key}"`)) return false;
      // Keys that are put together: `state.${state}`.
      const parts = key.split(".");
      const stem = parts.slice(0, -1).join(".");
      if (stem && code.includes(`\`${stem}.\${`)) return false;
      // Settings have a hint each: `setting.${name}.hint`.
      return !(parts.at(-1) === "hint" && code.includes(`\`${parts[0]}.\${name}.hint\``));
    });
    expect(unused).toEqual([]);
  });
});

test("what the gateway tells of tools and providers is there in Chinese, and nothing else", () => {
  const core = join(source, "..", "..", "core", "src");
  const table = JSON.parse(readFileSync(join(core, "tools", "tools.json"), "utf8")) as {
    id: string;
    name: string;
    effect?: string;
    notes?: { code: string }[];
  }[];
  const catalog = readFileSync(join(core, "providers", "catalog.toml"), "utf8");
  const rows = catalog.split("[[provider]]").filter((row) => /^notes = /m.test(row));
  // Names that are more than a name.
  const described = table.filter((tool) => /^A |^CI$| and |\(/.test(tool.name));
  const wanted = [
    ...described.map((tool) => `name/${tool.id}`),
    ...table.filter((tool) => tool.effect).map((tool) => `effect/${tool.id}`),
    ...table.flatMap((tool) => (tool.notes ?? []).map((note) => `tool/${tool.id}/${note.code}`)),
    ...rows.map((row) => `provider/${/^id = "(.+)"/m.exec(row)?.[1]}`),
  ];
  expect(rows.length).toBeGreaterThan(10);
  expect(Object.keys(told).toSorted()).toEqual(wanted.toSorted());
  for (const [about, text] of Object.entries(told)) expect(text, about).toMatch(/[\u4e00-\u9fff]/);
});

/** Rust sources without what only tests say, and without comments. */
function spoken(folder: string): string {
  return files(folder)
    .filter((path) => path.endsWith(".rs") && !/[\\/]tests?[\\/.]/.test(path))
    .map((path) => readFileSync(path, "utf8").split(/^#\[cfg\(test\)\]\nmod tests \{/m)[0] ?? "")
    .map((text) => text.replace(/^\s*\/\/.*$/gm, ""))
    .join("\n");
}

test("everything that the gateway says by a code is there in Chinese, with the same values, and nothing else", () => {
  const code = spoken(join(source, "..", "..", "core", "src"));
  const made = code.match(/\btold!\(/g) ?? [];
  const found = [...code.matchAll(/\btold!\(\s*"([^"]+)",\s*"((?:[^"\\]|\\.)*)"/g)];
  expect(found.length, "every one can be read").toBe(made.length);
  expect(found.length).toBeGreaterThan(150);
  const english = new Map<string, string>();
  for (const [, name = "", text = ""] of found) {
    expect(english.get(name) ?? text, `one text for ${name}`).toBe(text);
    english.set(name, text);
  }
  const texts = Object.keys(said).filter((name) => !name.includes("/"));
  expect(texts.toSorted()).toEqual([...english.keys()].toSorted());
  for (const [name, text] of english) {
    // Doubled braces stand for themselves there.
    expect(holes(said[name] ?? ""), name).toEqual(holes(text.replaceAll("{{", "").replaceAll("}}", "")));
    if (/[a-z]{3}/.test(text.replace(/\{\w+\}/g, ""))) expect(said[name], name).toMatch(/[\u4e00-\u9fff]/);
  }
  // Values that are words.
  const shapes = /pub fn words\(self\)[\s\S]+?\n {4}\}/.exec(
    readFileSync(join(source, "../../core/src/config/fields.rs"), "utf8"),
  );
  const kinds = /enum OwnerKind \{([\s\S]+?)\n\}/.exec(code)?.[1]?.match(/^ {4}(\w+),/gm) ?? [];
  const words = [...(shapes?.[0].matchAll(/=> "([^"]+)"/g) ?? [])].map((match) => `shape/${match[1]}`);
  const owners = kinds.map((kind) => kind.trim().slice(0, -1).toLowerCase());
  const things = [...code.matchAll(/\bwhat = "([^"]+)"/g)].map((match) => `what/${match[1]}`);
  const read = (path: string) => readFileSync(join(source, "../../core/src", path), "utf8");
  const each = (hole: string, text: string, shape: RegExp) =>
    [...text.matchAll(shape)].map((match) => `${hole}/${match[1]}`);
  const limit = read("model/limit.rs");
  const windows = /const WINDOWS[\s\S]+?\];/.exec(limit)?.[0] ?? "";
  const named = [
    ...each("thing", code, /\b(?:missing|may_put|own)\("([^"]+)"/g),
    ...each("thing", code, /\b(?:NotFound|Exists|FileManaged) \{ what: "([^"]+)"/g),
    ...each("reason", read("routing/live/failure.rs"), /\beffect\(Scope::.+"([^"]+)"\)/g),
    ...each("reason", code, /REASON_UNKNOWN: &str = "([^"]+)"/g),
    ...each("why", code, /WHY_UNKNOWN: &str = "([^"]+)"/g),
    ...each("because", /fn final_because[\s\S]+?\n\}/.exec(code)?.[0] ?? "", /=> "([^"]+)"/g),
    ...each("by", /const BY: .+;/.exec(read("gateway/spend.rs"))?.[0].toLowerCase() ?? "", /dimension::(\w+)/g),
    ...each("unit", /fn unit\(self\)[\s\S]+?\n {4}\}/.exec(limit)?.[0] ?? "", /=> "([^"]+)"/g),
    ...each("window", windows.replace(/.*"total".*\n/, ""), /\("(\w+)"/g).map((name) => name.replace("/", "/per ")),
    ...each("window", /fn window_in_words[\s\S]+?\n {4}\}/.exec(limit)?.[0] ?? "", /=> "([^"]+)"/g),
  ];
  expect(new Set(named.map((name) => name.split("/")[0])).size, "every table can be read").toBe(7);
  expect(words.length).toBeGreaterThan(5);
  expect(owners.length).toBeGreaterThan(3);
  const wanted = new Set([
    ...words,
    ...owners.flatMap((kind) => [`parent/${kind}`, `owner/${kind}`]),
    ...things,
    ...named,
  ]);
  const values = Object.keys(said).filter((name) => name.includes("/"));
  expect(values.toSorted()).toEqual([...wanted].toSorted());
});

test("texts take values and choose between one and many", () => {
  expect(fill("{n} thing|{n} things", { n: 1 })).toBe("1 thing");
  expect(fill("{n} thing|{n} things", { n: 0 })).toBe("0 things");
  expect(fill("{a} and {b}", { a: "x" })).toBe("x and {b}");
});

test("no page has English words beside the catalogue", () => {
  const pages = files(source).filter((path) => path.endsWith(".tsx") && !path.includes(".test."));
  const found = pages.flatMap((path) =>
    [...readFileSync(path, "utf8").matchAll(/>\s*([A-Z][a-z]+ [a-z]+[^<>{}`=;()]*)\s*</g)].map(
      (match) => `${path}: ${match[1]}`,
    ),
  );
  expect(found).toEqual([]);
});
