import { useQuery } from "@tanstack/react-query";
import clsx from "clsx";
import { ArrowLeftRight } from "lucide-react";
import { answer, api } from "@/api/client";
import type { RequestRecord } from "@/api/live";
import { Button } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { Tabs } from "@/components/ui/tabs";
import { type Key, useLanguage, useT } from "@/i18n";
import { bytes, duration, exact } from "@/lib/format";
import { exactMoney } from "@/lib/money";
import { absolute } from "@/lib/time";
import { Diff, useBodies } from "./bodies";
import { changeWords, compared, type Row, type Side, type Unit } from "./compare";

type Props = {
  ids: [string, string];
  /** Records that the list has already: they are not asked for again. */
  known: readonly RequestRecord[];
  close: () => void;
  turn: () => void;
  open: (id: string) => void;
};

/** Two requests side by side: what differs in what was asked, what it took and what came of it. */
export function Compare({ ids, known, close, turn, open }: Props) {
  const t = useT();
  const left = useRecord(ids[0], known);
  const right = useRecord(ids[1], known);
  const failed = left.error ?? right.error;
  return (
    <Dialog
      open
      side
      wide
      onClose={close}
      title={t("compare.title")}
      hint={t("compare.hint")}
      actions={
        <Button small icon={<ArrowLeftRight className="size-3.5" />} onClick={turn}>
          {t("compare.turn")}
        </Button>
      }
    >
      {failed && <Failure error={failed} />}
      {left.data && right.data ? (
        <Tabs
          label={t("compare.title")}
          tabs={[
            {
              id: "figures",
              label: t("compare.figures"),
              content: <Figures left={left.data} right={right.data} open={open} />,
            },
            { id: "request", label: t("compare.request"), content: <Requests ids={ids} /> },
            { id: "answer", label: t("compare.answer"), content: <Answers ids={ids} /> },
          ]}
        />
      ) : (
        !failed && <Skeleton className="h-64 w-full" />
      )}
    </Dialog>
  );
}

function useRecord(id: string, known: readonly RequestRecord[]) {
  return useQuery({
    queryKey: ["request", id],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/requests/{id}", { params: { path: { id } }, signal })),
    initialData: () => known.find((record) => record.id === id),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

const WRITTEN: { [unit in Unit]: (value: number) => string } = {
  words: String,
  count: exact,
  time: duration,
  money: exactMoney,
  bytes,
  rate: (value) => value.toFixed(1),
};

const shown = (side: Side, unit: Unit) =>
  side === undefined ? "–" : typeof side === "number" ? WRITTEN[unit](side) : side;

function Figures({ left, right, open }: { left: RequestRecord; right: RequestRecord; open: Props["open"] }) {
  const t = useT();
  const language = useLanguage();
  const head = (record: RequestRecord, name: Key) => (
    <button
      type="button"
      className="font-medium text-accent hover:underline"
      title={absolute(record.started ?? 0, language)}
      onClick={() => record.id && open(record.id)}
    >
      {t(name)}
    </button>
  );
  const cell = (row: Row, side: Side) => (
    <span className={clsx("break-words", row.differs && "font-semibold")}>{shown(side, row.unit)}</span>
  );
  return (
    <Table
      label={t("compare.figures")}
      rows={compared(left, right)}
      id={(row) => row.label}
      columns={[
        {
          id: "what",
          head: t("compare.what"),
          className: "min-w-24",
          cell: (row) => <span className="text-muted">{t(row.label)}</span>,
        },
        { id: "left", head: head(left, "compare.first"), cell: (row) => cell(row, row.left) },
        { id: "right", head: head(right, "compare.second"), cell: (row) => cell(row, row.right) },
        {
          id: "change",
          head: t("compare.change"),
          right: true,
          cell: (row) =>
            row.change === undefined ? (row.differs ? t("compare.differs") : "") : changeWords(row.change),
        },
      ]}
    />
  );
}

/** Both requests as they were received, line by line. */
function Requests({ ids }: { ids: [string, string] }) {
  const t = useT();
  const sides = useSides(ids);
  if (sides.error) return <Failure error={sides.error} />;
  if (!sides.left || !sides.right) return <Skeleton className="h-40 w-full" />;
  const [before, after] = [sides.left, sides.right].map(
    (side) => side.bodies.find((body) => body.kind === "received")?.text,
  );
  if (before === undefined || after === undefined) return <Notice>{t("compare.notKept")}</Notice>;
  return <Diff before={before} after={after} />;
}

function Answers({ ids }: { ids: [string, string] }) {
  const t = useT();
  const sides = useSides(ids);
  if (sides.error) return <Failure error={sides.error} />;
  if (!sides.left || !sides.right) return <Skeleton className="h-40 w-full" />;
  const texts = [sides.left.answer_text, sides.right.answer_text];
  if (texts.every((text) => !text)) return <Notice>{t("compare.notKept")}</Notice>;
  return (
    <div className="grid gap-3 md:grid-cols-2">
      {texts.map((text, at) => (
        <section
          key={ids[at]}
          aria-label={t(at === 0 ? "compare.first" : "compare.second")}
          className="min-w-0 rounded-xl border border-line p-3"
        >
          <h3 className="mb-1.5 text-xs font-medium text-muted">{t(at === 0 ? "compare.first" : "compare.second")}</h3>
          <p className="text-sm break-words whitespace-pre-wrap">{text || t("compare.notKept")}</p>
        </section>
      ))}
    </div>
  );
}

function useSides([left, right]: [string, string]) {
  const a = useBodies(left, true);
  const b = useBodies(right, true);
  return { left: a.data, right: b.data, error: a.error ?? b.error };
}
