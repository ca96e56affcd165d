import { Link } from "@tanstack/react-router";
import { Check } from "lucide-react";
import type { ReactNode } from "react";
import clsx from "clsx";
import type { Api } from "@/api/client";
import { Card } from "@/components/ui/card";
import { useT } from "@/i18n";

const LINK =
  "inline-flex h-8 items-center rounded-lg bg-accent px-3 text-xs font-medium text-on-accent hover:bg-accent-strong";

const PLAIN =
  "inline-flex h-8 items-center rounded-lg border border-line-strong bg-surface px-3 text-xs font-medium hover:bg-sunken";

/** From nothing to the first answer, as steps that tick themselves off. */
export function SetUp({ status }: { status: Api<"Status"> }) {
  const t = useT();
  const steps: { done: boolean; title: string; text: string; act: ReactNode }[] = [
    {
      done: status.channels_serving > 0,
      title: t("setup.channel"),
      text: t("setup.channelText"),
      act: (
        <span className="flex flex-wrap gap-2">
          <Link to="/channels" search={{ add: "" }} className={LINK}>
            {t("channels.addFirst")}
          </Link>
          <Link to="/channels" search={{ found: true }} className={PLAIN}>
            {t("discover.open")}
          </Link>
        </span>
      ),
    },
    {
      done: status.requests > 0,
      title: t("setup.request"),
      text: t("setup.requestText"),
      act: (
        <Link to="/playground" className={LINK}>
          {t("setup.try")}
        </Link>
      ),
    },
    {
      done: status.keys > 1,
      title: t("setup.tool"),
      text: t("setup.toolText"),
      act: (
        <span className="flex flex-wrap gap-2">
          <Link to="/tools" className={LINK}>
            {t("setup.tools")}
          </Link>
          <Link to="/keys" search={{ add: true }} className={PLAIN}>
            {t("keys.add")}
          </Link>
        </span>
      ),
    },
  ];
  const next = steps.findIndex((step) => !step.done);
  return (
    <Card title={t("setup.title")} hint={t("setup.hint")}>
      <ol className="grid gap-3 md:grid-cols-3">
        {steps.map((step, at) => (
          <li
            key={step.title}
            className={clsx("flex gap-3 rounded-xl border p-3", at === next ? "border-accent" : "border-line")}
          >
            <span
              className={clsx(
                "grid size-6 shrink-0 place-items-center rounded-full text-xs font-semibold",
                step.done ? "bg-good-soft text-good" : "bg-accent-soft text-accent-strong",
              )}
            >
              {step.done ? <Check aria-label={t("done")} className="size-3.5" /> : at + 1}
            </span>
            <div className="min-w-0 space-y-1.5">
              <h3 className="text-sm font-medium">{step.title}</h3>
              <p className="text-xs text-muted">{step.text}</p>
              {!step.done && step.act}
            </div>
          </li>
        ))}
      </ol>
    </Card>
  );
}
