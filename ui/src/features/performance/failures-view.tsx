import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { lazy, Suspense, useMemo } from "react";
import { type Api, answer, api } from "@/api/client";
import { bucketFor, pivot, timesOf } from "@/components/charts/shape";
import { Badge } from "@/components/ui/badge";
import { Card } from "@/components/ui/card";
import { useNow } from "@/components/ui/moment";
import { Failure } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { Nothing } from "@/features/costs/page";
import { filterQuery } from "@/features/costs/search";
import { useLanguage, useT } from "@/i18n";
import { count } from "@/lib/format";
import { zone } from "@/lib/range";
import { clock } from "@/lib/time";
import { outages, place } from "./failures";
import type { PerformanceSearch } from "./measures";
import { Totals } from "./totals";

const TimeSeries = lazy(() => import("@/components/charts/time-series").then((m) => ({ default: m.TimeSeries })));

const MOST_KINDS = 7;
const MOST_ROWS = 100;

type Props = { search: PerformanceSearch; span: { since: number; until: number } };

/** What failed and when, and what was left alone because of it: one answer for both. */
export function Failures({ search, span }: Props) {
  const { since, until } = span;
  const bucket = bucketFor(since, until);
  const query = { by: `error,${bucket}`, since, until, zone: zone(), ...filterQuery(search) };
  const found = useQuery({
    queryKey: ["usage-failures", query],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/usage/failures", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    staleTime: 15_000,
    refetchInterval: 15_000,
  });
  if (found.isError) return <Failure error={found.error} retry={() => void found.refetch()} />;
  if (!found.data) return <Skeleton className="h-64 w-full" />;
  const { total } = found.data.usage;
  if (total.requests === 0) return <Nothing />;
  return (
    <>
      <Totals total={total} />
      <Kinds usage={found.data.usage} span={span} bucket={bucket} />
      <Breakers events={found.data.events} span={span} />
    </>
  );
}

type KindsProps = { usage: Api<"UsageView">; span: Props["span"]; bucket: ReturnType<typeof bucketFor> };

function Kinds({ usage, span, bucket }: KindsProps) {
  const t = useT();
  const { since, until } = span;
  const points = useMemo(
    () =>
      usage.groups.flatMap((row) => {
        const group = row.values[0] ?? "";
        return group && row.errors > 0 ? [{ from: row.from ?? 0, group, value: row.errors }] : [];
      }),
    [usage],
  );
  const chart = useMemo(() => pivot(points, timesOf(since, until, bucket), MOST_KINDS), [points, since, until, bucket]);
  const sums = new Map<string, number>();
  for (const { group, value } of points) sums.set(group, (sums.get(group) ?? 0) + value);
  return (
    <Card title={t("perf.byError")}>
      {points.length === 0 ? (
        <p className="text-sm text-muted">{t("perf.noErrors")}</p>
      ) : (
        <>
          <Suspense fallback={<Skeleton className="h-44 w-full" />}>
            <TimeSeries label={t("perf.byError")} chart={chart} kind="bars" format={count} height={190} />
          </Suspense>
          <ul className="mt-3 flex flex-wrap gap-2">
            {[...sums]
              .toSorted((a, b) => b[1] - a[1])
              .map(([error, n]) => (
                <li key={error}>
                  <Link
                    to="/requests"
                    search={{ error, since, until }}
                    className="inline-flex items-center gap-2 rounded-lg border border-line px-2.5 py-1 text-xs hover:bg-sunken"
                  >
                    {error} <span className="font-semibold">{count(n)}</span>
                  </Link>
                </li>
              ))}
          </ul>
        </>
      )}
    </Card>
  );
}

function Breakers({ events, span }: { events: Api<"Event">[]; span: Props["span"] }) {
  const t = useT();
  const language = useLanguage();
  const now = useNow();
  const all = useMemo(() => outages(events), [events]);
  const rows = all.flatMap((outage) => {
    const bar = place(outage, span.since, Math.min(span.until, Math.max(now, outage.to ?? 0)));
    return bar ? [{ outage, bar }] : [];
  });
  return (
    <Card flush title={t("perf.breakers")} hint={t("perf.breakersHint")}>
      {rows.length === 0 && <p className="px-4 py-3 text-sm text-muted">{t("perf.noBreakers")}</p>}
      {rows.length > 0 && (
        <Table
          label={t("perf.breakers")}
          rows={rows.slice(0, MOST_ROWS)}
          id={({ outage }) => `${outage.what} ${outage.from}`}
          columns={[
            {
              id: "what",
              head: t("perf.what"),
              cell: ({ outage }) => <span className="font-medium">{outage.what}</span>,
            },
            {
              id: "why",
              head: t("perf.why"),
              cell: ({ outage }) => (outage.fault ? t(`fault.${outage.fault}`) : outage.why),
            },
            {
              id: "bar",
              head: <span className="sr-only">{t("range.label")}</span>,
              className: "min-w-40 w-1/3",
              cell: ({ outage, bar }) => (
                <span aria-hidden className="relative block h-3 rounded bg-sunken">
                  <span
                    className={`absolute inset-y-0 min-w-0.5 rounded ${outage.to === undefined ? "bg-bad" : "bg-warn"}`}
                    style={{ left: `${bar.from}%`, width: `${bar.to - bar.from}%` }}
                  />
                </span>
              ),
            },
            { id: "from", head: t("perf.from"), right: true, cell: ({ outage }) => clock(outage.from, now, language) },
            {
              id: "to",
              head: t("perf.until"),
              right: true,
              cell: ({ outage }) =>
                outage.to === undefined ? <Badge tone="bad">{t("perf.still")}</Badge> : clock(outage.to, now, language),
            },
          ]}
        />
      )}
    </Card>
  );
}
