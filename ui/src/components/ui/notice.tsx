import clsx from "clsx";
import { CircleAlert, CircleCheck, Info, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { ApiError, wordsOf } from "@/api/client";
import { type Key, useT } from "@/i18n";
import { Button } from "./button";
import { Problems } from "./problems";

type Tone = "info" | "good" | "warn" | "bad";
const LOOKS = {
  info: ["border-line bg-sunken", Info, "text-accent"],
  good: ["border-good/30 bg-good-soft", CircleCheck, "text-good"],
  warn: ["border-warn/30 bg-warn-soft", TriangleAlert, "text-warn"],
  bad: ["border-bad/30 bg-bad-soft", CircleAlert, "text-bad"],
} as const;

type Props = { tone?: Tone; title?: ReactNode; children?: ReactNode; action?: ReactNode; className?: string };

/** Something to read. Announced at once when it is bad. */
export function Notice({ tone = "info", title, children, action, className }: Props) {
  const [box, Icon, colour] = LOOKS[tone];
  return (
    <div
      role={tone === "bad" ? "alert" : "status"}
      className={clsx("flex items-start gap-2.5 rounded-lg border px-3 py-2.5 text-sm", box, className)}
    >
      <Icon aria-hidden className={clsx("mt-0.5 size-4 shrink-0", colour)} />
      <div className="min-w-0 flex-1 break-words">
        {title && <p className="font-medium">{title}</p>}
        {children && <div className={title ? "mt-0.5 text-xs text-muted" : ""}>{children}</div>}
      </div>
      {action}
    </div>
  );
}

/** What to do about each kind of refusal. */
const ADVICE: Record<string, Key> = {
  unreachable: "errors.unreachable",
  unauthorized: "errors.unauthorized",
  "file-managed": "errors.fileManaged",
  exists: "errors.exists",
  store: "errors.store",
  upstream: "errors.upstream",
};

/** What went wrong, each problem with its place, and what to do. */
export function Failure({ error, retry, title }: { error: unknown; retry?: () => void; title?: string }) {
  const t = useT();
  const known = error instanceof ApiError ? error : undefined;
  const advice = known && ADVICE[known.kind];
  const words = wordsOf(error);
  const heading = title ?? (known?.kind === "unreachable" ? t("errors.noAnswer") : words);
  return (
    <Notice
      tone="bad"
      title={heading}
      action={
        retry && (
          <Button small onClick={retry}>
            {t("retry")}
          </Button>
        )
      }
    >
      {(title || known?.kind === "unreachable") && <p>{words}</p>}
      {known && <Problems of={known.problems} />}
      {advice && <p>{t(advice)}</p>}
    </Notice>
  );
}
