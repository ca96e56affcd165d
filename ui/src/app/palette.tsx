import { useNavigate } from "@tanstack/react-router";
import clsx from "clsx";
import { CornerDownLeft, Search } from "lucide-react";
import { useEffect, useId, useMemo, useRef, useState } from "react";
import { answer, api } from "@/api/client";
import { useChange, useChannels, useKeys, useProfiles } from "@/api/queries";
import { Dialog } from "@/components/ui/dialog";
import { LANGUAGES, setLanguage, useT } from "@/i18n";
import { useValue, value } from "@/lib/store";
import { type Command, find } from "./commands";
import { openHelp } from "./help";
import { PLACES } from "./nav";
import { setTheme } from "./theme";

const open = value(false);
export const openPalette = () => open.set(true);
export const togglePalette = () => open.set(!open.get());

/** Any page, profile, channel or key by a few letters. */
export function Palette() {
  const shown = useValue(open);
  return shown ? <Opened close={() => open.set(false)} /> : null;
}

function Opened({ close }: { close: () => void }) {
  const t = useT();
  const id = useId();
  const commands = useCommands();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const box = useRef<HTMLUListElement>(null);
  const found = useMemo(() => find(commands, text).slice(0, 40), [commands, text]);
  const chosen = Math.min(at, Math.max(0, found.length - 1));
  const go = (command: Command | undefined) => {
    if (!command) return;
    close();
    command.run();
  };
  useEffect(() => {
    box.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <Dialog open onClose={close} title={t("palette.title")}>
      <div className="relative">
        <Search aria-hidden className="absolute top-1/2 left-3 size-4 -translate-y-1/2 text-muted" />
        <input
          role="combobox"
          autoFocus
          aria-expanded
          aria-controls={`${id}-list`}
          aria-activedescendant={found.length > 0 ? `${id}-${chosen}` : undefined}
          aria-label={t("palette.title")}
          placeholder={t("palette.hint")}
          value={text}
          autoComplete="off"
          spellCheck={false}
          className="h-11 w-full rounded-lg border border-line-strong bg-surface pr-3 pl-9 text-sm"
          onChange={(event) => {
            setText(event.target.value);
            setAt(0);
          }}
          onKeyDown={(event) => {
            if (event.nativeEvent.isComposing) return;
            const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
            if (step !== 0) {
              event.preventDefault();
              setAt((chosen + step + found.length) % Math.max(1, found.length));
            } else if (event.key === "Enter") {
              event.preventDefault();
              go(found[chosen]);
            }
          }}
        />
      </div>
      <ul
        ref={box}
        id={`${id}-list`}
        role="listbox"
        aria-label={t("palette.title")}
        className="mt-3 max-h-[46vh] overflow-y-auto"
      >
        {found.map((command, place) => (
          <li
            key={command.id}
            id={`${id}-${place}`}
            role="option"
            aria-selected={place === chosen}
            onPointerMove={() => setAt(place)}
            onClick={() => go(command)}
            onKeyDown={() => undefined}
            className={clsx(
              "flex cursor-pointer items-center gap-3 rounded-lg px-3 py-2 text-sm",
              place === chosen && "bg-accent-soft",
            )}
          >
            <span className="w-24 shrink-0 truncate text-xs text-muted">{command.group}</span>
            <span className="min-w-0 flex-1 truncate">{command.label}</span>
            {place === chosen && <CornerDownLeft aria-hidden className="size-3.5 text-muted" />}
          </li>
        ))}
      </ul>
      {found.length === 0 && <p className="py-6 text-center text-sm text-muted">{t("palette.nothing")}</p>}
    </Dialog>
  );
}

function useCommands(): Command[] {
  const t = useT();
  const navigate = useNavigate();
  const profiles = useProfiles();
  const channels = useChannels();
  const keys = useKeys();
  const change = useChange((profile: string) => answer(api.PUT("/api/v1/active-profile", { body: { profile } })), {
    done: () => t("profiles.switched"),
  });
  const make = (group: string, label: string, run: () => void): Command => ({
    id: `${group}/${label}`,
    group,
    label,
    run,
  });
  const names = ["direct", ...(profiles.data?.profiles.map((profile) => profile.name) ?? [])];
  return [
    ...PLACES.flat().map((place) => make(t("palette.page"), t(place.label), () => void navigate({ to: place.to }))),
    ...names.map((name) =>
      make(t("palette.profile"), name === profiles.data?.active ? `${name} ✓` : name, () => change.mutate(name)),
    ),
    make(t("palette.do"), t("channels.add"), () => void navigate({ to: "/channels", search: { add: "" } })),
    make(t("palette.do"), t("discover.open"), () => void navigate({ to: "/channels", search: { found: true } })),
    make(t("palette.do"), t("keys.add"), () => void navigate({ to: "/keys", search: { add: true } })),
    make(t("palette.do"), t("profiles.add"), () => void navigate({ to: "/profiles", search: { add: true } })),
    make(t("palette.do"), t("routes.add"), () => void navigate({ to: "/routes", search: { add: true } })),
    make(t("palette.do"), t("pins.open"), () => void navigate({ to: "/tools", search: { view: "folders" } })),
    make(t("palette.do"), t("keys.shortcuts"), openHelp),
    ...(["system", "light", "dark"] as const).map((theme) =>
      make(t("palette.do"), t("theme.label", { theme: t(`theme.${theme}`) }), () => setTheme(theme)),
    ),
    make(t("palette.do"), LANGUAGES.en, () => void setLanguage("en")),
    make(t("palette.do"), LANGUAGES.zh, () => void setLanguage("zh")),
    ...(channels.data?.channels ?? []).map((channel) =>
      make(
        t("palette.channel"),
        channel.name,
        () => void navigate({ to: "/channels", search: { edit: channel.name } }),
      ),
    ),
    ...(keys.data?.keys ?? []).map((key) =>
      make(t("palette.key"), key.name, () => void navigate({ to: "/requests", search: { key: key.name } })),
    ),
  ];
}
