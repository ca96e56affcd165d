import { useQuery } from "@tanstack/react-query";
import { answer, api } from "@/api/client";
import type { RequestRecord } from "@/api/live";
import { Code } from "@/components/ui/code";
import { Facts } from "@/components/ui/facts";
import { Notice } from "@/components/ui/notice";
import { Table } from "@/components/ui/table";
import { useT } from "@/i18n";
import { exact } from "@/lib/format";
import { exactMoney, money } from "@/lib/money";
import { bill, type Line, type Price } from "@/lib/price";
import { tokenClasses } from "./inspect";
import { usageOf } from "./shape";

/** Tokens by class, what each class cost at the price that was used, and where the figures are from. */
export function Cost({ record }: { record: RequestRecord }) {
  const t = useT();
  const usage = usageOf(record);
  const rows = tokenClasses(usage);
  return (
    <div className="space-y-4">
      {rows.length === 0 ? (
        <Notice>{t("inspect.noUsage")}</Notice>
      ) : (
        <Table
          label={t("inspect.tokens")}
          rows={rows}
          id={(row) => row.name}
          columns={[
            {
              id: "class",
              head: t("inspect.class"),
              cell: (row) => (
                <span className={row.part ? "pl-4 text-muted" : "font-medium"}>{t(`tokens.${row.name}`)}</span>
              ),
            },
            { id: "count", head: t("inspect.count"), right: true, cell: (row) => exact(row.count) },
          ]}
        />
      )}
      {record.price && rows.length > 0 && <Breakdown record={record} />}
      <Facts
        facts={[
          [
            t("column.cost"),
            record.cost === null || record.cost === undefined ? t("cost.unpriced") : exactMoney(record.cost),
          ],
          [t("inspect.source"), record.cost_source ? t(`source.${record.cost_source}`) : undefined],
          [t("inspect.price"), record.price],
          [t("inspect.saved"), record.saved ? exactMoney(record.saved) : undefined],
          [t("inspect.cache"), record.cache && record.cache !== "none" ? record.cache : undefined],
          [t("inspect.tier"), usage.service_tier],
        ]}
      />
      {usage.raw !== undefined && (
        <details>
          <summary className="text-sm text-muted">{t("inspect.rawUsage")}</summary>
          <Code className="mt-2" text={JSON.stringify(usage.raw, null, 2)} />
        </details>
      )}
    </div>
  );
}

/** Class by class, as long as the price that was used is still the one in force. */
function Breakdown({ record }: { record: RequestRecord }) {
  const t = useT();
  const { channel, upstream_model: model } = record;
  const asked = model ?? record.model ?? "";
  const query = { channel: channel ?? "", search: asked };
  const prices = useQuery({
    queryKey: ["prices", query],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/prices", { params: { query }, signal })),
    enabled: Boolean(channel),
    staleTime: 60_000,
  });
  const found = prices.data?.deployments.find((row) => row.model === asked && row.label === record.price);
  const lines: Line[] | undefined = found?.price
    ? bill(found.price as Price, usageOf(record), 1, found.multiplier)
    : undefined;
  if (prices.isSuccess && !lines) return <Notice>{t("inspect.otherPrice")}</Notice>;
  if (!lines) return null;
  return (
    <Table
      label={t("inspect.breakdown")}
      rows={lines}
      id={(line) => line.name}
      columns={[
        { id: "class", head: t("inspect.breakdown"), cell: (line) => t(`priced.${line.name}`) },
        { id: "count", head: t("inspect.count"), right: true, cell: (line) => exact(line.count) },
        { id: "rate", head: t("inspect.rate"), right: true, cell: (line) => `$${line.rate}` },
        {
          id: "cost",
          head: t("column.cost"),
          right: true,
          cell: (line) => <span title={exactMoney(line.nano)}>{money(line.nano)}</span>,
        },
      ]}
    />
  );
}
