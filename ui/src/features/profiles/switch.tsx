import clsx from "clsx";
import { Check } from "lucide-react";
import { type Api, answer, api } from "@/api/client";
import { useChange, useChosen } from "@/api/queries";
import { useT } from "@/i18n";
import { patternOf } from "./rules";

type Props = { list: Api<"ProfileList"> };

/** The profiles as large radio buttons: one click, and the next request goes elsewhere. */
export function ProfileCards({ list }: Props) {
  const t = useT();
  const change = useChange((profile: string) => answer(api.PUT("/api/v1/active-profile", { body: { profile } })), {
    done: () => t("profiles.switched"),
  });
  const [active, choose] = useChosen(list.active, change.mutateAsync);
  const rows = [
    { name: "direct", hint: t("profiles.direct") },
    ...list.profiles.map((profile) => ({
      name: profile.name,
      hint: (profile.rules ?? []).map((rule) => `${patternOf(rule)} → ${rule.to}`).join(" · ") || t("profiles.noRules"),
    })),
  ];
  return (
    <div role="radiogroup" aria-label={t("profiles.active")} className="grid gap-2 sm:grid-cols-2 xl:grid-cols-3">
      {rows.map((row) => {
        const on = row.name === active;
        return (
          <label
            key={row.name}
            className={clsx(
              "flex min-w-0 cursor-pointer items-start gap-2.5 rounded-xl border p-3 transition-colors has-focus-visible:outline-2 has-focus-visible:outline-accent",
              on ? "border-accent bg-accent-soft" : "border-line hover:border-line-strong hover:bg-sunken",
            )}
          >
            <input type="radio" name="profile" className="sr-only" checked={on} onChange={() => choose(row.name)} />
            <span
              aria-hidden
              className={clsx(
                "mt-0.5 grid size-4 shrink-0 place-items-center rounded-full border",
                on ? "border-accent bg-accent text-on-accent" : "border-line-strong",
              )}
            >
              {on && <Check className="size-3" />}
            </span>
            <span className="min-w-0">
              <span className="block truncate text-sm font-medium">{row.name}</span>
              <span className="line-clamp-2 text-xs break-words text-muted">{row.hint}</span>
            </span>
          </label>
        );
      })}
    </div>
  );
}
