import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Download, Terminal } from "lucide-react";
import type { ReactNode } from "react";
import { answer, api } from "@/api/client";
import type { RequestRecord } from "@/api/live";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Code } from "@/components/ui/code";
import { CopyButton } from "@/components/ui/copy";
import { Dialog } from "@/components/ui/dialog";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { Tabs } from "@/components/ui/tabs";
import { useLanguage, useT } from "@/i18n";
import { bytes, exact } from "@/lib/format";
import { exactMoney } from "@/lib/money";
import { download } from "@/lib/shell";
import { absolute } from "@/lib/time";
import { Bodies } from "./bodies";
import { curl, scrubbed, tokenClasses } from "./inspect";
import { STATE_TONES, speed, usageOf } from "./shape";
import { Waterfall } from "./waterfall";

type Props = { id: string; close: () => void; keyNames: ReadonlyMap<string, string> };

/** One request, as far as it was remembered. */
export function Inspector({ id, close, keyNames }: Props) {
  const t = useT();
  const found = useQuery({
    queryKey: ["request", id],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/logs/{id}", { params: { path: { id } }, signal })),
    // A record never changes.
    staleTime: Number.POSITIVE_INFINITY,
  });
  const record = found.data;
  const state = record?.state ?? "failed";
  return (
    <Dialog
      open
      side
      wide
      onClose={close}
      title={
        <span className="flex flex-wrap items-center gap-2">
          {record?.model || record?.path || t("inspect.title")}
          {record && (
            <Badge tone={STATE_TONES[state]}>
              {t(`state.${state}`)} {record.status}
            </Badge>
          )}
        </span>
      }
      hint={
        <span className="flex items-center gap-1 font-mono">
          <span className="truncate">{id}</span>
          <CopyButton text={id} label={t("inspect.copyId")} />
        </span>
      }
    >
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.isPending && (
        <div className="space-y-4" aria-busy>
          <Skeleton className="h-24 w-full" />
          <Skeleton className="h-40 w-full" />
        </div>
      )}
      {record && <Found record={record} keyName={keyNames.get(record.key ?? "")} />}
    </Dialog>
  );
}

function Found({ record, keyName }: { record: RequestRecord; keyName?: string }) {
  const t = useT();
  return (
    <div className="space-y-4">
      {record.error_message && (
        <Notice tone={record.state === "failed" ? "bad" : "warn"} title={record.error_message}>
          {record.error && <code className="font-mono">{record.error}</code>}
        </Notice>
      )}
      <Tabs
        label={t("inspect.title")}
        tabs={[
          { id: "overview", label: t("inspect.overview"), content: <Overview record={record} keyName={keyName} /> },
          { id: "talk", label: t("inspect.talk"), content: <Bodies record={record} view="talk" /> },
          { id: "bodies", label: t("inspect.bodies"), content: <Bodies record={record} view="bodies" /> },
          { id: "cost", label: t("inspect.tokens"), content: <Tokens record={record} /> },
          { id: "routing", label: t("inspect.routing"), content: <Routing record={record} /> },
          { id: "record", label: t("inspect.record"), content: <Raw record={record} /> },
        ]}
      />
    </div>
  );
}

function Overview({ record, keyName }: { record: RequestRecord; keyName?: string }) {
  const t = useT();
  const language = useLanguage();
  const rate = speed(record);
  const facts: [string, ReactNode][] = [
    [t("inspect.started"), absolute(record.started ?? 0, language)],
    [
      t("requests.key"),
      keyName ? (
        <Link key="key" to="/requests" search={{ key: keyName }} className="text-accent hover:underline">
          {keyName}
        </Link>
      ) : (
        record.key
      ),
    ],
    [t("inspect.tool"), record.tool],
    [t("inspect.profile"), record.profile],
    [t("inspect.path"), <code key="path">{record.path}</code>],
    [t("inspect.format"), conversion(record, t("inspect.untouched"))],
    [t("inspect.stream"), record.stream ? t("yes") : t("no")],
    [t("inspect.finish"), record.finish],
    [t("column.speed"), rate?.toFixed(1)],
    [t("inspect.bytes"), `${bytes(record.bytes_in ?? 0)} → ${bytes(record.bytes_out ?? 0)}`],
    [t("inspect.session"), record.session],
    [t("inspect.trace"), record.trace],
    [t("inspect.thread"), record.thread],
    [t("inspect.tags"), record.tags?.join(", ")],
    [t("inspect.owners"), record.owners?.join(", ")],
    [t("inspect.upstreamId"), record.attempts?.at(-1)?.upstream_request_id],
  ];
  return (
    <div className="space-y-5">
      {(record.attempts?.length ?? 0) > 0 ? <Waterfall record={record} /> : <Notice>{t("inspect.noAttempt")}</Notice>}
      <Facts facts={facts} />
      {(record.losses?.length ?? 0) > 0 && (
        <Notice tone="warn" title={t("inspect.losses")}>
          <ul className="list-inside list-disc">
            {record.losses?.map((loss) => (
              <li key={loss}>{loss}</li>
            ))}
          </ul>
        </Notice>
      )}
      <div className="flex flex-wrap gap-2">
        <CopyButton text={curl(record, location.origin)} words={t("inspect.curl")} />
        <Button
          small
          icon={<Download className="size-4" />}
          onClick={() => download(`${record.id}.json`, "application/json", scrubbed(record))}
        >
          {t("inspect.report")}
        </Button>
      </div>
    </div>
  );
}

export function Facts({ facts }: { facts: [string, ReactNode][] }) {
  return (
    <dl className="grid grid-cols-1 gap-x-6 gap-y-2 text-sm sm:grid-cols-2">
      {facts.map(([name, value]) =>
        value === undefined || value === null || value === "" ? null : (
          <div key={name} className="flex min-w-0 gap-3">
            <dt className="w-28 shrink-0 text-muted">{name}</dt>
            <dd className="min-w-0 break-words">{value}</dd>
          </div>
        ),
      )}
    </dl>
  );
}

function conversion(record: RequestRecord, untouched: string) {
  if (!record.upstream_format) return record.format;
  if (record.upstream_format === record.format) return `${record.format} (${untouched})`;
  return `${record.format} → ${record.upstream_format}`;
}

function Tokens({ record }: { record: RequestRecord }) {
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

function Routing({ record }: { record: RequestRecord }) {
  const t = useT();
  const plan = (record.plan ?? []).map((step, at) => ({ ...step, at }));
  return (
    <div className="space-y-4 text-sm">
      <ol className="list-inside list-decimal space-y-1.5">
        <li>{t("decision.profile", { profile: record.profile ?? "direct" })}</li>
        <li>{record.rule ? t("decision.rule", { rule: record.rule }) : t("decision.noRule")}</li>
        <li>{record.route ? t("decision.route", { route: record.route }) : t("decision.noRoute")}</li>
        {record.strategy && <li>{t("decision.strategy", { strategy: record.strategy })}</li>}
        {record.refused_by && <li>{t("decision.refused", { limit: record.refused_by })}</li>}
        {record.channel && (
          <li>{t("decision.served", { target: `${record.channel}/${record.upstream_model ?? record.model}` })}</li>
        )}
      </ol>
      {plan.length > 0 && (
        <Table
          label={t("decision.plan")}
          rows={plan}
          id={(step) => String(step.at)}
          columns={[
            { id: "at", head: "#", cell: (step) => step.at + 1 },
            { id: "target", head: t("decision.deployment"), cell: (step) => `${step.channel}/${step.model}` },
            { id: "group", head: t("decision.group"), cell: (step) => (step.group ?? 0) + 1 },
            { id: "why", head: t("decision.why"), cell: (step) => step.why },
          ]}
        />
      )}
    </div>
  );
}

function Raw({ record }: { record: RequestRecord }) {
  const t = useT();
  return (
    <div className="space-y-2">
      <p className="flex items-center gap-2 text-xs text-muted">
        <Terminal aria-hidden className="size-3.5" />
        <code>myelin logs {record.id}</code>
      </p>
      <Code text={JSON.stringify(record, null, 2)} label={t("inspect.record")} />
    </div>
  );
}
