import { bill, type Price, total } from "@/lib/price";
import type { Group } from "./sums";

/** A price that tokens can be held against. */
export type Offer = { id: string; price: Price; multiplier: number };

type Deployment = { channel: string; model: string; price?: unknown; multiplier: number; free: boolean };
type Listed = { key: string; price: unknown };

/** What is on offer: the deployments there are, then rows of the price lists, each once. */
export function offers(deployments: readonly Deployment[], listed: readonly Listed[]): Offer[] {
  const own = deployments.flatMap(({ channel, model, price, multiplier, free }) => {
    const id = `${channel}/${model}`;
    if (free) return [{ id, price: { input: 0, output: 0 }, multiplier: 1 }];
    return price ? [{ id, price: price as Price, multiplier }] : [];
  });
  const rows = listed.map(({ key, price }) => ({ id: key, price: price as Price, multiplier: 1 }));
  return [...new Map([...rows, ...own].map((offer) => [offer.id, offer])).values()].toSorted((a, b) =>
    a.id.localeCompare(b.id),
  );
}

export type Supposed = {
  name: string;
  requests: number;
  tokens: number;
  cost: number;
  /** `undefined`: the other price has no rate for something that was used. */
  would?: number;
};

/** What groups cost, and what the same tokens would have cost at another price. Groups without tokens say nothing. */
export function suppose(groups: readonly Group[], offer: Offer): Supposed[] {
  return groups.flatMap((group) => {
    const tokens = group.input + group.output;
    if (tokens === 0) return [];
    const lines = bill(offer.price, group, group.requests, offer.multiplier);
    const { name, requests, cost } = group;
    return [{ name, requests, tokens, cost, would: lines && total(lines) }];
  });
}
