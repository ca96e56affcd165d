import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { answer, api } from "@/api/client";
import { Card } from "@/components/ui/card";
import { Failure } from "@/components/ui/notice";
import { Table } from "@/components/ui/table";
import { Badge } from "@/components/ui/badge";
import { Ago } from "@/components/ui/moment";
import { fullness, saying, toneOf } from "@/features/limits/shape";
import { useLanguage, useT } from "@/i18n";
import { percent } from "@/lib/format";
import { money } from "@/lib/money";

/** Caps on money, and how far they are used. */
export function Budgets() {
  const t = useT();
  const language = useLanguage();
  const limits = useQuery({
    queryKey: ["limits"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/limits", { signal })),
  });
  const rows = (limits.data?.limits ?? []).filter((limit) => limit.measure === "money");
  return (
    <Card
      flush
      title={t("budgets.title")}
      actions={
        <Link
          to="/limits"
          search={rows.length === 0 ? { add: true } : {}}
          className="text-xs text-accent hover:underline"
        >
          {rows.length === 0 ? t("limits.add") : t("nav.limits")}
        </Link>
      }
    >
      {limits.isError && <Failure error={limits.error} />}
      {limits.isSuccess && rows.length === 0 && <p className="px-4 py-3 text-sm text-muted">{t("budgets.none")}</p>}
      {rows.length > 0 && (
        <Table
          label={t("budgets.title")}
          rows={rows}
          id={(limit) => limit.name ?? limit.on}
          columns={[
            { id: "on", head: t("limits.on"), cell: (limit) => <span className="font-medium">{limit.on}</span> },
            { id: "words", head: t("limits.most"), cell: (limit) => saying(limit, language, t) },
            { id: "used", head: t("forecast.spent"), right: true, cell: (limit) => money(limit.used) },
            {
              id: "full",
              head: t("budgets.used"),
              right: true,
              cell: (limit) => <Badge tone={toneOf(limit)}>{percent(fullness(limit))}</Badge>,
            },
            {
              id: "resets",
              head: t("limits.resets"),
              right: true,
              cell: (limit) => (limit.resets ? <Ago at={limit.resets} /> : "–"),
            },
          ]}
        />
      )}
    </Card>
  );
}
