import { Dialog } from "@/components/ui/dialog";
import { type Key, useT } from "@/i18n";
import { useValue, value } from "@/lib/store";
import { useShortcuts } from "./shortcuts";

const open = value(false);
export const openHelp = () => open.set(true);

const KEYS: { keys: string[]; label: Key }[] = [
  { keys: ["Ctrl K", "⌘ K"], label: "keys.palette" },
  { keys: ["Ctrl 1 … 9", "⌘ 1 … 9"], label: "keys.page" },
  { keys: ["J", "K"], label: "keys.rows" },
  { keys: ["/"], label: "keys.search" },
  { keys: ["P"], label: "keys.pause" },
  { keys: ["X", "C"], label: "keys.compare" },
  { keys: ["Esc"], label: "keys.close" },
  { keys: ["Enter"], label: "keys.send" },
  { keys: ["?"], label: "keys.help" },
];

/** What the keyboard can do. `?` shows it from anywhere. */
export function Help() {
  const t = useT();
  const shown = useValue(open);
  useShortcuts({ "?": openHelp });
  if (!shown) return null;
  return (
    <Dialog open onClose={() => open.set(false)} title={t("keys.shortcuts")}>
      <dl className="space-y-2 text-sm">
        {KEYS.map(({ keys, label }) => (
          <div key={label} className="flex items-center gap-3">
            <dt className="flex w-44 shrink-0 gap-1.5">
              {keys.map((key) => (
                <kbd key={key} className="rounded border border-line-strong bg-sunken px-1.5 font-sans text-xs">
                  {key}
                </kbd>
              ))}
            </dt>
            <dd>{t(label)}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
