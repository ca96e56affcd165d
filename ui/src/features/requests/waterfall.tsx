import clsx from "clsx";
import { Badge } from "@/components/ui/badge";
import { useT } from "@/i18n";
import type { RequestRecord } from "@/api/live";
import { duration } from "@/lib/format";
import { type Bar, timeline } from "./timeline";

const FILLS = { neutral: "bg-muted", accent: "bg-accent", good: "bg-good", warn: "bg-warn", bad: "bg-bad" };

/** What happened when: every attempt on one axis. The list below each bar says the same in words. */
export function Waterfall({ record }: { record: RequestRecord }) {
  const t = useT();
  const { bars, firstToken, ticks } = timeline(record);
  return (
    <div className="relative">
      <div className="relative mb-1 h-4 text-2xs text-muted" aria-hidden>
        {ticks.map((tick) => (
          <span key={tick.us} className="absolute border-l border-line pl-1" style={{ left: `${tick.at}%` }}>
            {duration(tick.us)}
          </span>
        ))}
      </div>
      <ol className="space-y-3">
        {bars.map((bar, at) => (
          // The same deployment can be tried twice: only the position tells attempts apart.
          // oxlint-disable-next-line react/no-array-index-key
          <Attempt key={at} bar={bar} at={at} />
        ))}
      </ol>
      {firstToken !== undefined && (
        <div
          aria-hidden
          className="pointer-events-none absolute inset-y-0 top-4 border-l border-dashed border-accent"
          style={{ left: `${firstToken}%` }}
        />
      )}
      <p className="mt-3 flex flex-wrap gap-x-4 gap-y-1 text-xs text-muted">
        {record.first_token_us ? (
          <span>{t("inspect.firstToken", { time: duration(record.first_token_us) })}</span>
        ) : null}
        <span>{t("inspect.total", { time: duration(record.duration_us ?? 0) })}</span>
        {record.overhead_us ? <span>{t("inspect.own", { time: duration(record.overhead_us) })}</span> : null}
      </p>
    </div>
  );
}

function Attempt({ bar, at }: { bar: Bar; at: number }) {
  const t = useT();
  const { attempt } = bar;
  if (!attempt) return null;
  return (
    <li>
      <div className="relative h-3.5 rounded bg-sunken" aria-hidden>
        {bar.spans.map((span) => (
          <span
            key={span.kind}
            className={clsx(
              "absolute inset-y-0 min-w-0.5 rounded",
              FILLS[bar.tone],
              span.kind === "waiting" && "opacity-45",
            )}
            style={{ left: `${span.from}%`, width: `${span.to - span.from}%` }}
          />
        ))}
      </div>
      <div className="mt-1 flex flex-wrap items-center gap-x-2 gap-y-1 text-xs">
        <span className="text-muted">{at + 1}.</span>
        <span className="font-medium">
          {attempt.channel}/{attempt.upstream_model}
        </span>
        <Badge tone={bar.tone}>
          {t(`outcome.${attempt.outcome ?? "failed"}`)} {attempt.status ?? ""}
        </Badge>
        {attempt.hedged && <Badge>{t("inspect.hedged")}</Badge>}
        {attempt.resumed && <Badge>{t("inspect.resumed")}</Badge>}
        {attempt.raced && <Badge>{t("inspect.raced")}</Badge>}
        <span className="text-muted">
          {duration(bar.length)}
          {attempt.first_byte_us ? ` · ${t("inspect.firstByte", { time: duration(attempt.first_byte_us) })}` : ""}
          {(attempt.credential ?? 0) > 0 ? ` · ${t("inspect.credential", { n: (attempt.credential ?? 0) + 1 })}` : ""}
        </span>
        {attempt.reason && <span className="text-muted">{attempt.reason}</span>}
      </div>
      {attempt.error && <p className="mt-0.5 text-xs break-words text-bad">{attempt.error}</p>}
    </li>
  );
}
