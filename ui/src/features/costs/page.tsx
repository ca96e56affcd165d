import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Coins, Download } from "lucide-react";
import { lazy, Suspense, useMemo } from "react";
import { answer, api } from "@/api/client";
import { bucketFor, csv, pivot, timesOf, weekHours } from "@/components/charts/shape";
import { Heatmap } from "@/components/charts/heatmap";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Empty } from "@/components/ui/empty";
import { Field, Select } from "@/components/ui/field";
import { Menu } from "@/components/ui/menu";
import { useNow } from "@/components/ui/moment";
import { Figures, type FigureRow } from "@/components/ui/figures";
import { Failure, Notice } from "@/components/ui/notice";
import { Page } from "@/components/ui/page";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { Segmented } from "@/components/ui/tabs";
import { type Translate, useT } from "@/i18n";
import { count, exact, percent } from "@/lib/format";
import { exactMoney, money } from "@/lib/money";
import { rangeOf, zone } from "@/lib/range";
import { download } from "@/lib/shell";
import { RangeBar } from "./bar";
import { Budgets } from "./budgets";
import { Caches } from "./caches";
import { Forecast } from "./forecast";
import {
  type CostsSearch,
  type Dimension,
  DIMENSIONS,
  filterQuery,
  FILTERS,
  type Filter,
  METRICS,
  type Metric,
  TABS,
} from "./search";
import { usePrices, WhatIf } from "./what-if";
import { byGroup, cacheShare, type Group, measure, type Sums } from "./sums";

const TimeSeries = lazy(() => import("@/components/charts/time-series").then((m) => ({ default: m.TimeSeries })));

const MOST_SERIES = 7;

/** What it costs, by anything. */
export function CostsPage() {
  const t = useT();
  const search = useSearch({ from: "/costs" });
  const navigate = useNavigate({ from: "/costs" });
  const { by = "model", metric = "cost", tab = "spend" } = search;
  const span = rangeOf(search, "month", useNow());
  const change = (next: Partial<CostsSearch>) =>
    void navigate({ search: (before) => ({ ...before, ...next }), replace: true });
  return (
    <Page
      title={t("costs.title")}
      hint={t("costs.hint")}
      actions={
        <Segmented
          label={t("costs.view")}
          choices={TABS.map((id) => ({ id, label: t(`costs.${id}`) }))}
          value={tab}
          onChange={(next) => change({ tab: next })}
        />
      }
    >
      <RangeBar search={search} usual="month" span={span} change={change}>
        {tab !== "caches" && (
          <>
            <Field label={t("costs.by")}>
              <Select className="w-36" value={by} onChange={(event) => change({ by: event.target.value as Dimension })}>
                {DIMENSIONS.map((name) => (
                  <option key={name} value={name}>
                    {t(`by.${name}`)}
                  </option>
                ))}
              </Select>
            </Field>
            <Segmented
              label={t("costs.metric")}
              choices={METRICS.map((id) => ({ id, label: t(`metric.${id}`) }))}
              value={metric}
              onChange={(next) => change({ metric: next })}
            />
          </>
        )}
      </RangeBar>
      {tab === "spend" && <Spend search={search} span={span} by={by} metric={metric} change={change} />}
      {tab === "hours" && <Hours search={search} span={span} metric={metric} />}
      {tab === "caches" && <Caches search={search} span={span} />}
      {tab === "whatif" && <Supposing search={search} span={span} by={by} change={change} />}
      {tab === "forecast" && (
        <>
          <Budgets />
          <Forecast search={search} by={by} />
        </>
      )}
    </Page>
  );
}

type Span = { since: number; until: number };
type ViewProps = { search: CostsSearch; span: Span; metric: Metric };

const formatOf = (metric: Metric) => (metric === "cost" ? money : count);

function useUsage(by: string, { since, until }: Span, search: CostsSearch) {
  const query = { by, since, until, zone: zone(), ...filterQuery(search) };
  return useQuery({
    queryKey: ["usage", query],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/usage", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    staleTime: 30_000,
  });
}

function Spend({
  search,
  span,
  by,
  metric,
  change,
}: ViewProps & { by: Dimension; change: (next: Partial<CostsSearch>) => void }) {
  const t = useT();
  const bucket = bucketFor(span.since, span.until);
  const usage = useUsage(`${by},${bucket}`, span, search);
  const format = formatOf(metric);
  const { data } = usage;
  const chart = useMemo(() => {
    const points = (data?.groups ?? []).map((row) => ({
      from: row.from ?? 0,
      group: row.values[0] ?? "",
      value: measure(row, metric),
    }));
    return pivot(points, timesOf(span.since, span.until, bucket), MOST_SERIES);
  }, [data, metric, span.since, span.until, bucket]);
  const groups = useMemo(() => byGroup(data?.groups ?? [], metric), [data, metric]);
  if (usage.isError) return <Failure error={usage.error} retry={() => void usage.refetch()} />;
  if (!data) return <Skeleton className="h-80 w-full" />;
  if (data.total.requests === 0) return <Nothing />;
  const filter = FILTERS.find((name) => name === by);
  return (
    <>
      <Totals total={data.total} />
      {data.total.unpriced > 0 && (
        <Notice tone="warn" title={t("costs.unpriced", { n: data.total.unpriced })}>
          {t("costs.unpricedHint")}
        </Notice>
      )}
      <Card title={t(`metric.${metric}`)} hint={t("costs.drag")}>
        <Suspense fallback={<Skeleton className="h-56 w-full" />}>
          <TimeSeries
            label={`${t(`metric.${metric}`)}, ${t(`by.${by}`)}`}
            chart={chart}
            kind="bars"
            format={format}
            zoom={(since, until) => change({ since, until, range: undefined })}
          />
        </Suspense>
      </Card>
      <Card
        flush
        title={t(`by.${by}`)}
        hint={data.more ? t("costs.more") : undefined}
        actions={<Export groups={groups} by={by} t={t} />}
      >
        <Ranking groups={groups} metric={metric} filter={filter} search={search} span={span} />
      </Card>
    </>
  );
}

function Ranking({
  groups,
  metric,
  filter,
  search,
  span,
}: {
  groups: Group[];
  metric: Metric;
  filter?: Filter;
  search: CostsSearch;
  span: Span;
}) {
  const t = useT();
  const size = (group: Group) => measure(group as unknown as Sums, metric);
  const most = Math.max(...groups.map(size), 1);
  const own = Object.fromEntries(
    FILTERS.flatMap((name) => {
      const value = search[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
  return (
    <Table
      label={t("costs.ranking")}
      rows={groups.slice(0, 100)}
      id={(group) => group.name}
      columns={[
        {
          id: "name",
          head: t("name"),
          cell: (group) => (
            <div className="min-w-40">
              {filter ? (
                <Link
                  to="/costs"
                  search={{ ...search, [filter]: group.name, by: filter === "model" ? "channel" : "model" }}
                  className="font-medium hover:underline"
                >
                  {group.name || t("chart.unnamed")}
                </Link>
              ) : (
                <span className="font-medium">{group.name || t("chart.unnamed")}</span>
              )}
              <span aria-hidden className="mt-1 block h-1 rounded-full bg-sunken">
                <span
                  className="block h-1 rounded-full bg-accent"
                  style={{ width: `${(size(group) / most) * 100}%` }}
                />
              </span>
            </div>
          ),
        },
        {
          id: "cost",
          head: t("metric.cost"),
          right: true,
          cell: (group) => <span title={exactMoney(group.cost)}>{money(group.cost)}</span>,
        },
        {
          id: "requests",
          head: t("metric.requests"),
          right: true,
          cell: (group) =>
            filter ? (
              <Link
                to="/requests"
                search={{ ...own, [filter]: group.name, ...span }}
                className="text-accent hover:underline"
              >
                {count(group.requests)}
              </Link>
            ) : (
              count(group.requests)
            ),
        },
        {
          id: "input",
          head: t("costs.input"),
          right: true,
          cell: (group) => <span title={exact(group.input)}>{count(group.input)}</span>,
        },
        {
          id: "output",
          head: t("costs.output"),
          right: true,
          cell: (group) => <span title={exact(group.output)}>{count(group.output)}</span>,
        },
        {
          id: "cached",
          head: t("costs.cached"),
          right: true,
          cell: (group) => {
            const share = cacheShare(group);
            return share === undefined ? "–" : percent(share);
          },
        },
        {
          id: "each",
          head: t("costs.each"),
          right: true,
          cell: (group) => (group.requests > 0 ? money(group.cost / group.requests) : "–"),
        },
      ]}
    />
  );
}

function Totals({ total }: { total: Sums }) {
  const t = useT();
  const share = cacheShare(total);
  const figures: FigureRow[] = [
    [t("metric.cost"), money(total.cost), exactMoney(total.cost)],
    [t("metric.requests"), count(total.requests), exact(total.requests)],
    [t("costs.input"), count(total.input), exact(total.input)],
    [t("costs.output"), count(total.output), exact(total.output)],
    [t("costs.cacheRead"), share === undefined ? "–" : percent(share), exact(total.cache_read)],
    [t("costs.saved"), money(total.saved), exactMoney(total.saved)],
  ];
  return <Figures figures={figures} className="sm:grid-cols-3 xl:grid-cols-6" />;
}

function Export({ groups, by, t }: { groups: Group[]; by: string; t: Translate }) {
  const head = [
    by,
    "cost_usd",
    "requests",
    "errors",
    "input",
    "cache_read",
    "cache_write",
    "output",
    "reasoning",
    "saved_usd",
  ];
  const rows = groups.map((group) => [
    group.name,
    group.cost / 1e9,
    group.requests,
    group.errors,
    group.input,
    group.cache_read,
    group.cache_write,
    group.output,
    group.reasoning,
    group.saved / 1e9,
  ]);
  return (
    <Menu
      label={t("costs.export")}
      trigger={
        <Button small icon={<Download className="size-3.5" />}>
          {t("costs.export")}
        </Button>
      }
      items={[
        { label: "CSV", run: () => download(`costs-by-${by}.csv`, "text/csv", csv(head, rows)) },
        {
          label: "JSON",
          run: () => download(`costs-by-${by}.json`, "application/json", `${JSON.stringify(groups, null, 2)}\n`),
        },
      ]}
    />
  );
}

type SupposingProps = {
  search: CostsSearch;
  span: Span;
  by: Dimension;
  change: (next: Partial<CostsSearch>) => void;
};

/** What the same tokens would have cost elsewhere. */
function Supposing({ search, span, by, change }: SupposingProps) {
  const t = useT();
  const usage = useUsage(by, span, search);
  // Asked for together with the tokens that they are applied to.
  usePrices(search.as ?? "");
  if (usage.isError) return <Failure error={usage.error} retry={() => void usage.refetch()} />;
  if (!usage.data) return <Skeleton className="h-64 w-full" />;
  if (usage.data.total.requests === 0) return <Nothing />;
  return (
    <WhatIf
      groups={byGroup(usage.data.groups, "cost")}
      what={t(`by.${by}`)}
      target={search.as ?? ""}
      change={(as) => change({ as })}
    />
  );
}

/** When in the week it happens. */
function Hours({ search, span, metric }: ViewProps) {
  const t = useT();
  const usage = useUsage("hour", span, search);
  if (usage.isError) return <Failure error={usage.error} retry={() => void usage.refetch()} />;
  if (!usage.data) return <Skeleton className="h-64 w-full" />;
  if (usage.data.total.requests === 0) return <Nothing />;
  const cells = weekHours(usage.data.groups.map((row) => ({ from: row.from ?? 0, value: measure(row, metric) })));
  return (
    <Card title={t("costs.hoursTitle")} hint={t("costs.hoursHint", { zone: zone() })}>
      <Heatmap label={t("costs.hoursTitle")} cells={cells} format={formatOf(metric)} />
    </Card>
  );
}

export function Nothing() {
  const t = useT();
  return (
    <Empty
      icon={<Coins />}
      title={t("costs.none")}
      action={
        <Link to="/playground" className="text-sm font-medium text-accent hover:underline">
          {t("setup.try")}
        </Link>
      }
    >
      {t("costs.noneHint")}
    </Empty>
  );
}
