import { useQuery } from "@tanstack/react-query";
import { answer, api } from "@/api/client";
import { Card } from "@/components/ui/card";
import { useNow } from "@/components/ui/moment";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { useLanguage, useT } from "@/i18n";
import { exactMoney, money } from "@/lib/money";
import { zone } from "@/lib/range";
import { clock } from "@/lib/time";
import { type CostsSearch, type Dimension, filterQuery } from "./search";

/** What the month comes to, and what stood out in the last week. */
export function Forecast({ search, by }: { search: CostsSearch; by: Dimension }) {
  const t = useT();
  const language = useLanguage();
  const now = useNow();
  const query = { by, zone: zone(), ...filterQuery(search) };
  const forecast = useQuery({
    queryKey: ["forecast", query],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/forecast", { params: { query }, signal })),
    staleTime: 60_000,
  });
  if (forecast.isError) return <Failure error={forecast.error} retry={() => void forecast.refetch()} />;
  if (!forecast.data) return <Skeleton className="h-48 w-full" />;
  const { total, groups, spikes } = forecast.data;
  const month = new Date(forecast.data.from).toLocaleDateString(language, { month: "long", year: "numeric" });
  const share = total.expected > 0 ? Math.min(1, total.spent / total.expected) : 0;
  return (
    <>
      <Card title={t("forecast.title", { month })} hint={t("forecast.hint")}>
        <div className="flex flex-wrap items-end gap-x-10 gap-y-4">
          <div>
            <p className="text-xs text-muted">{t("forecast.spent")}</p>
            <p className="text-2xl font-semibold" title={exactMoney(total.spent)}>
              {money(total.spent)}
            </p>
          </div>
          <div>
            <p className="text-xs text-muted">{t("forecast.expected")}</p>
            <p className="text-2xl font-semibold" title={exactMoney(total.expected)}>
              {money(total.expected)}
            </p>
          </div>
          <div>
            <p className="text-xs text-muted">{t("forecast.between")}</p>
            <p className="text-lg">
              {money(total.low)} – {money(total.high)}
            </p>
          </div>
        </div>
        <div aria-hidden className="mt-4 h-2 rounded-full bg-sunken">
          <div className="h-2 rounded-full bg-accent" style={{ width: `${share * 100}%` }} />
        </div>
      </Card>
      {spikes.length > 0 && (
        <Notice tone="warn" title={t("forecast.spikes")}>
          <ul className="mt-1 space-y-0.5">
            {spikes.map((spike) => (
              <li key={`${spike.at}${spike.values.join()}`}>
                {clock(spike.at, now, language)} {spike.values.filter(Boolean).join(", ")}:{" "}
                {t("forecast.spike", { cost: money(spike.cost), usual: money(spike.usual) })}
              </li>
            ))}
          </ul>
        </Notice>
      )}
      <Card flush title={t(`by.${by}`)}>
        <Table
          label={t("forecast.title", { month })}
          rows={groups.slice(0, 100)}
          id={(row) => row.values.join("\n")}
          columns={[
            { id: "name", head: t("name"), cell: (row) => row.values.join(", ") || t("chart.unnamed") },
            { id: "spent", head: t("forecast.spent"), right: true, cell: (row) => money(row.spent) },
            { id: "expected", head: t("forecast.expected"), right: true, cell: (row) => money(row.expected) },
            {
              id: "between",
              head: t("forecast.between"),
              right: true,
              cell: (row) => `${money(row.low)} – ${money(row.high)}`,
            },
          ]}
        />
      </Card>
    </>
  );
}
