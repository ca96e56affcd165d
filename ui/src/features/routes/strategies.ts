import type { Api } from "@/api/client";

export type Strategy = NonNullable<Api<"RouteGroup">["strategy"]>;

/** How to choose within a group; the first is the usual one. The type checker holds the list to the API's. */
const TABLE: { [strategy in Strategy]: true } = { weighted: true, ordered: true };

export const STRATEGIES = Object.keys(TABLE) as [Strategy, ...Strategy[]];
