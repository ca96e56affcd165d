import { useVirtualizer } from "@tanstack/react-virtual";
import { Link } from "@tanstack/react-router";
import clsx from "clsx";
import { ArrowUp, Repeat2 } from "lucide-react";
import { memo, useEffect, useRef, useState } from "react";
import type { RequestRecord } from "@/api/live";
import { Badge } from "@/components/ui/badge";
import { useNow } from "@/components/ui/moment";
import { Skeleton, Spinner } from "@/components/ui/spinner";
import { type Key, useLanguage, useT } from "@/i18n";
import { count, duration, exact } from "@/lib/format";
import { exactMoney, money } from "@/lib/money";
import { absolute, clock } from "@/lib/time";
import { STATE_TONES, cacheShare, speed, usageOf } from "./shape";

type Props = {
  rows: RequestRecord[];
  loading: boolean;
  keyNames: ReadonlyMap<string, string>;
  /** How many came while the list was scrolled. */
  waiting: number;
  reveal: () => void;
  atTop: (top: boolean) => void;
  more?: () => void;
  fetching: boolean;
  opened?: string;
  /** Requests that are to be compared. */
  picked: readonly string[];
  pick: (id: string) => void;
};

const COLUMNS: { label: Key; className: string; right?: boolean }[] = [
  { label: "column.time", className: "w-26" },
  { label: "column.state", className: "w-26" },
  { label: "column.caller", className: "w-32" },
  { label: "column.model", className: "min-w-52 flex-1" },
  { label: "column.firstToken", className: "w-20", right: true },
  { label: "column.total", className: "w-20", right: true },
  { label: "column.speed", className: "hidden w-18 2xl:block", right: true },
  { label: "column.tokens", className: "w-32", right: true },
  { label: "column.cost", className: "w-22", right: true },
];

const ROW = 41;
const TALL_ROW = 63;

/** Thousands of rows, of which the screen's are in the document. */
export function RequestTable(props: Props) {
  const { rows, loading, keyNames, waiting, reveal, atTop, more, fetching, opened, picked, pick } = props;
  const t = useT();
  const box = useRef<HTMLDivElement>(null);
  const narrow = useNarrow();
  const now = useNow();
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => (narrow ? TALL_ROW : ROW),
    getItemKey: (index) => rows[index]?.id ?? index,
    overscan: 12,
  });
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    virtual.measure();
  }, [narrow, virtual]);
  useEffect(() => {
    if (more && !fetching && last >= rows.length - 20) more();
  }, [last, rows.length, more, fetching]);

  return (
    <div className="relative flex min-h-64 flex-1 flex-col overflow-hidden rounded-xl border border-line bg-surface">
      {waiting > 0 && (
        <button
          type="button"
          onClick={() => {
            reveal();
            box.current?.scrollTo({ top: 0 });
          }}
          className="absolute top-11 left-1/2 z-10 inline-flex -translate-x-1/2 items-center gap-1.5 rounded-full bg-accent px-3 py-1.5 text-xs font-medium text-on-accent shadow-float animate-in"
        >
          <ArrowUp aria-hidden className="size-3.5" />
          {t("requests.new", { n: waiting })}
        </button>
      )}
      <div
        ref={box}
        role="table"
        aria-label={t("requests.title")}
        aria-rowcount={rows.length}
        aria-busy={loading}
        // Scrolling by keyboard needs the focus.
        tabIndex={0}
        className="min-h-0 flex-1 overflow-auto"
        onScroll={(event) => atTop(event.currentTarget.scrollTop < 8)}
      >
        <div role="rowgroup" className="sticky top-0 z-[1] hidden border-b border-line bg-sunken md:block">
          <div role="row" className="flex min-w-max items-center gap-3 px-4 text-2xs font-medium text-muted">
            <span role="columnheader" className="w-4 shrink-0">
              <span className="sr-only">{t("compare.go")}</span>
            </span>
            {COLUMNS.map((column) => (
              <span
                key={column.label}
                role="columnheader"
                className={clsx("shrink-0 py-2.5", column.className, column.right && "text-right")}
              >
                {t(column.label)}
              </span>
            ))}
          </div>
        </div>
        {loading && (
          <div className="space-y-4 p-4">
            {[72, 54, 64, 48, 60].map((width) => (
              <Skeleton key={width} className="h-5 w-full" />
            ))}
          </div>
        )}
        <div role="rowgroup" className="relative" style={{ height: virtual.getTotalSize() }}>
          {items.map((item) => {
            const record = rows[item.index];
            if (!record) return null;
            return (
              <div
                key={item.key}
                role="row"
                aria-rowindex={item.index + 1}
                className="absolute inset-x-0 top-0"
                style={{ height: item.size, transform: `translateY(${item.start}px)` }}
              >
                <Row
                  record={record}
                  caller={keyNames.get(record.key ?? "") ?? record.key ?? undefined}
                  narrow={narrow}
                  now={now}
                  opened={opened === record.id}
                  picked={picked.includes(record.id ?? "")}
                  pick={pick}
                />
              </div>
            );
          })}
        </div>
        {fetching && (
          <p className="flex items-center justify-center gap-2 p-3 text-xs text-muted">
            <Spinner /> {t("loading")}
          </p>
        )}
      </div>
    </div>
  );
}

type RowProps = {
  record: RequestRecord;
  caller?: string;
  narrow: boolean;
  opened: boolean;
  now: number;
  picked: boolean;
  pick: (id: string) => void;
};

const Row = memo(({ record, caller, narrow, opened, now, picked, pick }: RowProps) => {
  const t = useT();
  const language = useLanguage();
  const usage = usageOf(record);
  const state = record.state ?? "failed";
  const started = record.started ?? 0;
  const rate = speed(record);
  const cached = cacheShare(usage);
  const time = (
    <time title={absolute(started, language)} dateTime={new Date(started).toISOString()}>
      {clock(started, now, language)}
    </time>
  );
  const how = (
    <Badge tone={STATE_TONES[state]} title={record.error_message ?? undefined}>
      {state === "completed" ? t("state.completed") : `${t(`state.${state}`)} ${record.status || ""}`}
    </Badge>
  );
  const tokens = (
    <span title={t("tokens.title", { input: amount(usage.input), output: amount(usage.output) })}>
      {usage.input === undefined && usage.output === undefined
        ? "–"
        : `${usage.input === undefined ? "?" : count(usage.input)} → ${usage.output === undefined ? "?" : count(usage.output)}`}
      {cached !== undefined && cached > 0 && <span className="ml-1 text-good">{Math.round(cached * 100)}%</span>}
    </span>
  );
  const look = clsx(
    "h-full border-b border-line text-xs transition-colors hover:bg-sunken",
    "has-[a:focus-visible]:outline-2 has-[a:focus-visible]:-outline-offset-2 has-[a:focus-visible]:outline-accent",
    opened && "bg-accent-soft",
  );
  const box = (
    <input
      type="checkbox"
      // Above the link that covers the row.
      className="relative z-[1] size-4 shrink-0 accent-accent"
      aria-label={t("compare.pick", { model: record.model || record.path || "" })}
      checked={picked}
      onChange={() => record.id && pick(record.id)}
    />
  );
  if (narrow) {
    return (
      <div className={clsx(look, "space-y-1 px-3 py-2")}>
        <div role="cell" className="flex items-center gap-2">
          {box}
          <span className="min-w-0 flex-1 truncate text-sm">
            <Model record={record} />
          </span>
          {how}
        </div>
        <div role="cell" className="flex items-center gap-3 text-muted">
          <span className="whitespace-nowrap">{time}</span>
          <span className="whitespace-nowrap">{duration(record.duration_us ?? 0)}</span>
          <span className="truncate">{tokens}</span>
          <span className="ml-auto whitespace-nowrap">
            <Cost nano={record.cost} />
          </span>
        </div>
      </div>
    );
  }
  const shown = [
    time,
    how,
    record.tool ?? caller ?? "–",
    <Model key="model" record={record} />,
    record.first_token_us ? duration(record.first_token_us) : "–",
    duration(record.duration_us ?? 0),
    rate === undefined ? "–" : rate.toFixed(rate < 10 ? 1 : 0),
    tokens,
    <Cost key="cost" nano={record.cost} />,
  ];
  return (
    <div className={clsx(look, "flex min-w-max items-center gap-3 px-4")}>
      <span role="cell" className="flex w-4 shrink-0">
        {box}
      </span>
      {COLUMNS.map((column, at) => (
        <span
          key={column.label}
          role="cell"
          className={clsx("shrink-0 truncate", column.className, column.right && "text-right")}
        >
          {shown[at]}
        </span>
      ))}
    </div>
  );
});

function Cost({ nano }: { nano: number | null | undefined }) {
  const t = useT();
  if (nano === null || nano === undefined) {
    return (
      <span className="text-muted" title={t("cost.unpricedHint")}>
        {t("cost.unpriced")}
      </span>
    );
  }
  return <span title={exactMoney(nano)}>{money(nano)}</span>;
}

function Model({ record }: { record: RequestRecord }) {
  const t = useT();
  const attempts = record.attempts?.length ?? 0;
  const target = record.upstream_model && record.upstream_model !== record.model ? record.upstream_model : undefined;
  return (
    <span className="inline-flex max-w-full items-center gap-1.5">
      <Link
        from="/requests"
        search={(before) => ({ ...before, open: record.id })}
        resetScroll={false}
        className="truncate font-medium outline-none after:absolute after:inset-0"
      >
        {record.model || record.path}
      </Link>
      {record.channel && (
        <span className="truncate text-muted">
          → {record.channel}
          {target && `/${target}`}
        </span>
      )}
      {attempts > 1 && (
        <span title={t("requests.attempts", { n: attempts })} className="inline-flex items-center gap-0.5 text-warn">
          <Repeat2 aria-hidden className="size-3" />
          {attempts}
        </span>
      )}
    </span>
  );
}

const amount = (value: number | undefined) => (value === undefined ? "?" : exact(value));

function useNarrow(): boolean {
  const query = "(max-width: 767px)";
  const [narrow, setNarrow] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const follow = () => setNarrow(list.matches);
    list.addEventListener("change", follow);
    return () => list.removeEventListener("change", follow);
  }, []);
  return narrow;
}
