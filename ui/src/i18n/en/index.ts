import { analysis } from "./analysis";
import { channels } from "./channels";
import { common } from "./common";
import { home } from "./home";
import { keys } from "./keys";
import { playground } from "./playground";
import { requests } from "./requests";
import { routing } from "./routing";
import { settings } from "./settings";
import { tools } from "./tools";

/** Every word of the console. `{name}` is a value; `one|many` chooses by `{n}`. */
export const en = {
  ...analysis,
  ...channels,
  ...common,
  ...home,
  ...keys,
  ...playground,
  ...requests,
  ...routing,
  ...settings,
  ...tools,
};
