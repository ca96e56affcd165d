import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ArrowRight, CircleCheck, FlaskConical, TriangleAlert } from "lucide-react";
import { useCallback, useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { type RequestRecord, useLive } from "@/api/live";
import { Badge } from "@/components/ui/badge";
import { Card } from "@/components/ui/card";
import { CopyButton } from "@/components/ui/copy";
import { Ago } from "@/components/ui/moment";
import { Failure, Notice } from "@/components/ui/notice";
import { Page } from "@/components/ui/page";
import { Problems } from "@/components/ui/problems";
import { Skeleton } from "@/components/ui/spinner";
import { ProfileCards } from "@/features/profiles/switch";
import { Flights } from "@/features/requests/flights";
import { latest, merge, STATE_TONES } from "@/features/requests/shape";
import { useT } from "@/i18n";
import { count, duration } from "@/lib/format";
import { zone } from "@/lib/range";
import { gatewayAddress } from "@/lib/shell";
import { Alerts } from "./alerts";
import { Figures } from "./figures";
import { SetUp } from "./set-up";

const PACE_MS = 15_000;

/** Is it working, where do requests go, what happened last? One answer holds all of it; then only what is new is followed. */
export function HomePage() {
  const t = useT();
  const found = useQuery({
    queryKey: ["overview"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/overview", { params: { query: { zone: zone() } }, signal })),
    refetchInterval: PACE_MS,
  });
  return (
    <Page title={t("home.title")}>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.isPending && <Skeleton className="h-64 w-full" />}
      {found.data && <Shown overview={found.data} told={found.dataUpdatedAt} />}
    </Page>
  );
}

function Shown({ overview, told }: { overview: Api<"Overview">; told: number }) {
  const t = useT();
  const { status, profiles, alerts, flights, next } = overview;
  const [fresh, setFresh] = useState<RequestRecord[]>([]);
  const live = useLive(
    true,
    useCallback((came: RequestRecord[]) => setFresh((there) => merge(came, there, SHOWN)), []),
    { next, flights: flights.requests, at: told },
  );
  return (
    <>
      <Strip status={status} />
      {(status.channels === 0 || status.requests === 0) && <SetUp status={status} />}
      <Troubles status={status} />
      <Alerts events={alerts} />
      {status.requests > 0 && <Figures overview={overview} />}
      <Card
        title={t("profiles.active")}
        hint={t("profiles.hint")}
        actions={
          <Link to="/profiles" className="inline-flex items-center gap-1 text-xs text-accent hover:underline">
            {t("home.allProfiles")} <ArrowRight aria-hidden className="size-3" />
          </Link>
        }
      >
        <ProfileCards list={profiles} />
      </Card>
      <Flights flights={live.flights} at={live.at} />
      <Latest rows={latest(fresh, overview.latest, SHOWN)} />
    </>
  );
}

/** What tools are pointed at, by what they speak. */
const ADDRESSES = [
  { label: "OpenAI", path: "/v1" },
  { label: "Anthropic", path: "/anthropic" },
  { label: "Gemini", path: "/gemini" },
  { label: "Ollama", path: "" },
];

function Strip({ status }: { status: Api<"Status"> }) {
  const t = useT();
  const well =
    !status.ledger.failing &&
    status.degraded.length === 0 &&
    status.problems.every((problem) => problem.severity !== "error");
  return (
    <section aria-label={t("home.state")} className="rounded-xl border border-line bg-surface p-4">
      <div className="flex flex-wrap items-center gap-x-6 gap-y-3">
        <p className="flex items-center gap-2 text-sm font-semibold">
          {well ? (
            <CircleCheck aria-hidden className="size-5 text-good" />
          ) : (
            <TriangleAlert aria-hidden className="size-5 text-warn" />
          )}
          {well ? t("home.well") : t("home.unwell")}
        </p>
        <dl className="flex flex-wrap gap-x-6 gap-y-2 text-sm">
          <Figure label={t("home.channels")} value={`${status.channels_serving} / ${status.channels}`} />
          <Figure label={t("home.models", { n: status.models })} value={count(status.models)} />
          <Figure label={t("home.keys", { n: status.keys })} value={count(status.keys)} />
          <Figure label={t("home.requests", { n: status.requests })} value={count(status.requests)} />
          <Figure label={t("home.since")} value={<Ago at={status.started} />} />
        </dl>
        <span className="ml-auto text-xs text-muted">Myelin {status.version}</span>
      </div>
      <div className="mt-4 grid gap-2 sm:grid-cols-2 2xl:grid-cols-4">
        {ADDRESSES.map(({ label, path }) => (
          <div key={label} className="flex min-w-0 items-center gap-2 rounded-lg bg-sunken py-1 pr-1 pl-3">
            <span className="w-18 shrink-0 text-xs text-muted">{label}</span>
            <code className="min-w-0 flex-1 truncate text-xs">{gatewayAddress() + path}</code>
            <CopyButton text={gatewayAddress() + path} label={t("home.copyAddress", { format: label })} />
          </div>
        ))}
      </div>
    </section>
  );
}

function Figure({ label, value }: { label: string; value: React.ReactNode }) {
  return (
    <div className="flex items-baseline gap-1.5">
      <dd className="font-semibold">{value}</dd>
      <dt className="text-xs text-muted">{label}</dt>
    </div>
  );
}

function Troubles({ status }: { status: Api<"Status"> }) {
  const t = useT();
  const { ledger } = status;
  return (
    <>
      {ledger.failing && (
        <Notice tone="bad" title={t("home.diskFails")}>
          {ledger.last_error} {t("home.diskHint", { n: ledger.lost })}
        </Notice>
      )}
      {!ledger.failing && (ledger.journal_failing || ledger.lost > 0) && (
        <Notice tone={ledger.lost > 0 ? "bad" : "warn"} title={t("home.journalFails")}>
          {ledger.last_error} {t("home.diskHint", { n: ledger.lost })}
        </Notice>
      )}
      {(status.bodies.failing || status.bodies.dropped > 0) && (
        <Notice tone="warn" title={t("home.bodiesDropped", { n: status.bodies.dropped })}>
          {status.bodies.last_error}
        </Notice>
      )}
      {status.problems.length > 0 && (
        <Notice tone="warn" title={t("home.problems", { n: status.problems.length })}>
          <Problems of={status.problems} />
        </Notice>
      )}
    </>
  );
}

const SHOWN = 8;

/** The last requests, as they end. */
function Latest({ rows }: { rows: RequestRecord[] }) {
  const t = useT();
  return (
    <Card
      flush
      title={t("home.latest")}
      actions={
        <Link to="/requests" className="inline-flex items-center gap-1 text-xs text-accent hover:underline">
          {t("home.allRequests")} <ArrowRight aria-hidden className="size-3" />
        </Link>
      }
    >
      {rows.length === 0 && (
        <p className="flex items-center gap-2 p-4 text-sm text-muted">
          <FlaskConical aria-hidden className="size-4" /> {t("home.noRequests")}
        </p>
      )}
      <ul className="mt-2 divide-y divide-line border-t border-line">
        {rows.map((record) => (
          <li key={record.id}>
            <Link
              to="/requests"
              search={{ open: record.id }}
              className="flex items-center gap-3 px-4 py-2 text-xs hover:bg-sunken focus-visible:-outline-offset-2"
            >
              <Badge tone={STATE_TONES[record.state ?? "failed"]}>{t(`state.${record.state ?? "failed"}`)}</Badge>
              <span className="min-w-0 flex-1 truncate">
                <span className="font-medium">{record.model || record.path}</span>
                {record.channel && <span className="text-muted"> → {record.channel}</span>}
              </span>
              <span className="hidden truncate text-muted sm:block">{record.tool}</span>
              <span className="whitespace-nowrap">{duration(record.duration_us ?? 0)}</span>
              <span className="hidden w-24 text-right whitespace-nowrap text-muted sm:block">
                <Ago at={record.started ?? 0} />
              </span>
            </Link>
          </li>
        ))}
      </ul>
    </Card>
  );
}
