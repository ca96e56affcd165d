import { useNavigate, useSearch } from "@tanstack/react-router";
import { Columns2, Eraser, Send, Square } from "lucide-react";
import { useRef, useState } from "react";
import { wordsOf } from "@/api/client";
import { useModels, useProfiles } from "@/api/queries";
import { Button } from "@/components/ui/button";
import { Check, Field, Input, Select, TextArea } from "@/components/ui/field";
import { Page } from "@/components/ui/page";
import { useT } from "@/i18n";
import { type Ask, type Format, FORMATS, type Tool, type Turn } from "./formats";
import { Pane } from "./pane";
import { type Run, run } from "./run";

export type PlaygroundSearch = { model?: string; other?: string; format?: Format };

const EXAMPLE = `[
  {
    "name": "weather",
    "description": "The weather of a place",
    "parameters": {
      "type": "object",
      "properties": { "place": { "type": "string" } },
      "required": ["place"]
    }
  }
]`;

/** One side: what was asked and answered before, and how the present answer goes. */
export type Side = { turns: Turn[]; run?: Run; error?: string };

/** Any model in any format, one or two at a time. */
export function PlaygroundPage() {
  const t = useT();
  const navigate = useNavigate({ from: "/playground" });
  const search = useSearch({ from: "/playground" });
  // The address follows what is chosen a moment later; whoever sends at once means what is on the screen.
  const [wanted, setWanted] = useState({ over: search, value: search });
  const current = wanted.over === search ? wanted.value : search;
  const { model = "echo", other, format = "openai-chat" } = current;
  const models = useModels();
  const profiles = useProfiles();
  const [text, setText] = useState("");
  const [system, setSystem] = useState("");
  const [stream, setStream] = useState(true);
  const [temperature, setTemperature] = useState("");
  const [maxTokens, setMaxTokens] = useState("");
  const [tools, setTools] = useState("");
  const [extra, setExtra] = useState("");
  const [profile, setProfile] = useState("");
  const [sides, setSides] = useState<Side[]>([{ turns: [] }, { turns: [] }]);
  const [running, setRunning] = useState(0);
  const stop = useRef<AbortController>(undefined);

  const readTools = parsed<Tool[]>(tools, Array.isArray);
  const readExtra = parsed<Record<string, unknown>>(
    extra,
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  );
  const chosen = other === undefined ? [model] : [model, other];
  const change = (fields: PlaygroundSearch) => {
    const value = { ...current, ...fields };
    setWanted({ over: search, value });
    void navigate({ search: value, replace: true });
  };
  const put = (at: number, fields: (before: Side) => Partial<Side>) =>
    setSides((before) => before.map((side, place) => (place === at ? { ...side, ...fields(side) } : side)));

  const submit = async () => {
    if (!text.trim() || running > 0 || readTools === null || readExtra === null) return;
    const control = new AbortController();
    stop.current = control;
    setText("");
    const one = async (name: string, at: number) => {
      const turns: Turn[] = [...(sides[at]?.turns ?? []), { role: "user", text }];
      put(at, () => ({ turns, run: undefined, error: undefined }));
      const ask: Ask = {
        format,
        model: name,
        turns,
        system,
        stream,
        temperature: temperature === "" ? undefined : Number(temperature),
        maxTokens: maxTokens === "" ? undefined : Number(maxTokens),
        tools: readTools,
        extra: readExtra,
      };
      try {
        await run(ask, profile, control.signal, (run) => put(at, () => ({ run })));
      } catch (error) {
        if (!control.signal.aborted) put(at, () => ({ error: wordsOf(error) }));
      }
      put(at, ({ turns, run }) =>
        run?.answer.text ? { turns: [...turns, { role: "assistant", text: run.answer.text }] } : {},
      );
    };
    setRunning(chosen.length);
    await Promise.all(chosen.map((name, at) => one(name, at).finally(() => setRunning((left) => left - 1))));
  };

  const names = models.data?.models.map((row) => row.name) ?? [];
  return (
    <Page
      fill
      title={t("play.title")}
      hint={t("play.hint")}
      actions={
        <>
          <Button
            icon={<Columns2 className="size-4" />}
            aria-pressed={other !== undefined}
            onClick={() => change({ other: other === undefined ? model : undefined })}
          >
            {other === undefined ? t("play.compare") : t("play.single")}
          </Button>
          <Button
            icon={<Eraser className="size-4" />}
            disabled={running > 0}
            onClick={() => setSides([{ turns: [] }, { turns: [] }])}
          >
            {t("play.clear")}
          </Button>
        </>
      }
    >
      <div className="grid min-h-0 flex-1 gap-4 lg:grid-cols-[16rem_1fr]">
        <aside className="space-y-3 lg:overflow-y-auto lg:pr-1">
          <Field label={t("play.format")} hint={format === "dify" ? t("play.difyHint") : t("play.formatHint")}>
            <Select value={format} onChange={(event) => change({ format: event.target.value as Format })}>
              {FORMATS.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </Select>
          </Field>
          <Field label={t("inspect.profile")}>
            <Select value={profile} onChange={(event) => setProfile(event.target.value)}>
              <option value="">{t("keys.followsLong", { profile: profiles.data?.active ?? "" })}</option>
              <option value="direct">direct</option>
              {profiles.data?.profiles.map((row) => (
                <option key={row.name}>{row.name}</option>
              ))}
            </Select>
          </Field>
          <Check on={stream} onChange={setStream} label={t("play.stream")} />
          <details className="rounded-lg border border-line p-3">
            <summary className="text-sm font-medium">{t("play.more")}</summary>
            <div className="mt-3 space-y-3">
              <Field label={t("play.system")} optional={t("optional")}>
                <TextArea rows={3} value={system} onChange={(event) => setSystem(event.target.value)} />
              </Field>
              <div className="grid grid-cols-2 gap-3">
                <Field label={t("play.temperature")}>
                  <Input
                    type="number"
                    min={0}
                    max={2}
                    step={0.1}
                    value={temperature}
                    onChange={(event) => setTemperature(event.target.value)}
                  />
                </Field>
                <Field label={t("play.maxTokens")}>
                  <Input
                    type="number"
                    min={1}
                    value={maxTokens}
                    onChange={(event) => setMaxTokens(event.target.value)}
                  />
                </Field>
              </div>
              <Field
                label={t("play.tools")}
                optional={t("optional")}
                error={readTools === null && t("play.badTools")}
                hint={
                  <button type="button" className="text-accent hover:underline" onClick={() => setTools(EXAMPLE)}>
                    {t("play.example")}
                  </button>
                }
              >
                <TextArea mono rows={4} value={tools} onChange={(event) => setTools(event.target.value)} />
              </Field>
              <Field
                label={t("play.extra")}
                optional={t("optional")}
                hint={t("play.extraHint")}
                error={readExtra === null && t("profiles.badSet")}
              >
                <TextArea mono rows={2} value={extra} onChange={(event) => setExtra(event.target.value)} />
              </Field>
            </div>
          </details>
        </aside>
        <div className="flex min-h-80 min-w-0 flex-col gap-3">
          <div className={`grid min-h-0 flex-1 gap-3 ${chosen.length > 1 ? "md:grid-cols-2" : ""}`}>
            {chosen.map((name, at) => (
              <Pane
                // There are two places, and each keeps its conversation when its model changes.
                // oxlint-disable-next-line react/no-array-index-key
                key={at}
                model={name}
                models={names}
                side={sides[at] ?? { turns: [] }}
                busy={running > 0}
                choose={(next) => change(at === 0 ? { model: next } : { other: next })}
              />
            ))}
          </div>
          <form
            className="flex items-end gap-2"
            onSubmit={(event) => {
              event.preventDefault();
              void submit();
            }}
          >
            <TextArea
              rows={2}
              className="!min-h-16"
              aria-label={t("play.message")}
              placeholder={t("play.message")}
              value={text}
              onChange={(event) => setText(event.target.value)}
              onKeyDown={(event) => {
                if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
                event.preventDefault();
                void submit();
              }}
            />
            {running > 0 ? (
              <Button look="danger" icon={<Square className="size-4" />} onClick={() => stop.current?.abort()}>
                {t("play.stop")}
              </Button>
            ) : (
              <Button look="primary" type="submit" icon={<Send className="size-4" />} disabled={!text.trim()}>
                {t("play.send")}
              </Button>
            )}
          </form>
        </div>
      </div>
    </Page>
  );
}

/** JSON that a form holds: nothing, a value of the right kind, or `null` for something else. */
function parsed<T>(text: string, fits: (value: unknown) => boolean): T | undefined | null {
  if (!text.trim()) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return fits(value) ? (value as T) : null;
  } catch {
    return null;
  }
}
