import type { Api } from "@/api/client";
import type { Tone } from "@/components/ui/badge";
import type { Key } from "@/i18n";

export type Channel = Api<"ChannelView">;
export type Provider = Api<"ProviderView">;
export type ChannelModel = Api<"ChannelModel">;

/** What is to be known of a channel at a glance. */
export function standing(channel: Channel): { tone: Tone; label: Key; why?: string; at?: number } {
  const { state, enabled } = channel;
  const at = "at" in state ? state.at : undefined;
  if (state.is === "failing")
    return { tone: enabled ? "bad" : "neutral", label: "channel.failing", why: state.why, at };
  if (!enabled) return { tone: "neutral", label: "channel.off", at };
  if (state.is === "working") return { tone: "good", label: "channel.working", at };
  return { tone: "warn", label: "channel.untested" };
}

/** The options that an address has places for: `https://{resource}.openai.azure.com` → `resource`. */
export function placeholders(address: string): string[] {
  return [...new Set([...address.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? ""))].filter(Boolean);
}

/** A name that no channel has yet. */
export function freeName(wanted: string, taken: readonly string[]): string {
  if (!taken.includes(wanted)) return wanted;
  let number = 2;
  while (taken.includes(`${wanted}-${number}`)) number += 1;
  return `${wanted}-${number}`;
}

/** Providers whose name, id or address holds every word; those that begin with it come first. */
export function searchProviders(providers: readonly Provider[], text: string): Provider[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [...providers];
  const hay = (provider: Provider) => `${provider.id} ${provider.name} ${provider.base_url}`.toLowerCase();
  const found = providers.filter((provider) => words.every((word) => hay(provider).includes(word)));
  const first = words[0] ?? "";
  const rank = (provider: Provider) =>
    [provider.id, provider.name.toLowerCase()].some((name) => name.startsWith(first)) ? 0 : 1;
  return found.toSorted((a, b) => rank(a) - rank(b));
}

/** Pasted text as credentials: one a line, without the quotes and prefixes that people copy along. */
export function pastedKeys(text: string): string[] {
  // A service account is one credential of many lines.
  if (text.trim().startsWith("{")) return [text.trim()];
  return text
    .split(/\n/)
    .map((line) =>
      line
        .trim()
        .replace(/^(export\s+)?[A-Z][A-Z0-9_]*\s*=\s*/, "")
        .replace(/^bearer\s+/i, "")
        .replace(/^["'](.*)["'],?$/, "$1")
        .trim(),
    )
    .filter(Boolean);
}

/** `fast = gpt-5-mini` per line or comma: what clients ask for, and what the provider calls it. */
export function readModels(words: readonly string[]): ChannelModel[] {
  return words.map((word) => {
    const [name = "", upstream] = word.split("=").map((part) => part.trim());
    return upstream && upstream !== name ? { name, upstream } : name;
  });
}

export function writeModels(models: readonly ChannelModel[]): string[] {
  return models.map((model) => (typeof model === "string" ? model : `${model.name} = ${model.upstream}`));
}

/** The names that clients can ask a channel for. */
export function offered(channel: Channel): string[] {
  return channel.models
    ? channel.models.map((model) => (typeof model === "string" ? model : model.name))
    : channel.listed;
}
