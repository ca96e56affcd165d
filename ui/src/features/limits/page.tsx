import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { FileLock2, Hourglass, Plus, RotateCcw, Trash2 } from "lucide-react";
import { useState } from "react";
import { answer, api } from "@/api/client";
import { useChange } from "@/api/queries";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Confirm } from "@/components/ui/confirm";
import { Empty } from "@/components/ui/empty";
import { Menu } from "@/components/ui/menu";
import { Ago } from "@/components/ui/moment";
import { Failure } from "@/components/ui/notice";
import { Page } from "@/components/ui/page";
import { Skeleton } from "@/components/ui/spinner";
import { useLanguage, useT } from "@/i18n";
import { percent } from "@/lib/format";
import { LimitForm } from "./form";
import { refreshLimits } from "./refresh";
import { amount, fullness, type Limit, saying, toneOf } from "./shape";

const BARS = { neutral: "bg-muted", accent: "bg-accent", good: "bg-good", warn: "bg-warn", bad: "bg-bad" };

/** Budgets and rates, and how far they are used. */
export function LimitsPage() {
  const t = useT();
  const { add } = useSearch({ from: "/limits" });
  const navigate = useNavigate({ from: "/limits" });
  const [leaving, setLeaving] = useState<Limit>();
  const limits = useQuery({
    queryKey: ["limits"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/limits", { signal })),
    refetchInterval: 5_000,
  });
  const reset = useChange(
    (name: string) => answer(api.POST("/api/v1/limits/{name}/reset", { params: { path: { name } } })),
    { done: () => t("limits.resetDone"), after: refreshLimits },
  );
  const remove = useChange(
    (name: string) => answer(api.DELETE("/api/v1/limits/{name}", { params: { path: { name } } })),
    {
      inPlace: true,
      after: () => {
        setLeaving(undefined);
        refreshLimits();
      },
    },
  );
  const all = (limits.data?.limits ?? []).toSorted((a, b) => fullness(b) - fullness(a));
  const addButton = (
    <Button look="primary" icon={<Plus className="size-4" />} onClick={() => void navigate({ search: { add: true } })}>
      {t("limits.add")}
    </Button>
  );
  return (
    <Page title={t("limits.title")} hint={t("limits.hint")} actions={all.length > 0 && addButton}>
      {limits.isError && <Failure error={limits.error} retry={() => void limits.refetch()} />}
      {limits.isPending && <Skeleton className="h-32 w-full" />}
      {limits.isSuccess && all.length === 0 && (
        <Empty icon={<Hourglass />} title={t("limits.none")} action={addButton}>
          {t("limits.noneHint")}
        </Empty>
      )}
      <div className="grid gap-3 md:grid-cols-2 xl:grid-cols-3">
        {all.map((limit) => (
          <LimitCard
            key={limit.name}
            limit={limit}
            reset={() => reset.mutate(limit.name ?? "")}
            remove={() => setLeaving(limit)}
          />
        ))}
      </div>
      {add && <LimitForm close={() => void navigate({ search: {} })} />}
      {leaving && (
        <Confirm
          title={t("limits.remove", { name: leaving.name ?? "" })}
          act={t("delete")}
          busy={remove.isPending}
          error={remove.error}
          run={() => remove.mutate(leaving.name ?? "")}
          close={() => setLeaving(undefined)}
        >
          <p>{t("limits.removeHint")}</p>
        </Confirm>
      )}
    </Page>
  );
}

function LimitCard({ limit, reset, remove }: { limit: Limit; reset: () => void; remove: () => void }) {
  const t = useT();
  const language = useLanguage();
  const name = limit.name ?? "";
  const full = fullness(limit);
  return (
    <article aria-label={name} className="min-w-0 rounded-xl border border-line bg-surface p-4">
      <header className="flex items-start gap-2">
        <div className="min-w-0 flex-1">
          <h2 className="truncate text-sm font-semibold">{limit.on}</h2>
          <p className="truncate text-xs text-muted">{saying(limit, language, t)}</p>
        </div>
        {limit.origin === "file" && (
          <Badge icon={<FileLock2 />} title={t("fromFileHint")}>
            {t("fromFile")}
          </Badge>
        )}
        <Menu
          label={t("limits.more", { name })}
          items={[
            { label: t("limits.reset"), icon: <RotateCcw />, run: reset },
            limit.origin !== "file" && { label: t("delete"), icon: <Trash2 />, danger: true, run: remove },
          ]}
        />
      </header>
      <p className="mt-3 flex items-baseline gap-1.5">
        <span className="text-lg font-semibold">{amount(limit.measure, limit.used + limit.held)}</span>
        <span className="text-sm text-muted">
          {t("limits.of", {
            amount:
              limit.measure === "money"
                ? amount("money", limit.amount)
                : `${amount(limit.measure, limit.amount)} ${t(`measures.${limit.measure}`)}`,
          })}
        </span>
        <span className="ml-auto text-sm font-medium">{percent(full)}</span>
      </p>
      <div aria-hidden className="mt-1.5 h-1.5 overflow-hidden rounded-full bg-sunken">
        <div className={`h-1.5 rounded-full ${BARS[toneOf(limit)]}`} style={{ width: `${Math.min(1, full) * 100}%` }} />
      </div>
      <p className="mt-2 flex flex-wrap gap-x-3 text-xs text-muted">
        {limit.held > 0 && <span>{t("limits.held", { amount: amount(limit.measure, limit.held) })}</span>}
        {limit.waiting > 0 && <span>{t("limits.waiting", { n: limit.waiting })}</span>}
        {limit.resets && (
          <span>
            {t("limits.resets")} <Ago at={limit.resets} />
          </span>
        )}
        {limit.refuse === false && <Badge>{t("limits.tells")}</Badge>}
        {(limit.models?.length ?? 0) > 0 && <span>{limit.models?.join(", ")}</span>}
      </p>
    </article>
  );
}
