import type { Catalogue } from "..";
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

export { said } from "./said";
export { told } from "./told";

export const words: Catalogue = {
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
