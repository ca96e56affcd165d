import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Files worth compressing; images are already small. */
const TEXT = /\.(js|css|html|svg|webmanifest)$/;

/** Writes a brotli and a gzip twin beside every text file, for the server to choose from. */
function compressed(): Plugin {
  let folder = "dist";
  const walk = (at: string): string[] =>
    readdirSync(at).flatMap((name) => {
      const path = join(at, name);
      return statSync(path).isDirectory() ? walk(path) : [path];
    });
  return {
    name: "compressed",
    apply: "build",
    configResolved: (config) => {
      folder = config.build.outDir;
    },
    closeBundle: () => {
      for (const path of walk(folder).filter((path) => TEXT.test(path))) {
        const data = readFileSync(path);
        const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
        writeFileSync(`${path}.br`, brotliCompressSync(data, { params: quality }));
        writeFileSync(`${path}.gz`, gzipSync(data, { level: 9 }));
      }
    },
  };
}

/** Where `npm run dev` finds the gateway. */
const gateway = process.env.MYELIN_GATEWAY ?? "http://127.0.0.1:6935";

export default defineConfig({
  plugins: [react(), tailwindcss(), compressed()],
  resolve: { alias: { "@": join(import.meta.dirname, "src") } },
  build: { target: "es2022", sourcemap: false, assetsInlineLimit: 0, reportCompressedSize: false, manifest: true },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/v1", "/v1beta", "/anthropic", "/gemini", "/dify", "/p/", "/health", "/openapi.json", "/docs"].map(
        (path) => [path, { target: gateway, headers: { origin: gateway } }],
      ),
    ),
  },
  test: {
    include: ["src/**/*.test.{ts,tsx}"],
    // What needs a document says so in its first line: `@vitest-environment jsdom`.
    environment: "node",
    setupFiles: ["src/test/setup.ts"],
    testTimeout: 20_000,
  },
});
