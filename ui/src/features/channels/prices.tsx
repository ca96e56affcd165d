import { useQuery } from "@tanstack/react-query";
import { Pencil, Tags } from "lucide-react";
import { useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange } from "@/api/queries";
import { queries } from "@/app/query";
import { Badge } from "@/components/ui/badge";
import { Button, IconButton } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Empty } from "@/components/ui/empty";
import { Field, Input } from "@/components/ui/field";
import { Failure } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { useT } from "@/i18n";
import { count } from "@/lib/format";

type Row = Api<"DeploymentPrice">;

const rate = (row: Row, name: string): string => {
  const value = (row.price as Record<string, unknown> | null | undefined)?.[name];
  return value === undefined || value === null ? "–" : `$${String(value)}`;
};

/** What a channel's models can take and what they cost; prices of one's own. */
export function Prices({ channel, close }: { channel: string; close: () => void }) {
  const t = useT();
  const [setting, setSetting] = useState<Row>();
  const prices = useQuery({
    queryKey: ["prices", { channel }],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/prices", { params: { query: { channel } }, signal })),
  });
  const rows = prices.data?.deployments ?? [];
  return (
    <Dialog open side wide onClose={close} title={t("prices.title", { name: channel })} hint={t("prices.hint")}>
      {prices.isError && <Failure error={prices.error} retry={() => void prices.refetch()} />}
      {prices.isPending && <Skeleton className="h-40 w-full" />}
      {prices.isSuccess && rows.length === 0 && (
        <Empty icon={<Tags />} title={t("channels.noModels")}>
          {t("prices.none")}
        </Empty>
      )}
      {rows.length > 0 && (
        <Table
          dense
          label={t("prices.title", { name: channel })}
          rows={rows}
          id={(row) => row.model}
          columns={[
            { id: "model", head: t("requests.model"), cell: (row) => <code className="text-xs">{row.model}</code> },
            {
              id: "context",
              head: t("prices.context"),
              right: true,
              cell: (row) => (row.limits?.context ? count(row.limits.context) : "–"),
            },
            { id: "input", head: t("prices.input"), right: true, cell: (row) => rate(row, "input") },
            { id: "cached", head: t("prices.cached"), right: true, cell: (row) => rate(row, "cache_read") },
            { id: "output", head: t("prices.output"), right: true, cell: (row) => rate(row, "output") },
            {
              id: "from",
              head: t("prices.from"),
              cell: (row) => (
                <span className="flex items-center gap-1.5 whitespace-nowrap">
                  <Badge tone={row.free ? "good" : row.price ? "neutral" : "warn"} title={row.label}>
                    {row.free ? t("prices.free") : t(`priceFrom.${row.origin}`)}
                  </Badge>
                  {row.multiplier !== 1 && t("prices.multiplied", { n: row.multiplier })}
                </span>
              ),
            },
            {
              id: "set",
              head: <span className="sr-only">{t("edit")}</span>,
              right: true,
              cell: (row) => (
                <IconButton label={t("prices.set", { model: row.model })} onClick={() => setSetting(row)}>
                  <Pencil />
                </IconButton>
              ),
            },
          ]}
        />
      )}
      {setting && <OwnPrice key={setting.model} row={setting} close={() => setSetting(undefined)} />}
    </Dialog>
  );
}

const RATES = [
  { name: "input", label: "prices.input" },
  { name: "output", label: "prices.output" },
  { name: "cache_read", label: "prices.cached" },
  { name: "cache_write", label: "prices.cacheWrite" },
] as const;

/** A price of one's own for one model of a channel. Tiers and other classes that there are stay as they are. */
function OwnPrice({ row, close }: { row: Row; close: () => void }) {
  const t = useT();
  const before = (row.price ?? {}) as Record<string, unknown>;
  const [given, setGiven] = useState<Record<string, string>>(() =>
    Object.fromEntries(RATES.map(({ name }) => [name, before[name] === undefined ? "" : String(before[name])])),
  );
  const set = useChange(
    (price: Record<string, unknown> | null) =>
      answer(api.PUT("/api/v1/prices", { body: { channel: row.channel, model: row.model, price } })),
    {
      inPlace: true,
      done: () => t("saved"),
      after: () => {
        void queries.invalidateQueries({ queryKey: ["prices"] });
        close();
      },
    },
  );
  const save = () => {
    const price: Record<string, unknown> = { ...before };
    for (const { name } of RATES) {
      const text = given[name]?.trim();
      if (text) price[name] = Number(text);
      else delete price[name];
    }
    set.mutate(price);
  };
  const ready = ["input", "output"].every((name) => given[name]?.trim() && Number(given[name]) >= 0);
  return (
    <Dialog
      open
      onClose={close}
      title={t("prices.set", { model: row.model })}
      hint={t("prices.hint")}
      footer={
        <>
          {row.origin === "channel" && (
            <Button look="danger" busy={set.isPending} onClick={() => set.mutate(null)}>
              {t("prices.back")}
            </Button>
          )}
          <Button look="primary" busy={set.isPending} disabled={!ready} onClick={save}>
            {t("save")}
          </Button>
        </>
      }
    >
      <div className="grid grid-cols-2 gap-3">
        {RATES.map(({ name, label }) => (
          <Field key={name} label={t(label)}>
            <Input
              type="number"
              min={0}
              step="any"
              value={given[name] ?? ""}
              onChange={(event) => setGiven({ ...given, [name]: event.target.value })}
            />
          </Field>
        ))}
      </div>
      {!ready && <p className="mt-3 text-xs text-muted">{t("prices.needed")}</p>}
      {set.isError && <Failure error={set.error} />}
    </Dialog>
  );
}
