import type { Catalogue } from "..";
import { channels } from "./channels";
import { common } from "./common";
import { keys } from "./keys";
import { requests } from "./requests";
import { routing } from "./routing";

export const zh: Catalogue = { ...channels, ...common, ...keys, ...requests, ...routing };
