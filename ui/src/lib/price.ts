/** What tokens come to at a price, class by class. Pure; the same rules as the gateway's own bill, for sums and for single requests. */

/** Tokens by class; `input` holds what was read from and written to caches, `output` holds reasoning. */
export type Tokens = {
  input?: number | null;
  cache_read?: number | null;
  cache_write?: number | null;
  cache_write_1h?: number | null;
  audio_input?: number | null;
  image_input?: number | null;
  output?: number | null;
  reasoning?: number | null;
  audio_output?: number | null;
  image_output?: number | null;
};

/** Dollars a million tokens by class, with tiers inside: `{ input: 1.25, output: 10, above_200k: { input: 2.5 } }`. */
export type Price = { readonly [name: string]: unknown };

export type PricedClass =
  | "input"
  | "cache_read"
  | "cache_write"
  | "cache_write_1h"
  | "audio_input"
  | "image_input"
  | "output"
  | "reasoning"
  | "audio_output"
  | "image_output";

export type Line = {
  name: PricedClass;
  count: number;
  /** Dollars a million. */ rate: number;
  /** Billionths of a dollar. */ nano: number;
};

/** Where a class without a rate of its own takes it from. */
const KINDRED: { [name in PricedClass]: PricedClass[] } = {
  input: [],
  cache_read: ["input"],
  cache_write: ["input"],
  cache_write_1h: ["cache_write", "input"],
  audio_input: ["input"],
  image_input: ["input"],
  output: [],
  reasoning: ["output"],
  audio_output: ["output"],
  image_output: ["output"],
};

/** The rates that hold for prompts of so many tokens: the highest tier that is passed, then the plain ones. */
function ratesFor(price: Price, prompt: number): (name: PricedClass) => number | undefined {
  const tiers = Object.entries(price)
    .flatMap(([name, table]) => {
      const [, digits, kilo] = /^above_(\d+)(k?)$/.exec(name) ?? [];
      const above = Number(digits) * (kilo ? 1000 : 1);
      return digits && prompt > above && typeof table === "object" && table !== null
        ? [{ above, table: table as Price }]
        : [];
    })
    .toSorted((a, b) => b.above - a.above)
    .map((tier) => tier.table);
  const own = (name: PricedClass) => {
    const found = [...tiers, price].map((table) => table[name]).find((rate) => rate !== undefined && rate !== null);
    const rate = Number(found);
    return found === undefined || Number.isNaN(rate) ? undefined : rate;
  };
  return (name) => own(name) ?? KINDRED[name].map(own).find((rate) => rate !== undefined);
}

/** Every token in exactly one class. */
function apart(tokens: Tokens, thinks: boolean): [PricedClass, number][] {
  const known = (count: number | null | undefined) => count ?? 0;
  const input = known(tokens.input);
  const read = Math.min(known(tokens.cache_read), input);
  const written = Math.min(Math.max(known(tokens.cache_write), known(tokens.cache_write_1h)), input - read);
  const long = Math.min(known(tokens.cache_write_1h), written);
  const plain = input - read - written;
  const audio = Math.min(known(tokens.audio_input), plain);
  const image = Math.min(known(tokens.image_input), plain - audio);
  const output = known(tokens.output);
  const sound = Math.min(known(tokens.audio_output), output);
  const picture = Math.min(known(tokens.image_output), output - sound);
  const words = output - sound - picture;
  const thought = thinks ? Math.min(known(tokens.reasoning), words) : 0;
  return [
    ["input", plain - audio - image],
    ["cache_read", read],
    ["cache_write", written - long],
    ["cache_write_1h", long],
    ["audio_input", audio],
    ["image_input", image],
    ["output", words - thought],
    ["reasoning", thought],
    ["audio_output", sound],
    ["image_output", picture],
  ];
}

/**
 * The bill of some tokens. `requests` over which they are spread decide the tier: a mean prompt stands for each. `undefined`: a class was used for
 * which there is no rate; unknown is never zero.
 */
export function bill(price: Price, tokens: Tokens, requests = 1, multiplier = 1): Line[] | undefined {
  const rate = ratesFor(price, (tokens.input ?? 0) / Math.max(1, requests));
  const lines: Line[] = [];
  for (const [name, count] of apart(tokens, price.reasoning !== undefined)) {
    if (count <= 0) continue;
    const found = rate(name);
    if (found === undefined) return undefined;
    lines.push({ name, count, rate: found * multiplier, nano: count * found * multiplier * 1000 });
  }
  return lines.length > 0 ? lines : undefined;
}

export const total = (lines: readonly Line[]): number => Math.round(lines.reduce((sum, line) => sum + line.nano, 0));
