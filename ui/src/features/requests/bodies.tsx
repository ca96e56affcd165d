import { useQuery } from "@tanstack/react-query";
import clsx from "clsx";
import { FileX, Wrench } from "lucide-react";
import { useMemo, useState } from "react";
import { type Api, answer, api } from "@/api/client";
import type { RequestRecord } from "@/api/live";
import { Badge } from "@/components/ui/badge";
import { Code } from "@/components/ui/code";
import { Empty } from "@/components/ui/empty";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { Segmented } from "@/components/ui/tabs";
import { eventReader } from "@/features/playground/events";
import { useT } from "@/i18n";
import { bytes } from "@/lib/format";
import { conversation, type Part } from "./conversation";
import { diff, folded, pretty } from "./diff";

type Body = Api<"BodyView">;

/** Text of a body that is laid out on the page; the rest is behind the download of the record's own bytes. */
const MOST_SHOWN = 400_000;

export function useBodies(id: string, on: boolean) {
  return useQuery({
    queryKey: ["bodies", id],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/requests/{id}/bodies", { params: { path: { id } }, signal })),
    enabled: on,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  });
}

type View = "talk" | "bodies";

/** What was said, or the bodies as they were. Nothing of it is ever markup. */
export function Bodies({ record, view }: { record: RequestRecord; view: View }) {
  const t = useT();
  const found = useBodies(record.id ?? "", true);
  if (found.isError) return <Failure error={found.error} retry={() => void found.refetch()} />;
  if (!found.data) return <Skeleton className="h-40 w-full" />;
  if (found.data.bodies.length === 0) {
    return (
      <Empty icon={<FileX />} title={t("bodies.none")}>
        {t("bodies.noneHint")}
      </Empty>
    );
  }
  return view === "talk" ? (
    <Talk bodies={found.data.bodies} said={found.data.answer_text ?? undefined} />
  ) : (
    <Sides bodies={found.data.bodies} stream={record.stream ?? false} />
  );
}

function Talk({ bodies, said }: { bodies: Body[]; said?: string }) {
  const t = useT();
  const received = bodies.find((body) => body.kind === "received");
  const turns = useMemo(() => received && conversation(received.text), [received]);
  return (
    <ol className="space-y-3 text-sm">
      {!turns && <Notice>{t("bodies.noTalk")}</Notice>}
      {turns?.map((turn, at) => (
        // Turns have no name but their place.
        // oxlint-disable-next-line react/no-array-index-key
        <li key={at} className="rounded-xl border border-line p-3">
          <Badge tone={turn.role === "user" ? "accent" : "neutral"}>{turn.role}</Badge>
          <div className="mt-2 space-y-2">
            {turn.parts.map((part, place) => (
              // oxlint-disable-next-line react/no-array-index-key
              <OnePart key={place} part={part} />
            ))}
          </div>
        </li>
      ))}
      {said && (
        <li className="rounded-xl border border-accent/40 bg-accent-soft/40 p-3">
          <Badge tone="good">{t("bodies.answer")}</Badge>
          <p className="mt-2 break-words whitespace-pre-wrap">{said}</p>
        </li>
      )}
    </ol>
  );
}

function OnePart({ part }: { part: Part }) {
  const t = useT();
  if (part.kind === "text") return <p className="break-words whitespace-pre-wrap">{cut(part.text)}</p>;
  if (part.kind === "media") return <Badge>{part.text}</Badge>;
  const title =
    part.kind === "call"
      ? part.name || t("bodies.call")
      : part.kind === "result"
        ? t("bodies.result")
        : t("play.thinking");
  return (
    <details className="rounded-lg bg-sunken px-3 py-2">
      <summary className="text-xs font-medium">
        {part.kind === "call" && <Wrench aria-hidden className="mr-1 inline size-3.5 text-muted" />}
        {title}
      </summary>
      <pre className="mt-2 overflow-x-auto font-mono text-xs break-words whitespace-pre-wrap">{cut(part.text)}</pre>
    </details>
  );
}

const cut = (text: string) => (text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text);

function Sides({ bodies, stream }: { bodies: Body[]; stream: boolean }) {
  const t = useT();
  const [at, setAt] = useState(0);
  const [mode, setMode] = useState<"text" | "diff" | "events">("text");
  const body = bodies[Math.min(at, bodies.length - 1)];
  const received = bodies.find((other) => other.kind === "received");
  if (!body) return null;
  const answered = body.kind === "answer" || body.kind === "upstream";
  const modes = [
    { id: "text", label: t("bodies.text") },
    ...(body.kind === "sent" && received ? [{ id: "diff", label: t("bodies.diff") } as const] : []),
    ...(answered && stream ? [{ id: "events", label: t("play.events") } as const] : []),
  ] as const;
  const chosen = modes.some((choice) => choice.id === mode) ? mode : "text";
  return (
    <div className="space-y-3">
      <div className="flex flex-wrap items-center gap-2">
        <Segmented
          label={t("bodies.which")}
          choices={bodies.map((other, place) => ({
            id: String(place),
            label: `${t(`bodies.${other.kind}`)}${other.attempt === null || other.attempt === undefined ? "" : ` ${other.attempt + 1}`}`,
          }))}
          value={String(at)}
          onChange={(place) => setAt(Number(place))}
        />
        {modes.length > 1 && <Segmented label={t("play.view")} choices={modes} value={chosen} onChange={setMode} />}
        <span className="ml-auto text-xs text-muted">{bytes(body.size)}</span>
      </div>
      {body.size > new Blob([body.text]).size && <Notice tone="warn">{t("bodies.cut")}</Notice>}
      {chosen === "diff" && received ? (
        <Diff before={received.text} after={body.text} />
      ) : chosen === "events" ? (
        <Events text={body.text} />
      ) : (
        <Code text={cut(pretty(body.text))} wrap label={t(`bodies.${body.kind}`)} />
      )}
    </div>
  );
}

/** One text beside another, line by line. */
export function Diff({ before, after }: { before: string; after: string }) {
  const t = useT();
  const lines = useMemo(() => folded(diff(pretty(before), pretty(after))), [before, after]);
  if (lines.every((line) => line.kind === "fold")) return <Notice tone="good">{t("bodies.same")}</Notice>;
  return (
    <pre
      tabIndex={0}
      aria-label={t("bodies.diff")}
      className="max-h-[60vh] overflow-auto rounded-lg border border-line bg-sunken py-2 font-mono text-xs"
    >
      {lines.map((line, at) =>
        line.kind === "fold" ? (
          // oxlint-disable-next-line react/no-array-index-key
          <span key={at} className="block px-3 text-muted">
            ⋯ {t("bodies.fold", { n: line.count })}
          </span>
        ) : (
          <span
            // oxlint-disable-next-line react/no-array-index-key
            key={at}
            className={clsx(
              "block px-3 break-words whitespace-pre-wrap",
              line.kind === "gone" && "bg-bad-soft text-bad",
              line.kind === "new" && "bg-good-soft text-good",
            )}
          >
            {{ gone: "− ", new: "+ ", same: "  " }[line.kind]}
            {line.text.slice(0, 20_000)}
          </span>
        ),
      )}
    </pre>
  );
}

const MOST_EVENTS = 2_000;

function Events({ text }: { text: string }) {
  const t = useT();
  const events = useMemo(() => {
    const reader = eventReader(text.trimStart().startsWith("{"));
    return [...reader.push(text), ...reader.end()];
  }, [text]);
  return (
    <ol
      aria-label={t("play.events")}
      className="max-h-[60vh] divide-y divide-line overflow-auto rounded-lg border border-line"
      tabIndex={0}
    >
      {events.slice(0, MOST_EVENTS).map((event, at) => (
        // oxlint-disable-next-line react/no-array-index-key
        <li key={at} className="flex gap-3 px-3 py-1.5 font-mono text-xs">
          <span className="w-8 shrink-0 text-right text-muted">{at + 1}</span>
          {event.name && <span className="shrink-0 text-accent">{event.name}</span>}
          <span className="min-w-0 break-all">{event.data.slice(0, 4_000)}</span>
        </li>
      ))}
    </ol>
  );
}
