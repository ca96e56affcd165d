import { channels } from "./channels";
import { common } from "./common";
import { keys } from "./keys";
import { requests } from "./requests";
import { routing } from "./routing";

/** Every word of the console. `{name}` is a value; `one|many` chooses by `{n}`. */
export const en = { ...channels, ...common, ...keys, ...requests, ...routing };
