import clsx from "clsx";
import { Languages, LogOut, Monitor, Moon, Sun } from "lucide-react";
import { answer, api, session } from "@/api/client";
import { IconButton } from "@/components/ui/button";
import { type Key, LANGUAGES, setLanguage, useLanguage, useT } from "@/i18n";
import { inWindow } from "@/lib/shell";
import { queries } from "./query";
import { setTheme, type Theme, useTheme } from "./theme";

const THEMES: { theme: Theme; next: Theme; label: Key; icon: typeof Sun }[] = [
  { theme: "system", next: "light", label: "theme.system", icon: Monitor },
  { theme: "light", next: "dark", label: "theme.light", icon: Sun },
  { theme: "dark", next: "system", label: "theme.dark", icon: Moon },
];

/** Theme, language and the way out. */
export function Preferences({ wide }: { wide?: boolean }) {
  const t = useT();
  const theme = useTheme();
  const language = useLanguage();
  const shown = THEMES.find((row) => row.theme === theme) ?? THEMES[0];
  const other = language === "en" ? "zh" : "en";
  return (
    <div className={clsx("flex items-center gap-1", !wide && "md:flex-col lg:flex-row")}>
      {shown && (
        <IconButton label={t("theme.label", { theme: t(shown.label) })} onClick={() => setTheme(shown.next)}>
          <shown.icon />
        </IconButton>
      )}
      <IconButton label={LANGUAGES[other]} onClick={() => void setLanguage(other)}>
        <Languages />
      </IconButton>
      {!inWindow() && (
        <IconButton label={t("login.out")} onClick={() => void leave()}>
          <LogOut />
        </IconButton>
      )}
    </div>
  );
}

async function leave() {
  try {
    await answer(api.DELETE("/api/v1/session"));
  } finally {
    session.set("out");
    queries.clear();
  }
}
