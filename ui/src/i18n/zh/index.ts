import type { Catalogue } from "..";
import { common } from "./common";
import { requests } from "./requests";

export const zh: Catalogue = { ...common, ...requests };
