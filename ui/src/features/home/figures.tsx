import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { answer, api } from "@/api/client";
import { timesOf } from "@/components/charts/shape";
import { Sparkline } from "@/components/charts/sparkline";
import { useNow } from "@/components/ui/moment";
import { Failure } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { fullness } from "@/features/limits/shape";
import { useT } from "@/i18n";
import { count, duration, percent } from "@/lib/format";
import { exactMoney, money } from "@/lib/money";
import { rangeOf, zone } from "@/lib/range";

/** Spend of today and of this month, and the last day's course. Every number leads to its page. */
export function Figures() {
  const t = useT();
  const now = useNow();
  const today = new Date(now).setHours(0, 0, 0, 0);
  const month = new Date(new Date(now).getFullYear(), new Date(now).getMonth(), 1).getTime();
  const day = rangeOf({}, "day", now);
  const hours = useUsage("hour", day.since, day.until);
  const days = useUsage("day", month, day.until);
  const limits = useQuery({
    queryKey: ["limits"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/limits", { signal })),
    staleTime: 30_000,
  });
  if (hours.isError) return <Failure error={hours.error} retry={() => void hours.refetch()} />;
  if (!hours.data || !days.data) return <Skeleton className="h-24 w-full" />;
  const spent = (since: number) =>
    (days.data?.groups ?? []).reduce((sum, row) => ((row.from ?? 0) >= since ? sum + row.cost : sum), 0);
  const budget = (limits.data?.limits ?? [])
    .filter((limit) => limit.measure === "money")
    .toSorted((a, b) => fullness(b) - fullness(a))[0];
  const found = new Map(hours.data.groups.map((row) => [row.from, row]));
  const rows = timesOf(day.since, day.until, "hour").map((time) => found.get(time));
  const { total } = hours.data;
  const last = { ...day };
  return (
    <section aria-label={t("home.figures")} className="grid grid-cols-2 gap-2 lg:grid-cols-5">
      <Tile
        label={t("home.today")}
        value={<span title={exactMoney(spent(today))}>{money(spent(today))}</span>}
        under={t("home.month", { cost: money(spent(month)) })}
        link={<Link to="/costs" className="absolute inset-0 rounded-xl" aria-label={t("nav.costs")} />}
      />
      <Tile
        label={t("home.budget")}
        value={budget ? percent(fullness(budget)) : "–"}
        under={budget ? `${budget.on}: ${budget.words}` : t("home.noBudget")}
        link={
          <Link
            to="/limits"
            search={budget ? {} : { add: true }}
            className="absolute inset-0 rounded-xl"
            aria-label={t("nav.limits")}
          />
        }
      />
      <Tile
        label={t("home.requestsDay")}
        value={count(total.requests)}
        under={<Sparkline label={t("home.requestsDay")} values={rows.map((row) => row?.requests ?? 0)} />}
        link={
          <Link to="/requests" search={last} className="absolute inset-0 rounded-xl" aria-label={t("nav.requests")} />
        }
      />
      <Tile
        label={t("measure.errors")}
        value={total.requests > 0 ? percent(total.errors / total.requests) : "–"}
        under={
          <Sparkline
            label={t("measure.errors")}
            values={rows.map((row) => (row && row.requests > 0 ? row.errors / row.requests : 0))}
          />
        }
        link={
          <Link
            to="/requests"
            search={{ ...last, state: "failed" }}
            className="absolute inset-0 rounded-xl"
            aria-label={t("measure.errors")}
          />
        }
      />
      <Tile
        label={t("measure.ttft")}
        value={total.first_token_p95_us ? duration(total.first_token_p95_us) : "–"}
        under={<Sparkline label={t("measure.ttft")} values={rows.map((row) => row?.first_token_p95_us ?? undefined)} />}
        link={<Link to="/performance" className="absolute inset-0 rounded-xl" aria-label={t("nav.performance")} />}
      />
    </section>
  );
}

function useUsage(by: string, since: number, until: number) {
  const query = { by, since, until, zone: zone() };
  return useQuery({
    queryKey: ["usage", query],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/usage", { params: { query }, signal })),
    staleTime: 15_000,
    refetchInterval: 30_000,
    placeholderData: (before) => before,
  });
}

type TileProps = { label: string; value: ReactNode; under: ReactNode; link: ReactNode };

function Tile({ label, value, under, link }: TileProps) {
  return (
    <div className="relative min-w-0 rounded-xl border border-line bg-surface px-4 py-3 transition-colors hover:border-line-strong">
      <p className="truncate text-xs text-muted">{label}</p>
      <p className="mt-0.5 text-lg font-semibold">{value}</p>
      <div className="mt-1 truncate text-xs text-muted">{under}</div>
      {link}
    </div>
  );
}
