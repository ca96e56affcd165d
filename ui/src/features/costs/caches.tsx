import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { DatabaseZap } from "lucide-react";
import { type Api, answer, api } from "@/api/client";
import { Card } from "@/components/ui/card";
import { Empty } from "@/components/ui/empty";
import { Figures, type FigureRow } from "@/components/ui/figures";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { useT } from "@/i18n";
import { count, exact, percent } from "@/lib/format";
import { exactMoney, money } from "@/lib/money";
import { type CostsSearch, filterQuery } from "./search";
import { cacheShare, netSaved } from "./sums";

type Row = Api<"CachingRow">;

/** What the providers' own caches saved against the full price of input. */
export function Caches({ search, span }: { search: CostsSearch; span: { since: number; until: number } }) {
  const t = useT();
  const query = { ...span, ...filterQuery(search) };
  const found = useQuery({
    queryKey: ["usage-caches", query],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/usage/caches", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    staleTime: 30_000,
  });
  const { data } = found;
  if (found.isError) return <Failure error={found.error} retry={() => void found.refetch()} />;
  if (!data) return <Skeleton className="h-64 w-full" />;
  if (data.deployments.length === 0) {
    return (
      <Empty icon={<DatabaseZap />} title={t("caches.none")}>
        {t("caches.noneHint")}
      </Empty>
    );
  }
  const share = cacheShare(data);
  const figures: FigureRow[] = [
    [t("caches.net"), money(netSaved(data)), t("caches.netHint")],
    [t("caches.saved"), money(data.saved), exactMoney(data.saved)],
    [t("caches.surcharge"), money(data.surcharge), exactMoney(data.surcharge)],
    [t("caches.share"), share === undefined ? "–" : percent(share), exact(data.cache_read)],
  ];
  return (
    <>
      <Figures figures={figures} className="xl:grid-cols-4" />
      {data.unpriced > 0 && (
        <Notice tone="warn" title={t("caches.unpriced", { n: data.unpriced })}>
          {t("costs.unpricedHint")}
        </Notice>
      )}
      <Card flush title={t("caches.table")} hint={t("caches.tableHint")}>
        <Deployments rows={data.deployments} span={span} />
      </Card>
    </>
  );
}

function Deployments({ rows, span }: { rows: Row[]; span: { since: number; until: number } }) {
  const t = useT();
  return (
    <Table
      label={t("caches.table")}
      rows={rows.slice(0, 100)}
      id={(row) => `${row.channel} ${row.model}`}
      columns={[
        {
          id: "name",
          head: t("name"),
          cell: (row) => (
            <Link
              to="/requests"
              search={{ channel: row.channel, upstream_model: row.model, ...span }}
              className="font-medium hover:underline"
            >
              {row.channel}/{row.model}
            </Link>
          ),
        },
        {
          id: "net",
          head: t("caches.net"),
          right: true,
          cell: (row) =>
            row.sums ? (
              <span title={exactMoney(netSaved(row.sums))}>{money(netSaved(row.sums))}</span>
            ) : (
              <span className="text-muted">{t("cost.unpriced")}</span>
            ),
        },
        {
          id: "share",
          head: t("caches.share"),
          right: true,
          cell: (row) => percent(cacheShare(row) ?? 0),
        },
        {
          id: "read",
          head: t("caches.read"),
          right: true,
          cell: (row) => <span title={exact(row.cache_read)}>{count(row.cache_read)}</span>,
        },
        {
          id: "written",
          head: t("caches.written"),
          right: true,
          cell: (row) => <span title={exact(row.cache_write)}>{count(row.cache_write)}</span>,
        },
        { id: "requests", head: t("metric.requests"), right: true, cell: (row) => count(row.requests) },
      ]}
    />
  );
}
