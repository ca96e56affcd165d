import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ChevronDown, ChevronUp, Download, FileX, RotateCw, Terminal } from "lucide-react";
import { type ReactNode, useState } from "react";
import { answer, api } from "@/api/client";
import type { RequestRecord } from "@/api/live";
import { Badge } from "@/components/ui/badge";
import { Button, IconButton } from "@/components/ui/button";
import { Code } from "@/components/ui/code";
import { CopyButton } from "@/components/ui/copy";
import { Dialog } from "@/components/ui/dialog";
import { Empty } from "@/components/ui/empty";
import { Facts } from "@/components/ui/facts";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { Tabs } from "@/components/ui/tabs";
import { useLanguage, useT } from "@/i18n";
import { bytes } from "@/lib/format";
import { reasonIn } from "@/lib/reason";
import { gatewayAddress, download } from "@/lib/shell";
import { absolute } from "@/lib/time";
import { Bodies, useBodies } from "./bodies";
import { Cost } from "./cost";
import { curl, scrubbed } from "./inspect";
import { Replay } from "./replay";
import { STATE_TONES, speed } from "./shape";
import { Waterfall } from "./waterfall";

type Props = {
  id: string;
  close: () => void;
  keyNames: ReadonlyMap<string, string>;
  /** The rows beside it in the list. */
  older?: string;
  newer?: string;
  show: (id: string) => void;
};

/** One request, as far as it was remembered. */
export function Inspector({ id, close, keyNames, older, newer, show }: Props) {
  const t = useT();
  const found = useQuery({
    queryKey: ["request", id],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/requests/{id}", { params: { path: { id } }, signal })),
    // A record never changes.
    staleTime: Number.POSITIVE_INFINITY,
  });
  // What its parts need too comes with it.
  useBodies(id, true);
  const record = found.data;
  // The next request is looked at from the same side.
  const [tab, setTab] = useState("overview");
  const state = record?.state ?? "failed";
  return (
    <Dialog
      open
      side
      wide
      onClose={close}
      actions={
        <>
          <IconButton label={t("inspect.newer")} disabled={!newer} onClick={() => newer && show(newer)}>
            <ChevronUp />
          </IconButton>
          <IconButton label={t("inspect.older")} disabled={!older} onClick={() => older && show(older)}>
            <ChevronDown />
          </IconButton>
        </>
      }
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
      {record && <Found key={id} record={record} keyName={keyNames.get(record.key ?? "")} tab={tab} choose={setTab} />}
    </Dialog>
  );
}

type FoundProps = { record: RequestRecord; keyName?: string; tab: string; choose: (tab: string) => void };

function Found({ record, keyName, tab, choose }: FoundProps) {
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
        value={tab}
        onChange={choose}
        tabs={[
          { id: "overview", label: t("inspect.overview"), content: <Overview record={record} keyName={keyName} /> },
          { id: "talk", label: t("inspect.talk"), content: <Bodies record={record} view="talk" /> },
          { id: "bodies", label: t("inspect.bodies"), content: <Bodies record={record} view="bodies" /> },
          { id: "heads", label: t("play.headers"), content: <Heads record={record} /> },
          { id: "cost", label: t("inspect.tokens"), content: <Cost record={record} /> },
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
  const [replaying, setReplaying] = useState(false);
  const bodies = useBodies(record.id ?? "", true);
  const received = bodies.data?.bodies.find((body) => body.kind === "received")?.text;
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
    [t("inspect.session"), record.session && <Together key="session" by="session" record={record} />],
    [t("inspect.trace"), record.trace && <Together key="trace" by="trace" record={record} />],
    [t("inspect.thread"), record.thread && <Together key="thread" by="thread" record={record} />],
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
        <Button small icon={<RotateCw className="size-4" />} onClick={() => setReplaying(true)}>
          {t("replay.title")}
        </Button>
        <CopyButton text={curl(record, gatewayAddress(), received)} words={t("inspect.curl")} />
        <Button
          small
          icon={<Download className="size-4" />}
          onClick={() => download(`${record.id}.json`, "application/json", scrubbed(record))}
        >
          {t("inspect.report")}
        </Button>
      </div>
      {replaying && <Replay record={record} close={() => setReplaying(false)} />}
    </div>
  );
}

/** What else belongs to the same task, conversation or session: one click to its rows. */
function Together({ by, record }: { by: "trace" | "thread" | "session"; record: RequestRecord }) {
  const id = record[by];
  if (!id) return null;
  return (
    <Link to="/requests" search={{ [by]: id }} className="break-all text-accent hover:underline">
      {id}
    </Link>
  );
}

/** Headers as far as they were kept; values that may be secrets never were. */
function Heads({ record }: { record: RequestRecord }) {
  const t = useT();
  const found = useBodies(record.id ?? "", true);
  if (found.isError) return <Failure error={found.error} retry={() => void found.refetch()} />;
  if (!found.data) return <Skeleton className="h-40 w-full" />;
  if (found.data.heads.length === 0) {
    return (
      <Empty icon={<FileX />} title={t("heads.none")}>
        {t("heads.noneHint")}
      </Empty>
    );
  }
  return (
    <div className="space-y-4">
      {found.data.heads.map((head) => {
        const label = `${t(`bodies.${head.kind}`)}${head.attempt === null || head.attempt === undefined ? "" : ` ${head.attempt + 1}`}`;
        return (
          <section key={label}>
            <h3 className="mb-1 text-xs font-medium">{label}</h3>
            <Code text={head.text} wrap label={label} />
          </section>
        );
      })}
    </div>
  );
}

function conversion(record: RequestRecord, untouched: string) {
  if (!record.upstream_format) return record.format;
  if (record.upstream_format === record.format) return `${record.format} (${untouched})`;
  return `${record.format} → ${record.upstream_format}`;
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
            { id: "why", head: t("decision.why"), cell: (step) => reasonIn(t, step) },
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
