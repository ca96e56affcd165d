import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { answer, api } from "@/api/client";
import { Card } from "@/components/ui/card";
import { Field, Input } from "@/components/ui/field";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { useT } from "@/i18n";
import { count } from "@/lib/format";
import { exactMoney, money } from "@/lib/money";
import type { Group } from "./sums";
import { offers, suppose } from "./suppose";

const MOST_OFFERED = 300;

type Props = { groups: Group[]; what: string; target: string; change: (target: string | undefined) => void };

/** Prices of the models whose name holds a text. */
export function usePrices(text: string) {
  const [, model = text] = /^[^/]+\/(.+)$/.exec(text) ?? [];
  const search = model.trim().length > 1 ? model.trim() : undefined;
  return useQuery({
    queryKey: ["prices", { search }],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/prices", { params: { query: { search } }, signal })),
    placeholderData: keepPreviousData,
    staleTime: 60_000,
  });
}

/** The same tokens on another model. */
export function WhatIf({ groups, what, target, change }: Props) {
  const t = useT();
  const list = useId();
  const [text, setText] = useState(target);
  const prices = usePrices(text);
  const found = prices.data ? offers(prices.data.deployments, prices.data.listed) : [];
  const chosen = found.find((offer) => offer.id === target);
  const rows = chosen ? suppose(groups, chosen) : [];
  const was = rows.reduce((sum, row) => sum + row.cost, 0);
  const would = rows.reduce((sum, row) => sum + (row.would ?? 0), 0);
  const unknown = rows.filter((row) => row.would === undefined).length;
  return (
    <>
      <Card title={t("whatif.title")} hint={t("whatif.hint")}>
        <Field label={t("whatif.model")} className="max-w-md">
          <Input
            mono
            list={list}
            placeholder="deepseek/deepseek-chat"
            value={text}
            onChange={(event) => {
              const typed = event.target.value;
              setText(typed);
              if (found.some((offer) => offer.id === typed)) change(typed);
              else if (!typed) change(undefined);
            }}
          />
        </Field>
        <datalist id={list}>
          {found.slice(0, MOST_OFFERED).map((offer) => (
            <option key={offer.id} value={offer.id} />
          ))}
        </datalist>
        {prices.isError && <Failure error={prices.error} retry={() => void prices.refetch()} />}
        {prices.isPending && <Skeleton className="mt-3 h-16 w-full" />}
        {chosen && (
          <dl className="mt-4 flex flex-wrap gap-x-10 gap-y-3">
            <Figure label={t("whatif.was")} nano={was} />
            <Figure label={t("whatif.would", { model: chosen.id })} nano={would} />
            <Figure label={t("whatif.difference")} nano={would - was} signed />
          </dl>
        )}
        {prices.isSuccess && target && !chosen && (
          <Notice tone="warn" className="mt-3">
            {t("whatif.noPrice", { model: target })}
          </Notice>
        )}
        {unknown > 0 && (
          <Notice tone="warn" className="mt-3">
            {t("whatif.unknown", { n: unknown })}
          </Notice>
        )}
      </Card>
      {chosen && rows.length > 0 && (
        <Card flush title={what}>
          <Table
            label={t("whatif.title")}
            rows={rows.slice(0, 100)}
            id={(row) => row.name}
            columns={[
              { id: "name", head: t("name"), cell: (row) => row.name || t("chart.unnamed") },
              { id: "tokens", head: t("metric.tokens"), right: true, cell: (row) => count(row.tokens) },
              { id: "was", head: t("whatif.was"), right: true, cell: (row) => <Money nano={row.cost} /> },
              {
                id: "would",
                head: t("whatif.would", { model: chosen.id }),
                right: true,
                cell: (row) => (row.would === undefined ? t("cost.unpriced") : <Money nano={row.would} />),
              },
              {
                id: "difference",
                head: t("whatif.difference"),
                right: true,
                cell: (row) => (row.would === undefined ? "–" : <Signed nano={row.would - row.cost} />),
              },
            ]}
          />
        </Card>
      )}
    </>
  );
}

const Money = ({ nano }: { nano: number }) => <span title={exactMoney(nano)}>{money(nano)}</span>;

const Signed = ({ nano }: { nano: number }) => (
  <span title={exactMoney(nano)} className={nano > 0 ? "text-bad" : nano < 0 ? "text-good" : undefined}>
    {nano > 0 ? `+${money(nano)}` : money(nano)}
  </span>
);

function Figure({ label, nano, signed }: { label: string; nano: number; signed?: boolean }) {
  return (
    <div>
      <dt className="text-xs text-muted">{label}</dt>
      <dd className="text-lg font-semibold">{signed ? <Signed nano={nano} /> : <Money nano={nano} />}</dd>
    </div>
  );
}
