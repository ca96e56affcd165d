import { useNavigate, useSearch } from "@tanstack/react-router";
import { Columns2, Pause, Play, ScrollText, X } from "lucide-react";
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from "react";
import { type RequestRecord, useLive } from "@/api/live";
import { Button, IconButton } from "@/components/ui/button";
import { CopyButton } from "@/components/ui/copy";
import { Empty } from "@/components/ui/empty";
import { Failure } from "@/components/ui/notice";
import { Page } from "@/components/ui/page";
import { useT } from "@/i18n";
import { queries } from "@/app/query";
import { useShortcuts } from "@/app/shortcuts";
import { gatewayAddress } from "@/lib/shell";
import { inOrder, pair, pick } from "./compare";
import { Filters } from "./filters";
import { Flights } from "./flights";
import { Inspector } from "./inspector";
import { useRecords } from "./queries";
import { filterOf, type RequestsSearch } from "./search";
import { matches, merge } from "./shape";
import { RequestTable } from "./table";
import { Export, Views } from "./views";

const Compare = lazy(() => import("./compare-dialog").then((m) => ({ default: m.Compare })));

/** Records that came live and are kept before the list is read again. */
const MOST_FRESH = 2000;

export function RequestsPage() {
  const t = useT();
  const search = useSearch({ from: "/requests" });
  const navigate = useNavigate({ from: "/requests" });
  const filter = filterOf(search);
  const comparing = pair(search.compare);
  const [picked, setPicked] = useState<string[]>([]);
  // One function for all rows and for good: rows that did not change are not drawn again.
  const pickOne = useCallback((id: string) => setPicked((there) => pick(there, id)), []);
  const records = useRecords(filter);
  const [following, setFollowing] = useState(true);
  const [fresh, setFresh] = useState<RequestRecord[]>([]);
  const [waiting, setWaiting] = useState<RequestRecord[]>([]);
  const [atTop, setAtTop] = useState(true);

  const [named, setNamed] = useState<Record<string, string>>({});
  const keyNames = useMemo(() => {
    const pages = records.data?.pages.flatMap((page) => Object.entries(page.keys)) ?? [];
    return new Map([...pages, ...Object.entries(named)]);
  }, [records.data, named]);
  const signature = JSON.stringify(filter);
  useEffect(() => {
    setFresh([]);
    setWaiting([]);
  }, [signature]);

  const came = useCallback(
    (found: RequestRecord[], gap: boolean, keys: Record<string, string>) => {
      setNamed((there) => (Object.keys(keys).every((id) => id in there) ? there : { ...there, ...keys }));
      if (gap) {
        setFresh([]);
        setWaiting([]);
        void queries.invalidateQueries({ queryKey: ["requests"] });
        return;
      }
      const names = new Map(Object.entries(keys));
      const wanted = found.filter((record) => matches(record, JSON.parse(signature) as RequestsSearch, names));
      // Rows do not move under the eyes of who scrolled down, or said so.
      const into = atTop && following ? setFresh : setWaiting;
      into((there) => merge(wanted, there, MOST_FRESH));
    },
    [signature, atTop, following],
  );
  const first = records.data?.pages[0];
  // From where the list ends: nothing is missed between the two.
  const live = useLive(first !== undefined, came, {
    next: first?.live,
    flights: first?.flights.requests,
    at: records.dataUpdatedAt,
  });

  const reveal = () => {
    setFresh((there) => merge(waiting.toReversed(), there, MOST_FRESH));
    setWaiting([]);
  };
  const turn = () => {
    if (!following && atTop) reveal();
    setFollowing(!following);
  };
  const listed = useMemo(() => records.data?.pages.flatMap((page) => page.records) ?? [], [records.data]);
  const rows = useMemo(() => merge(fresh.toReversed(), listed, Number.MAX_SAFE_INTEGER), [fresh, listed]);
  const change = (next: Partial<RequestsSearch>) =>
    void navigate({ search: (before) => ({ ...before, ...next }), replace: true });
  const filtered = Object.keys(filter).length > 0;
  const show = (open: string | undefined) =>
    void navigate({ search: ({ open: _, ...rest }) => (open ? { ...rest, open } : rest), resetScroll: false });
  const compare = (ids: string) => {
    if (pair(ids)) void navigate({ search: { ...filter, compare: ids }, resetScroll: false });
  };
  const beside = (by: -1 | 1) => rows[rows.findIndex((record) => record.id === search.open) + by]?.id;
  useShortcuts({
    j: () => show(search.open ? (beside(1) ?? search.open) : rows[0]?.id),
    k: () => search.open && show(beside(-1) ?? search.open),
    x: () => search.open && setPicked(pick(picked, search.open)),
    c: () => compare(inOrder(picked)),
    p: turn,
    "/": () => document.querySelector<HTMLElement>("[data-search]")?.focus(),
  });

  return (
    <Page
      fill
      title={t("requests.title")}
      hint={t("requests.hint")}
      actions={
        <>
          <Views search={search} go={(next) => void navigate({ search: next })} />
          <Export search={filter} keyNames={keyNames} />
          <Button
            icon={following ? <Pause className="size-4" /> : <Play className="size-4" />}
            aria-pressed={following}
            onClick={turn}
          >
            {following ? t("requests.pause") : t("requests.follow")}
          </Button>
        </>
      }
    >
      <Filters search={search} change={change} live={following ? live.state : "off"} />
      <Flights flights={live.flights} at={live.at} />
      {picked.length > 0 && (
        <Picked picked={picked} compare={() => compare(inOrder(picked))} clear={() => setPicked([])} />
      )}
      {records.isError && <Failure error={records.error} retry={() => void records.refetch()} />}
      {records.isSuccess && rows.length === 0 ? (
        filtered ? (
          <Empty
            icon={<ScrollText />}
            title={t("requests.none")}
            action={<Button onClick={() => void navigate({ search: {}, replace: true })}>{t("requests.clear")}</Button>}
          >
            {t("requests.noneHint")}
          </Empty>
        ) : (
          <FirstRequest />
        )
      ) : (
        <RequestTable
          rows={rows}
          loading={records.isPending}
          keyNames={keyNames}
          waiting={waiting.length}
          reveal={reveal}
          atTop={setAtTop}
          more={records.hasNextPage ? () => void records.fetchNextPage() : undefined}
          fetching={records.isFetchingNextPage}
          opened={search.open}
          picked={picked}
          pick={pickOne}
        />
      )}
      {comparing && (
        <Suspense fallback={null}>
          <Compare
            key={search.compare}
            ids={comparing}
            known={rows}
            close={() => void navigate({ search: filter, resetScroll: false })}
            turn={() => compare(comparing.toReversed().join(","))}
            open={(id) => void navigate({ search: { ...filter, open: id }, resetScroll: false })}
          />
        </Suspense>
      )}
      {search.open && (
        <Inspector
          id={search.open}
          keyNames={keyNames}
          close={() => show(undefined)}
          older={beside(1)}
          newer={search.open === rows[0]?.id ? undefined : beside(-1)}
          show={show}
        />
      )}
    </Page>
  );
}

/** What was picked to be compared. */
function Picked({ picked, compare, clear }: { picked: string[]; compare: () => void; clear: () => void }) {
  const t = useT();
  return (
    <div
      role="status"
      className="flex flex-wrap items-center gap-2 rounded-xl border border-accent bg-accent-soft py-1.5 pr-1.5 pl-4 text-sm"
    >
      <span className="min-w-0 flex-1">{picked.length === 1 ? t("compare.another") : t("compare.two")}</span>
      <Button
        small
        look="primary"
        icon={<Columns2 className="size-3.5" />}
        disabled={picked.length < 2}
        onClick={compare}
      >
        {t("compare.go")}
      </Button>
      <IconButton label={t("compare.clear")} onClick={clear}>
        <X />
      </IconButton>
    </div>
  );
}

/** The step that makes the first row. */
function FirstRequest() {
  const t = useT();
  const command = `curl ${gatewayAddress()}/v1/chat/completions \\
  -H "authorization: Bearer my-…" -H "content-type: application/json" \\
  -d '{"model": "echo", "messages": [{"role": "user", "content": "hello"}]}'`;
  return (
    <Empty icon={<ScrollText />} title={t("requests.first")}>
      <p>{t("requests.firstHint")}</p>
      <div className="relative mt-3 rounded-lg border border-line bg-sunken p-3 pr-11 text-left">
        <pre className="overflow-x-auto font-mono text-xs">{command}</pre>
        <span className="absolute top-1.5 right-1.5">
          <CopyButton text={command} />
        </span>
      </div>
    </Empty>
  );
}
