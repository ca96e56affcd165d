import { kept, useValue, value } from "@/lib/store";
import { en } from "./en";

export type Language = "en" | "zh";
export type Key = keyof typeof en;
export type Catalogue = Record<Key, string>;
type Values = Record<string, string | number>;

/** Languages by their own names. */
export const LANGUAGES: Record<Language, string> = { en: "English", zh: "中文" };

type Told = Record<string, string>;

const state = value<{ language: Language; words: Catalogue; told: Told }>({ language: "en", words: en, told: {} });

function preferred(): Language {
  const stored = kept.get("language");
  if (stored === "en" || stored === "zh") return stored;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** Loads the words of the stored or preferred language. */
export const startLanguage = () => show(preferred());

export async function setLanguage(language: Language) {
  kept.set("language", language);
  await show(language);
}

async function show(language: Language) {
  const { words, told } = language === "zh" ? await import("./zh") : { words: en, told: {} };
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  state.set({ language, words, told });
}

/** Puts values into a text. `one|many` chooses by `n`. */
export function fill(text: string, values: Values = {}): string {
  const forms = text.split("|");
  const form = forms.length === 2 && forms[0] !== undefined && values.n === 1 ? forms[0] : (forms.at(-1) ?? text);
  return form.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** The words of the language that is shown, outside of components. */
export const t = (key: Key, values?: Values): string => fill(state.get().words[key], values);

export type Translate = typeof t;

export function useLanguage(): Language {
  return useValue(state).language;
}

/** The words of the language that is shown. */
export function useT(): Translate {
  const { words } = useValue(state);
  return (key, values) => fill(words[key], values);
}

/** What the gateway tells in English about something that has a name, in the language that is shown. */
export function useTold(): (about: string, english: string) => string {
  const { told } = useValue(state);
  return (about, english) => told[about] ?? english;
}
