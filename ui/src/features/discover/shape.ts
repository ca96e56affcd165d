import type { Api } from "@/api/client";

export type Discovered = Api<"Discovered">;
export type ImportKind = Api<"ImportInput">["kind"];
export type ImportSource = { kind: ImportKind; label: string; found?: string; base64?: string };

/** Whose settings can be read, by the names that people know. */
export const KINDS: { kind: ImportKind; name: string }[] = [
  { kind: "cc-switch", name: "cc-switch" },
  { kind: "claude-code-router", name: "claude-code-router" },
  { kind: "litellm", name: "LiteLLM" },
  { kind: "llmux", name: "LLMux" },
];

export const nameOf = (kind: ImportKind): string => KINDS.find((row) => row.kind === kind)?.name ?? kind;

/** What is chosen to begin with: whatever has no channel yet. A key that lies in several places is chosen once. */
export function offered(found: Discovered): { keys: string[]; servers: string[] } {
  const seen = new Set<string>();
  const fresh = found.keys.filter((key) => {
    const same = `${key.provider} ${key.hint} ${key.base_url ?? ""}`;
    if (key.known || seen.has(same)) return false;
    seen.add(same);
    return true;
  });
  return {
    keys: fresh.map((key) => key.id),
    servers: found.servers.filter((server) => !server.known).map((server) => server.provider),
  };
}

export const empty = (found: Discovered): boolean =>
  found.keys.length === 0 && found.servers.length === 0 && found.configs.length === 0;

/** Bytes as base64: a database is no text. */
export function base64(bytes: Uint8Array): string {
  let text = "";
  const step = 0x8000;
  for (let at = 0; at < bytes.length; at += step) text += String.fromCharCode(...bytes.subarray(at, at + step));
  return btoa(text);
}
