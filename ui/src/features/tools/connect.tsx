import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useId, useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange } from "@/api/queries";
import { Button } from "@/components/ui/button";
import { CopyButton } from "@/components/ui/copy";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input, Select } from "@/components/ui/field";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { WordsInput } from "@/components/ui/words-input";
import { useT, useTold } from "@/i18n";
import { Changes } from "./changes";
import { type Ask, askOf, pinnedBy, runCommand, type Tool, type ToolList } from "./shape";

/** How long a field must rest before the files are looked at again. */
const REST_MS = 350;

function useRested<T>(value: T): T {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), REST_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return rested;
}

function usePreview(id: string, ask: Ask, on: boolean) {
  const path = { tool: id };
  return useQuery({
    queryKey: ["tool-preview", id, ask],
    queryFn: ({ signal }) => answer(api.POST("/api/v1/tools/{tool}/preview", { params: { path }, body: ask, signal })),
    // What is confirmed is what lies on the disk now.
    staleTime: 0,
    gcTime: 0,
    retry: false,
    enabled: on,
    placeholderData: keepPreviousData,
  });
}

type Fields = { model: string; models: string[]; profile: string; base: string };

/** Choices, the change that they make in each file, and only then the writing. */
export function Connect(props: { tool: Tool; list: ToolList; repair: boolean; close: () => void }) {
  const { tool, list, repair, close } = props;
  const t = useT();
  const [fields, setFields] = useState<Fields>({
    model: tool.model ?? "",
    models: [],
    profile: pinnedBy(tool.base) ?? "",
    base: "",
  });
  const words = useRested(JSON.stringify(askOf(fields)));
  const ask = JSON.parse(words) as Ask;
  const settled = words === JSON.stringify(askOf(fields));
  const path = { params: { path: { tool: tool.id } } };
  const write = useChange(
    () =>
      answer(
        repair
          ? api.POST("/api/v1/tools/{tool}/repair", path)
          : api.POST("/api/v1/tools/{tool}/connect", { ...path, body: ask }),
      ),
    { inPlace: true },
  );
  const preview = usePreview(tool.id, ask, !write.isSuccess);
  const ready = settled && preview.isSuccess && !preview.isPlaceholderData;
  // A key that was withdrawn is made anew also where no other value changes.
  const needed = preview.data?.changed || repair || !tool.key;
  return (
    <Dialog
      open
      wide
      firm
      onClose={close}
      title={repair ? t("tools.repairOne", { name: tool.name }) : t("tools.connectOne", { name: tool.name })}
      hint={repair ? t("connect.repairHint") : t("connect.hint")}
      footer={
        write.isSuccess ? (
          <Button look="primary" onClick={close}>
            {t("done")}
          </Button>
        ) : (
          <>
            <Button onClick={close}>{t("cancel")}</Button>
            <Button
              look="primary"
              disabled={!ready || !needed}
              busy={write.isPending}
              onClick={() => write.mutate(undefined)}
            >
              {t("connect.write")}
            </Button>
          </>
        )
      }
    >
      {write.data ? (
        <Written tool={tool} done={write.data} repair={repair} />
      ) : (
        <div className="space-y-4">
          {!repair && <Choices tool={tool} list={list} fields={fields} put={setFields} />}
          <section aria-label={t("connect.preview")} className="space-y-2">
            <h3 className="text-xs font-medium">{t("connect.preview")}</h3>
            {preview.isPending && (
              <div role="status" className="space-y-2 text-xs text-muted">
                {t("connect.looking")}
                <Skeleton className="h-24 w-full" />
              </div>
            )}
            {preview.isError && <Failure error={preview.error} retry={() => void preview.refetch()} />}
            {preview.data && !preview.isError && <Changes plan={preview.data} />}
          </section>
          {write.isError && <Failure error={write.error} />}
        </div>
      )}
    </Dialog>
  );
}

type ChoicesProps = { tool: Tool; list: ToolList; fields: Fields; put: (fields: Fields) => void };

function Choices({ tool, list, fields, put }: ChoicesProps) {
  const t = useT();
  const offers = useId();
  const hint = tool.models === "own" ? t("connect.ownHint") : t("connect.oneHint");
  return (
    <div className="space-y-4">
      <Field label={t("connect.model")} optional={t("optional")} hint={hint}>
        <Input
          list={offers}
          placeholder={tool.models === "own" ? t("connect.own") : list.models[0]}
          value={fields.model}
          onChange={(event) => put({ ...fields, model: event.target.value })}
        />
      </Field>
      <datalist id={offers}>
        {list.models.map((model) => (
          <option key={model} value={model} />
        ))}
      </datalist>
      {tool.models === "all" && (
        <WordsInput
          label={t("connect.models")}
          optional={t("optional")}
          hint={t("connect.modelsHint", { n: list.models.length })}
          offers={list.models}
          values={fields.models}
          onChange={(models) => put({ ...fields, models })}
        />
      )}
      <details className="rounded-lg border border-line p-3" open={Boolean(fields.profile)}>
        <summary className="text-sm font-medium">{t("connect.advanced")}</summary>
        <div className="mt-3 grid gap-4 sm:grid-cols-2">
          <Field label={t("connect.pin")} hint={t("connect.pinHint")}>
            <Select value={fields.profile} onChange={(event) => put({ ...fields, profile: event.target.value })}>
              <option value="">{t("connect.pinNone")}</option>
              <option value="direct">direct</option>
              {list.profiles.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </Select>
          </Field>
          <Field label={t("connect.base")} hint={t("connect.baseHint", { base: list.base })}>
            <Input
              type="url"
              mono
              placeholder={list.base}
              value={fields.base}
              onChange={(event) => put({ ...fields, base: event.target.value })}
            />
          </Field>
        </div>
      </details>
    </div>
  );
}

function Written({ tool, done, repair }: { tool: Tool; done: Api<"Connected">; repair: boolean }) {
  const t = useT();
  const told = useTold();
  const name = tool.name;
  const command = runCommand(tool.id);
  return (
    <div className="space-y-3">
      <Notice tone="good" title={repair ? t("connect.repaired", { name }) : t("connect.done", { name })}>
        {t("connect.seen", { effect: told(`effect/${tool.id}`, done.effect) })}
      </Notice>
      <Changes plan={{ ...done, changed: true }} />
      {tool.can_run && (
        <p className="flex flex-wrap items-center gap-2 text-xs text-muted">
          {t("tools.run")}: <code className="font-mono">{command}</code>
          <CopyButton text={command} />
        </p>
      )}
    </div>
  );
}
