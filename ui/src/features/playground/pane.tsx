import { Link } from "@tanstack/react-router";
import clsx from "clsx";
import { ScrollText, Wrench } from "lucide-react";
import { useEffect, useId, useRef, useState } from "react";
import { Badge } from "@/components/ui/badge";
import { Code } from "@/components/ui/code";
import { Notice } from "@/components/ui/notice";
import { Spinner } from "@/components/ui/spinner";
import { Segmented } from "@/components/ui/tabs";
import { useT } from "@/i18n";
import { duration, exact } from "@/lib/format";
import type { Side } from "./page";

type View = "answer" | "events" | "sent" | "headers";
type Props = { model: string; models: string[]; side: Side; busy: boolean; choose: (model: string) => void };

/** One model's side of the conversation. Everything is shown as text. */
export function Pane({ model, models, side, busy, choose }: Props) {
  const t = useT();
  const list = useId();
  const [view, setView] = useState<View>("answer");
  /** The letters as they are typed, the last ones perhaps deleted; the model is the last that was a name. */
  const [typed, setTyped] = useState<string>();
  const { run } = side;
  const views = [
    { id: "answer", label: t("play.answer") },
    { id: "events", label: t("play.events") },
    { id: "sent", label: t("play.sent") },
    { id: "headers", label: t("play.headers") },
  ] as const;
  return (
    <section aria-label={model} className="flex min-h-60 min-w-0 flex-col rounded-xl border border-line bg-surface">
      <header className="flex flex-wrap items-center gap-2 border-b border-line p-2">
        <input
          aria-label={t("requests.model")}
          list={list}
          value={typed ?? model}
          onFocus={(event) => event.target.select()}
          onChange={(event) => {
            setTyped(event.target.value);
            if (event.target.value.trim()) choose(event.target.value.trim());
          }}
          onBlur={() => setTyped(undefined)}
          className="h-8 min-w-0 flex-1 rounded-lg bg-sunken px-2.5 text-sm font-medium"
        />
        <datalist id={list}>
          {models.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <Segmented label={t("play.view")} choices={views} value={view} onChange={setView} />
      </header>
      <div className="min-h-0 flex-1 overflow-y-auto p-3">
        {view === "answer" && <Conversation side={side} busy={busy} />}
        {view === "events" && (
          <Code
            text={
              run?.events
                .map((event) => `${event.name ? `event: ${event.name}\n` : ""}data: ${event.data}`)
                .join("\n\n") ?? ""
            }
            label={t("play.events")}
            wrap
          />
        )}
        {view === "sent" && <Code text={run?.sent ?? ""} label={t("play.sent")} />}
        {view === "headers" && (
          <Code
            text={run?.headers.map(([name, value]) => `${name}: ${value}`).join("\n") ?? ""}
            label={t("play.headers")}
          />
        )}
      </div>
      {run && <Footer side={side} />}
    </section>
  );
}

function Conversation({ side, busy }: { side: Side; busy: boolean }) {
  const t = useT();
  const { turns, run, error } = side;
  const end = useRef<HTMLDivElement>(null);
  // Once an answer is whole it stands among the turns.
  const whole = turns.at(-1)?.role === "assistant";
  const answer = run?.answer;
  useEffect(() => {
    end.current?.scrollIntoView({ block: "nearest" });
  }, [answer?.text, answer?.thinking, turns.length]);
  if (turns.length === 0) return <p className="py-8 text-center text-sm text-muted">{t("play.empty")}</p>;
  return (
    <div className="space-y-3 text-sm" aria-live="polite" aria-busy={busy}>
      {turns.map((turn, at) => (
        // Turns are only ever added at the end.
        // oxlint-disable-next-line react/no-array-index-key
        <Bubble key={at} mine={turn.role === "user"} text={turn.text} />
      ))}
      {answer?.thinking && (
        <details className="rounded-lg border border-line px-3 py-2 text-xs text-muted">
          <summary>{t("play.thinking")}</summary>
          <p className="mt-1 break-words whitespace-pre-wrap">{answer.thinking}</p>
        </details>
      )}
      {!whole && answer?.text && <Bubble mine={false} text={answer.text} />}
      {Object.entries(answer?.tools ?? {}).map(([at, call]) => (
        <div key={at} className="rounded-lg border border-line p-2.5">
          <p className="flex items-center gap-1.5 text-xs font-medium">
            <Wrench aria-hidden className="size-3.5 text-muted" /> {call.name}
          </p>
          <pre className="mt-1 overflow-x-auto font-mono text-xs whitespace-pre-wrap">{call.input}</pre>
        </div>
      ))}
      {(answer?.error ?? error) && <Notice tone="bad" title={answer?.error ?? error} />}
      {busy && !whole && !answer?.text && !answer?.error && !error && (
        <p className="flex items-center gap-2 text-xs text-muted">
          <Spinner /> {t("play.waiting")}
        </p>
      )}
      <div ref={end} />
    </div>
  );
}

function Bubble({ mine, text }: { mine: boolean; text: string }) {
  return (
    <p
      className={clsx(
        "w-fit max-w-[92%] rounded-xl px-3 py-2 break-words whitespace-pre-wrap",
        mine ? "ml-auto bg-accent-soft" : "bg-sunken",
      )}
    >
      {text}
    </p>
  );
}

function Footer({ side }: { side: Side }) {
  const t = useT();
  const { run } = side;
  if (!run) return null;
  const header = (name: string) => run.headers.find(([found]) => found === name)?.[1];
  const target = [header("x-myelin-channel"), header("x-myelin-model")].filter(Boolean).join("/");
  return (
    <footer className="flex flex-wrap items-center gap-x-3 gap-y-1 border-t border-line px-3 py-2 text-xs text-muted">
      {run.status !== undefined && <Badge tone={run.status < 400 ? "good" : "bad"}>{run.status}</Badge>}
      {target && <span className="truncate">→ {target}</span>}
      {run.firstToken !== undefined && (
        <span>{t("inspect.firstToken", { time: duration(run.firstToken * 1000) })}</span>
      )}
      {run.total !== undefined && <span>{t("inspect.total", { time: duration(run.total * 1000) })}</span>}
      {run.answer.output !== undefined && (
        <span>{t("tokens.title", { input: exact(run.answer.input ?? 0), output: exact(run.answer.output) })}</span>
      )}
      {run.answer.finish && <span>{run.answer.finish}</span>}
      {run.requestId && (
        <Link
          to="/requests"
          search={{ open: run.requestId }}
          className="ml-auto inline-flex items-center gap-1 text-accent hover:underline"
        >
          <ScrollText aria-hidden className="size-3.5" /> {t("play.inspect")}
        </Link>
      )}
    </footer>
  );
}
