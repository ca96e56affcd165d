import { expect, test } from "vitest";
import type { Group } from "./sums";
import { offers, suppose } from "./suppose";

const group = (fields: Partial<Group>) =>
  ({ name: "m", requests: 1, input: 0, output: 0, cost: 0, ...fields }) as Group;

test("deployments stand before lists, free ones cost nothing, unpriced ones are no offer", () => {
  const found = offers(
    [
      { channel: "a", model: "x", price: { input: 1 }, multiplier: 2, free: false },
      { channel: "a", model: "y", price: null, multiplier: 1, free: false },
      { channel: "b", model: "z", multiplier: 1, free: true },
    ],
    [
      { key: "a/x", price: { input: 9 } },
      { key: "c/w", price: { input: 3 } },
    ],
  );
  expect(found.map((offer) => [offer.id, offer.price.input, offer.multiplier])).toEqual([
    ["a/x", 1, 2],
    ["b/z", 0, 1],
    ["c/w", 3, 1],
  ]);
});

test("the same tokens at another price, and nothing where nothing is known", () => {
  const offer = { id: "x", price: { input: 2, output: 10 }, multiplier: 1 };
  const found = suppose(
    [group({ name: "a", input: 1_000_000, output: 100_000, cost: 9_000_000_000 }), group({ name: "b" })],
    offer,
  );
  expect(found).toEqual([{ name: "a", requests: 1, tokens: 1_100_000, cost: 9_000_000_000, would: 3_000_000_000 }]);
  expect(suppose([group({ input: 5, output: 5 })], { ...offer, price: { input: 1 } })[0]?.would).toBeUndefined();
});
