// Checks the size of what was built: what the first page loads, and everything together, as gzip sends it.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const INITIAL = 180_000;
const WHOLE = 350_000;
const dist = join(import.meta.dirname, "..", "dist");

const manifest = JSON.parse(readFileSync(join(dist, ".vite", "manifest.json"), "utf8"));
const size = (file) => gzipSync(readFileSync(join(dist, file)), { level: 9 }).length;

/** An entry with everything that it imports at once; what is imported later is not counted. */
function first(name, seen = new Set()) {
    const entry = manifest[name];
    if (!entry || seen.has(entry.file)) return seen;
    seen.add(entry.file);
    for (const imported of entry.imports ?? []) first(imported, seen);
    return seen;
}

const entries = Object.keys(manifest).filter((name) => manifest[name].isEntry);
const initial = [...new Set(entries.flatMap((name) => [...first(name)]))];
const scripts = readdirSync(join(dist, "assets")).filter((name) => name.endsWith(".js"));
const sum = (files) => files.map(size).reduce((a, b) => a + b, 0);

const kb = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
const checks = [
    ["initial JS", sum(initial), INITIAL],
    ["whole JS", sum(scripts.map((name) => join("assets", name))), WHOLE],
];
for (const [what, got, most] of checks) {
    process.stdout.write(`${what}: ${kb(got)} gzip of ${kb(most)}\n`);
    if (got > most) process.exitCode = 1;
}
