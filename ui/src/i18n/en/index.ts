import { common } from "./common";
import { requests } from "./requests";

/** Every word of the console. `{name}` is a value; `one|many` chooses by `{n}`. */
export const en = { ...common, ...requests };
