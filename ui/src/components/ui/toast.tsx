import clsx from "clsx";
import { CircleAlert, CircleCheck, X } from "lucide-react";
import { useT } from "@/i18n";
import { useValue, value } from "@/lib/store";

type Toast = { id: number; text: string; bad: boolean };

const shown = value<Toast[]>([]);
let last = 0;

/** Says what was done, or what was not. Good news goes away by itself. */
export function say(text: string, bad = false) {
  last += 1;
  const toast = { id: last, text, bad };
  shown.set([...shown.get().slice(-2), toast]);
  setTimeout(() => dismiss(toast.id), bad ? 12_000 : 4_000);
}

const dismiss = (id: number) => shown.set(shown.get().filter((toast) => toast.id !== id));

export function Toasts() {
  const t = useT();
  const toasts = useValue(shown);
  return (
    <div
      aria-live="polite"
      className="pointer-events-none fixed right-3 bottom-3 left-3 z-60 flex flex-col items-end gap-2"
    >
      {toasts.map((toast) => (
        <div
          key={toast.id}
          role={toast.bad ? "alert" : "status"}
          className={clsx(
            "pointer-events-auto flex max-w-md animate-in items-start gap-2.5 rounded-xl border bg-surface py-2.5 pr-2 pl-3 text-sm shadow-float",
            toast.bad ? "border-bad/50" : "border-line",
          )}
        >
          {toast.bad ? (
            <CircleAlert aria-hidden className="mt-0.5 size-4 shrink-0 text-bad" />
          ) : (
            <CircleCheck aria-hidden className="mt-0.5 size-4 shrink-0 text-good" />
          )}
          <span className="min-w-0 break-words">{toast.text}</span>
          <button type="button" aria-label={t("close")} onClick={() => dismiss(toast.id)} className="p-1 text-muted">
            <X className="size-3.5" />
          </button>
        </div>
      ))}
    </div>
  );
}
