import { kept, useValue, value } from "@/lib/store";
import { en } from "./en";

export type Language = "en" | "zh";
export type Key = keyof typeof en;
export type Catalogue = Record<Key, string>;
type Values = Record<string, string | number>;

/** Languages by their own names. */
export const LANGUAGES: Record<Language, string> = { en: "English", zh: "中文" };

type Told = Record<string, string>;
type State = { language: Language; words: Catalogue; told: Told; said: Told };

const ENGLISH: State = { language: "en", words: en, told: {}, said: {} };
const state = value<State>(ENGLISH);

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
  const shown = language === "zh" ? { language, ...(await import("./zh")) } : ENGLISH;
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  state.set(shown);
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

/** Words of the gateway with their code and what stands in them. */
export type Said = { code?: string; words?: string; message?: string; values?: Record<string, string> };

/** What the gateway said, in the language that is shown: by its code, else its own words. */
export const inWords = ({ code = "", words, message, values = {} }: Said): string => {
  const { said } = state.get();
  const text = said[code];
  if (text === undefined) return words ?? message ?? "";
  const own = Object.entries(values).map(([hole, value]) => [hole, said[`${hole}/${value}`] ?? value]);
  return fill(text, Object.fromEntries(own));
};

/** What the gateway said, in the language that is shown. */
export function useSaid(): typeof inWords {
  useValue(state);
  return inWords;
}
