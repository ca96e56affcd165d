import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Api } from "@/api/client";
import { timesOf } from "@/components/charts/shape";
import { Sparkline } from "@/components/charts/sparkline";
import { fullness, saying } from "@/features/limits/shape";
import { useLanguage, useT } from "@/i18n";
import { count, duration, percent } from "@/lib/format";
import { exactMoney, money } from "@/lib/money";

/** Spend of today and of this month, and the last day's course. Every number leads to its page. */
export function Figures({ overview }: { overview: Api<"Overview"> }) {
  const t = useT();
  const language = useLanguage();
  const { hours, today, month, limits, since, until } = overview;
  const budget = limits.limits
    .filter((limit) => limit.measure === "money")
    .toSorted((a, b) => fullness(b) - fullness(a))[0];
  const found = new Map(hours.groups.map((row) => [row.from, row]));
  const rows = timesOf(since, until, "hour").map((time) => found.get(time));
  const { total } = hours;
  const last = { since, until };
  return (
    <section aria-label={t("home.figures")} className="grid grid-cols-2 gap-2 lg:grid-cols-5">
      <Tile
        label={t("home.today")}
        value={<span title={exactMoney(today)}>{money(today)}</span>}
        under={t("home.month", { cost: money(month) })}
        link={<Link to="/costs" className="absolute inset-0 rounded-xl" aria-label={t("nav.costs")} />}
      />
      <Tile
        label={t("home.budget")}
        value={budget ? percent(fullness(budget)) : "–"}
        under={budget ? `${budget.on}: ${saying(budget, language, t)}` : t("home.noBudget")}
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
