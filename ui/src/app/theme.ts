import { kept, useValue, value } from "@/lib/store";

export type Theme = "system" | "light" | "dark";

const system = () => matchMedia("(prefers-color-scheme: dark)");
const read = (): Theme => {
  const stored = kept.get("theme");
  return stored === "light" || stored === "dark" ? stored : "system";
};

const wanted = value<Theme>("system");
/** What is shown: charts read it, because canvas does not follow the style sheet. */
const shown = value<"light" | "dark">("light");

function apply() {
  const theme = wanted.get();
  const dark = theme === "dark" || (theme === "system" && system().matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  shown.set(dark ? "dark" : "light");
}

/** Begins to follow the stored choice and the system. */
export function startTheme() {
  wanted.set(read());
  system().addEventListener("change", apply);
  apply();
}

export function setTheme(theme: Theme) {
  kept.set("theme", theme === "system" ? null : theme);
  wanted.set(theme);
  apply();
}

export const useTheme = () => useValue(wanted);
export const useShownTheme = () => useValue(shown);
