import { useQuery } from "@tanstack/react-query";
import { FlaskConical } from "lucide-react";
import { useId, useRef, useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useKeys, useModels, useProfiles } from "@/api/queries";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Check, Field, Input, Select } from "@/components/ui/field";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { type Run, run } from "@/features/playground/run";
import { useSaid, useT } from "@/i18n";
import { duration } from "@/lib/format";
import { FORMATS, TOOLS } from "@/lib/known";
import { reasonIn } from "@/lib/reason";

type Supposed = {
  model: string;
  profile: string;
  key: string;
  tool: string;
  format: string;
  tokens: string;
  images: boolean;
  thinking: boolean;
};

const NOTHING: Supposed = {
  model: "",
  profile: "",
  key: "",
  tool: "",
  format: "",
  tokens: "",
  images: false,
  thinking: false,
};

/** Type a model, see the exact way of a request; nothing is sent. A test sends one small request the same way. */
export function Explain() {
  const t = useT();
  const list = useId();
  const profiles = useProfiles();
  const models = useModels();
  const keys = useKeys();
  const [supposed, setSupposed] = useState<Supposed>(NOTHING);
  const put = (fields: Partial<Supposed>) => setSupposed({ ...supposed, ...fields });
  const model = supposed.model.trim();
  const query = {
    model,
    profile: supposed.profile || undefined,
    key: supposed.key || undefined,
    tool: supposed.tool.trim() || undefined,
    format: supposed.format || undefined,
    tokens: supposed.tokens ? Number(supposed.tokens) : undefined,
    images: supposed.images,
    thinking: supposed.thinking,
    stream: true,
  };
  const found = useQuery({
    queryKey: ["explain", query],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/explain", { params: { query }, signal })),
    enabled: model !== "",
    retry: false,
  });
  return (
    <Card title={t("explain.title")} hint={t("explain.hint")}>
      <div className="grid gap-3 sm:grid-cols-2 lg:grid-cols-4">
        <Field label={t("explain.model")}>
          <Input
            mono
            list={list}
            placeholder="claude-sonnet-4-5"
            value={supposed.model}
            onChange={(event) => put({ model: event.target.value })}
          />
        </Field>
        <datalist id={list}>
          {models.data?.models.map((row) => (
            <option key={row.name} value={row.name} />
          ))}
        </datalist>
        <Field label={t("inspect.profile")}>
          <Select value={supposed.profile} onChange={(event) => put({ profile: event.target.value })}>
            <option value="">{t("explain.whatever")}</option>
            <option value="direct">direct</option>
            {profiles.data?.profiles.map((row) => (
              <option key={row.name}>{row.name}</option>
            ))}
          </Select>
        </Field>
        <Field label={t("requests.key")}>
          <Select value={supposed.key} onChange={(event) => put({ key: event.target.value })}>
            <option value="">{t("explain.anyKey")}</option>
            {keys.data?.keys.map((key) => (
              <option key={key.id} value={key.name}>
                {key.name}
              </option>
            ))}
          </Select>
        </Field>
        <Field label={t("inspect.tool")}>
          <Input list={`${list}-tools`} value={supposed.tool} onChange={(event) => put({ tool: event.target.value })} />
        </Field>
        <datalist id={`${list}-tools`}>
          {TOOLS.map((tool) => (
            <option key={tool} value={tool} />
          ))}
        </datalist>
      </div>
      <details className="mt-3">
        <summary className="text-xs text-muted">{t("explain.more")}</summary>
        <div className="mt-2 flex flex-wrap items-end gap-4">
          <Field label={t("inspect.format")} className="w-48">
            <Select value={supposed.format} onChange={(event) => put({ format: event.target.value })}>
              <option value="">openai-chat</option>
              {FORMATS.map((format) => (
                <option key={format}>{format}</option>
              ))}
            </Select>
          </Field>
          <Field label={t("explain.tokens")} className="w-40">
            <Input
              type="number"
              min={0}
              value={supposed.tokens}
              onChange={(event) => put({ tokens: event.target.value })}
            />
          </Field>
          <Check on={supposed.images} label={t("explain.images")} onChange={(images) => put({ images })} />
          <Check on={supposed.thinking} label={t("explain.thinking")} onChange={(thinking) => put({ thinking })} />
        </div>
      </details>
      <div className="mt-4 space-y-4" aria-live="polite">
        {found.isError && <Failure error={found.error} />}
        {found.isLoading && <Skeleton className="h-24 w-full" />}
        {found.data && model && <Explained explanation={found.data} profile={supposed.profile} />}
      </div>
    </Card>
  );
}

function Explained({ explanation, profile }: { explanation: Api<"Explanation">; profile: string }) {
  const t = useT();
  const said = useSaid();
  const { plan, left_out: out, rules, targets, route, refused } = explanation;
  return (
    <>
      <ol className="list-inside list-decimal space-y-1.5 text-sm">
        <li>
          {t("decision.profile", { profile: explanation.profile })}{" "}
          <span className="text-muted">({t(`explain.from.${explanation.profile_from}` as "explain.from.key")})</span>
        </li>
        {rules.map((rule, at) => (
          // The same rule can stand twice.
          // oxlint-disable-next-line react/no-array-index-key
          <li key={at} className={rule.fired ? "" : "text-muted"}>
            {rule.fired ? t("decision.rule", { rule: rule.rule }) : `${rule.rule}: ${rule.why ? said(rule.why) : ""}`}
          </li>
        ))}
        {rules.every((rule) => !rule.fired) && <li>{t("decision.noRule")}</li>}
        <li>{t("explain.targets", { targets: targets.join(", ") })}</li>
        {route && <li>{t("decision.route", { route })}</li>}
        {explanation.echo && <li>{t("explain.echo")}</li>}
      </ol>
      {refused && <Notice tone="bad" title={said(refused)} />}
      {plan.length > 0 && (
        <Table
          dense
          label={t("decision.plan")}
          rows={plan.map((step, at) => ({ ...step, at }))}
          id={(step) => String(step.at)}
          columns={[
            { id: "at", head: "#", cell: (step) => step.at + 1 },
            {
              id: "target",
              head: t("decision.deployment"),
              cell: (step) => (
                <span className="font-medium">
                  {step.channel}/{step.model}
                </span>
              ),
            },
            { id: "group", head: t("decision.group"), cell: (step) => step.group + 1 },
            { id: "strategy", head: t("routes.strategy"), cell: (step) => step.strategy },
            {
              id: "why",
              head: t("decision.why"),
              cell: (step) => (
                <span className="flex flex-wrap items-center gap-1.5">
                  {reasonIn(t, step)}
                  {step.benched_until ? <Badge tone="warn">{t("explain.benched")}</Badge> : null}
                </span>
              ),
            },
          ]}
        />
      )}
      {out.length > 0 && (
        <details>
          <summary className="text-sm text-muted">{t("explain.out", { n: out.length })}</summary>
          <ul className="mt-1 space-y-0.5 text-xs">
            {out.map((row) => (
              <li key={`${row.channel}/${row.model}`}>
                <span className="font-medium">
                  {row.channel}/{row.model}
                </span>
                : {row.reason ? t(`omitted.${row.reason}`) : row.why}
              </li>
            ))}
          </ul>
        </details>
      )}
      {!refused && <Test key={`${explanation.model} ${profile}`} model={explanation.model} profile={profile} />}
    </>
  );
}

/** A tiny streamed request the same way. */
function Test({ model, profile }: { model: string; profile: string }) {
  const t = useT();
  const [busy, setBusy] = useState(false);
  const [state, setState] = useState<Run>();
  const [error, setError] = useState<unknown>();
  const stop = useRef<AbortController>(undefined);
  const start = async () => {
    stop.current = new AbortController();
    setBusy(true);
    setError(undefined);
    try {
      const turns = [{ role: "user" as const, text: "Say hello in one word." }];
      const ask = { format: "openai-chat" as const, model, turns, stream: true, maxTokens: 256 };
      await run(ask, profile, stop.current.signal, setState);
    } catch (trouble) {
      setError(trouble);
    } finally {
      setBusy(false);
    }
  };
  const header = (name: string) => state?.headers.find(([found]) => found === name)?.[1];
  return (
    <div className="flex flex-wrap items-center gap-3 text-sm">
      <Button small icon={<FlaskConical className="size-3.5" />} busy={busy} onClick={() => void start()}>
        {t("explain.test")}
      </Button>
      {error !== undefined && <Failure error={error} />}
      {state?.status !== undefined && (
        <>
          <Badge tone={state.status < 400 && !state.answer.error ? "good" : "bad"}>{state.status}</Badge>
          {header("x-myelin-channel") && (
            <span>
              → {header("x-myelin-channel")}/{header("x-myelin-model")}
            </span>
          )}
          {state.firstToken !== undefined && (
            <span>{t("inspect.firstToken", { time: duration(state.firstToken * 1000) })}</span>
          )}
          <span className="min-w-0 truncate text-muted">{state.answer.error ?? state.answer.text}</span>
        </>
      )}
    </div>
  );
}
