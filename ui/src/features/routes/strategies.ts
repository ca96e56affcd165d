import type { Api } from "@/api/client";

export type Strategy = NonNullable<Api<"RouteGroup">["strategy"]>;

/** How to choose within a group; the first is the usual one. The type checker holds the list to the API's. */
const TABLE: { [strategy in Strategy]: true } = {
  weighted: true,
  ordered: true,
  "round-robin": true,
  random: true,
  "weighted-shuffle": true,
  "weighted-shuffle-rpm": true,
  "weighted-shuffle-tpm": true,
  "least-busy": true,
  "lowest-latency": true,
  "lowest-tpm-rpm": true,
  "lowest-cost": true,
  "tag-based": true,
  "context-fit": true,
  adaptive: true,
};

export const STRATEGIES = Object.keys(TABLE) as [Strategy, ...Strategy[]];
