import { ChartColumn, Table2 } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useShownTheme } from "@/app/theme";
import { IconButton } from "@/components/ui/button";
import { Table } from "@/components/ui/table";
import { useLanguage, useT } from "@/i18n";
import { count } from "@/lib/format";
import { type Chart, REST, stack } from "./shape";

type Props = {
  label: string;
  chart: Chart;
  kind: "bars" | "lines";
  format: (value: number) => string;
  /** What an empty group is called. */
  unnamed?: string;
  height?: number;
  /** A stretch of time was chosen by dragging. */
  zoom?: (since: number, until: number) => void;
};

const COLOURS = 8;
export const colour = (at: number) => `var(--series-${(at % COLOURS) + 1})`;

/** Values over time: bars on each other, or lines. The table behind it says the same. */
export function TimeSeries({ label, chart, kind, format, unnamed, height = 220, zoom }: Props) {
  const t = useT();
  const language = useLanguage();
  const [asTable, setAsTable] = useState(false);
  const [hover, setHover] = useState<number | null>(null);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const shown = chart.series.map((series, at) => ({ ...series, at })).filter((series) => !hidden.has(series.name));
  const name = (series: string) => (series === REST ? t("chart.rest") : series || unnamed || t("chart.unnamed"));
  const step = (chart.times[1] ?? 0) - (chart.times[0] ?? 0);
  const when = (at: number) => {
    const day: Intl.DateTimeFormatOptions = {
      month: "short",
      day: "numeric",
      year: step > 80_000_000 ? "numeric" : undefined,
    };
    const hour: Intl.DateTimeFormatOptions =
      step < 80_000_000 ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } : {};
    return new Date(at).toLocaleString(language, { ...day, ...hour });
  };
  const at = hover ?? -1;
  return (
    <figure aria-label={label} className="min-w-0">
      <div className="mb-2 flex items-start gap-2">
        <ul className="flex min-w-0 flex-1 flex-wrap gap-x-3 gap-y-1">
          {chart.series.map((series, place) => (
            <li key={series.name}>
              <button
                type="button"
                aria-pressed={!hidden.has(series.name)}
                onClick={() => {
                  const next = new Set(hidden);
                  if (!next.delete(series.name)) next.add(series.name);
                  setHidden(next);
                }}
                className="inline-flex max-w-60 items-center gap-1.5 text-xs aria-[pressed=false]:line-through aria-[pressed=false]:opacity-50"
              >
                <span aria-hidden className="size-2.5 shrink-0 rounded-sm" style={{ background: colour(place) }} />
                <span className="truncate">{name(series.name)}</span>
                {at >= 0 && <span className="text-muted">{read(series.values[at], format)}</span>}
              </button>
            </li>
          ))}
          {at >= 0 && <li className="text-xs text-muted">{when(chart.times[at] ?? 0)}</li>}
        </ul>
        <IconButton label={asTable ? t("chart.chart") : t("chart.table")} onClick={() => setAsTable(!asTable)}>
          {asTable ? <ChartColumn /> : <Table2 />}
        </IconButton>
      </div>
      {asTable ? (
        <Table
          dense
          className="max-h-80 overflow-y-auto"
          label={label}
          rows={chart.times.map((time, place) => ({ time, place }))}
          id={(row) => String(row.time)}
          columns={[
            { id: "time", head: t("column.time"), cell: (row) => when(row.time), className: "whitespace-nowrap" },
            ...chart.series.map((series) => ({
              id: series.name,
              head: name(series.name),
              right: true,
              cell: (row: { place: number }) => read(series.values[row.place], format),
            })),
          ]}
        />
      ) : (
        <Canvas
          times={chart.times}
          series={shown}
          kind={kind}
          format={format}
          height={height}
          hover={setHover}
          zoom={zoom}
          language={language}
        />
      )}
    </figure>
  );
}

const read = (value: number | null | undefined, format: (value: number) => string) =>
  value === null || value === undefined ? "–" : format(value);

type CanvasProps = {
  times: number[];
  series: { name: string; values: (number | null)[]; at: number }[];
  kind: "bars" | "lines";
  format: (value: number) => string;
  height: number;
  hover: (at: number | null) => void;
  zoom?: (since: number, until: number) => void;
  language: string;
};

/** Moments of an axis: the time of day, and the date where a day begins. */
/** What is counted has no halves: between two numbers stands none. */
const tick = (value: number, format: Props["format"]) =>
  format === count && !Number.isInteger(value) ? "" : format(value);

function moments(splits: number[], language: string): string[] {
  const days = splits.length > 1 && (splits[1] ?? 0) - (splits[0] ?? 0) >= 86_000;
  return splits.map((seconds, at) => {
    const moment = new Date(seconds * 1000);
    const date = moment.toLocaleDateString(language, { month: "short", day: "numeric" });
    if (days) return date;
    const time = moment.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    return at === 0 || time === "00:00" ? `${time}\n${date}` : time;
  });
}

/** uPlot on a canvas. It is made anew for another shape or theme, and follows the width. */
function Canvas({ times, series, kind, format, height, hover, zoom, language }: CanvasProps) {
  const box = useRef<HTMLDivElement>(null);
  const theme = useShownTheme();
  const calls = useRef({ hover, zoom, format });
  useEffect(() => {
    calls.current = { hover, zoom, format };
  });
  const shape = JSON.stringify([times, series]);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const [xs, rows] = JSON.parse(shape) as [number[], CanvasProps["series"]];
    const style = getComputedStyle(document.documentElement);
    const paint = (name: string) => style.getPropertyValue(name).trim();
    const bars = kind === "bars";
    // The tallest is drawn first, so that the others stand before it.
    const drawn = bars
      ? stack(rows)
          .map((row, at) => ({ ...row, at: rows[at]?.at ?? 0 }))
          .toReversed()
      : rows;
    const axis = {
      stroke: paint("--muted"),
      grid: { stroke: paint("--line"), width: 1 },
      ticks: { show: false },
      font: "11px ui-sans-serif, system-ui, sans-serif",
    };
    const plot = new uPlot(
      {
        width: element.clientWidth,
        height,
        legend: { show: false },
        cursor: { points: { show: !bars }, drag: { x: true, y: false, setScale: false }, y: false },
        scales: { x: { time: true }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] } },
        axes: [
          { ...axis, grid: { show: false }, space: 70, size: 28, values: (_, splits) => moments(splits, language) },
          { ...axis, size: 64, values: (_, values) => values.map((value) => tick(value, calls.current.format)) },
        ],
        series: [
          {},
          ...drawn.map((row) => {
            const ink = paint(`--series-${(row.at % COLOURS) + 1}`);
            return bars
              ? {
                  stroke: ink,
                  fill: ink,
                  width: 0,
                  points: { show: false },
                  paths: uPlot.paths.bars?.({ size: [0.82, 48], radius: 0.08 }),
                }
              : { stroke: ink, width: 1.75, spanGaps: false, points: { size: 5, fill: ink } };
          }),
        ],
        hooks: {
          setCursor: [(plot) => calls.current.hover(plot.cursor.idx ?? null)],
          setSelect: [
            (plot) => {
              const { left, width } = plot.select;
              if (width < 12) return;
              const moment = (x: number) => Math.round(plot.posToVal(x, "x") * 1000);
              plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
              calls.current.zoom?.(moment(left), moment(left + width));
            },
          ],
        },
      },
      [xs.map((time) => time / 1000), ...drawn.map((row) => row.values)],
      element,
    );
    const watch = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      plot.destroy();
    };
  }, [shape, kind, height, theme, language]);
  return <div ref={box} aria-hidden className="min-w-0 overflow-hidden" style={{ height }} />;
}
