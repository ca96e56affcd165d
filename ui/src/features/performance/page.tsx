import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useMemo } from "react";
import { type Api, answer, api } from "@/api/client";
import { bucketFor, lines, timesOf } from "@/components/charts/shape";
import { Card } from "@/components/ui/card";
import { Field, Select } from "@/components/ui/field";
import { useNow } from "@/components/ui/moment";
import { Failure } from "@/components/ui/notice";
import { Page } from "@/components/ui/page";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { Segmented } from "@/components/ui/tabs";
import { RangeBar } from "@/features/costs/bar";
import { Nothing } from "@/features/costs/page";
import { filterQuery } from "@/features/costs/search";
import { useT } from "@/i18n";
import { count, duration, percent } from "@/lib/format";
import { rangeOf, zone } from "@/lib/range";
import { Failures } from "./failures-view";
import { GROUPS, type Group, MEASURES, type PerformanceSearch, read } from "./measures";
import { Totals } from "./totals";

const TimeSeries = lazy(() => import("@/components/charts/time-series").then((m) => ({ default: m.TimeSeries })));

const MOST_LINES = 6;

/** How fast and how reliable, by anything. */
export function PerformancePage() {
  const t = useT();
  const search = useSearch({ from: "/performance" });
  const navigate = useNavigate({ from: "/performance" });
  const { by = "channel", view = "compare" } = search;
  const span = rangeOf(search, "day", useNow());
  const change = (next: Partial<PerformanceSearch>) =>
    void navigate({ search: (before) => ({ ...before, ...next }), replace: true });
  const views = [
    { id: "compare", label: t("perf.compare") },
    { id: "time", label: t("perf.time") },
    { id: "failures", label: t("perf.failures") },
  ] as const;
  return (
    <Page
      title={t("perf.title")}
      hint={t("perf.hint")}
      actions={
        <Segmented label={t("costs.view")} choices={views} value={view} onChange={(next) => change({ view: next })} />
      }
    >
      <RangeBar search={search} usual="day" span={span} change={change}>
        <Field label={t("costs.by")}>
          <Select className="w-40" value={by} onChange={(event) => change({ by: event.target.value as Group })}>
            {GROUPS.map((name) => (
              <option key={name} value={name}>
                {t(`by.${name}`)}
              </option>
            ))}
          </Select>
        </Field>
      </RangeBar>
      {view === "failures" ? (
        <Failures search={search} span={span} />
      ) : (
        <Measured search={search} span={span} by={by} view={view} />
      )}
    </Page>
  );
}

type MeasuredProps = { search: PerformanceSearch; span: Span; by: Group; view: "compare" | "time" };

function Measured({ search, span, by, view }: MeasuredProps) {
  const bucket = bucketFor(span.since, span.until);
  const query = {
    by: view === "time" ? `${by},${bucket}` : by,
    ...span,
    zone: zone(),
    ...filterQuery(search),
  };
  const usage = useQuery({
    queryKey: ["usage", query],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/usage", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    staleTime: 15_000,
    refetchInterval: 60_000,
  });
  if (usage.isError) return <Failure error={usage.error} retry={() => void usage.refetch()} />;
  if (!usage.data) return <Skeleton className="h-64 w-full" />;
  if (usage.data.total.requests === 0) return <Nothing />;
  return (
    <>
      <Totals total={usage.data.total} />
      {view === "compare" && <Compare rows={usage.data.groups} by={by} search={search} span={span} />}
      {view === "time" && <OverTime rows={usage.data.groups} span={span} />}
    </>
  );
}

type Row = Api<"UsageRow">;
type Span = { since: number; until: number };

type CompareProps = { rows: Row[]; by: Group; search: PerformanceSearch; span: Span };

function Compare({ rows, by, search, span }: CompareProps) {
  const t = useT();
  const ranked = rows.toSorted((a, b) => b.requests - a.requests).slice(0, 100);
  const time = (us: number | null | undefined) => (us === null || us === undefined ? "–" : duration(us));
  return (
    <Card flush title={t(`by.${by}`)}>
      <Table
        label={t("perf.compare")}
        rows={ranked}
        id={(row) => row.values.join("\n")}
        columns={[
          {
            id: "name",
            head: t("name"),
            cell: (row) => (
              <Link
                to="/performance"
                search={{ ...search, [by]: row.values[0] ?? "", view: "time" }}
                className="font-medium hover:underline"
              >
                {row.values[0] || t("chart.unnamed")}
              </Link>
            ),
          },
          { id: "requests", head: t("metric.requests"), right: true, cell: (row) => count(row.requests) },
          {
            id: "errors",
            head: t("measure.errors"),
            right: true,
            cell: (row) => (
              <Link
                to="/requests"
                search={{
                  ...span,
                  state: "failed",
                  [by]: row.values[0] ?? "",
                }}
                className={row.errors > 0 ? "text-bad hover:underline" : "text-muted"}
              >
                {row.requests > 0 ? percent(row.errors / row.requests) : "–"}
              </Link>
            ),
          },
          { id: "ttft50", head: t("perf.ttft", { q: 50 }), right: true, cell: (row) => time(row.first_token_p50_us) },
          { id: "ttft95", head: t("perf.ttft", { q: 95 }), right: true, cell: (row) => time(row.first_token_p95_us) },
          { id: "total50", head: t("perf.total", { q: 50 }), right: true, cell: (row) => time(row.duration_p50_us) },
          { id: "total95", head: t("perf.total", { q: 95 }), right: true, cell: (row) => time(row.duration_p95_us) },
          { id: "total99", head: t("perf.total", { q: 99 }), right: true, cell: (row) => time(row.duration_p99_us) },
          { id: "speed", head: t("measure.speed"), right: true, cell: (row) => read(row, "speed") },
          { id: "attempts", head: t("measure.attempts"), right: true, cell: (row) => read(row, "attempts") },
          { id: "own", head: t("measure.overhead"), right: true, cell: (row) => time(row.overhead_us || undefined) },
        ]}
      />
    </Card>
  );
}

function OverTime({ rows, span }: { rows: Row[]; span: Span }) {
  const t = useT();
  const { since, until } = span;
  const charts = useMemo(() => {
    const times = timesOf(since, until, bucketFor(since, until));
    const weight = new Map<string, number>();
    for (const row of rows) weight.set(row.values[0] ?? "", (weight.get(row.values[0] ?? "") ?? 0) + row.requests);
    return MEASURES.map((measure) => {
      const points = rows.flatMap((row) => {
        const value = measure.value(row);
        return value === undefined ? [] : [{ from: row.from ?? 0, group: row.values[0] ?? "", value }];
      });
      return { ...measure, chart: lines(points, times, MOST_LINES, weight) };
    });
  }, [rows, since, until]);
  return (
    <div className="grid gap-3 xl:grid-cols-2">
      {charts.map(({ id, chart, show }) => (
        <Card key={id} title={t(`measure.${id}`)}>
          <Suspense fallback={<Skeleton className="h-44 w-full" />}>
            <TimeSeries label={t(`measure.${id}`)} chart={chart} kind="lines" format={show} height={170} />
          </Suspense>
        </Card>
      ))}
    </div>
  );
}
