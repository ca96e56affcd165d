import { useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange, useChannels, useKeys, useModels, useProfiles } from "@/api/queries";
import { Button } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Check, Field, Input, Select } from "@/components/ui/field";
import { Failure } from "@/components/ui/notice";
import { say } from "@/components/ui/toast";
import { WordsInput } from "@/components/ui/words-input";
import { inWords, useT } from "@/i18n";
import { TOOLS } from "@/lib/known";
import { refreshLimits } from "./refresh";
import { type Kind, KINDS, type Measure, MEASURES, target, WINDOWS } from "./shape";

/** A new limit: how much of what, for whom, in which time. */
export function LimitForm({ close }: { close: () => void }) {
  const t = useT();
  const [kind, setKind] = useState<Kind>("key");
  const [on, setOn] = useState("");
  const [measure, setMeasure] = useState<Measure>("money");
  const [most, setMost] = useState("");
  const [per, setPer] = useState("month");
  const [models, setModels] = useState<string[]>([]);
  const [refuse, setRefuse] = useState(true);
  const names = useNames(kind);
  const allModels = useModels();
  const create = useChange(
    () => {
      const body = {
        on: target(kind, on),
        [measure]: Number(most),
        models,
        ...(measure === "parallel" ? {} : { per }),
        ...(refuse ? {} : { refuse }),
      };
      return answer(api.POST("/api/v1/limits", { body: body as Api<"LimitSpec"> }));
    },
    {
      inPlace: true,
      done: () => t("saved"),
      after: ({ warnings }) => {
        for (const problem of warnings) say(`${problem.path}: ${inWords(problem)}`, true);
        refreshLimits();
        close();
      },
    },
  );
  const ready = Number(most) > 0 && (kind === "gateway" || on.trim());
  return (
    <Dialog
      open
      onClose={close}
      title={t("limits.add")}
      hint={t("limits.formHint")}
      footer={
        <>
          <Button onClick={close}>{t("cancel")}</Button>
          <Button look="primary" type="submit" form="limit-form" disabled={!ready} busy={create.isPending}>
            {t("save")}
          </Button>
        </>
      }
    >
      <form
        id="limit-form"
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate(undefined);
        }}
      >
        {create.isError && <Failure error={create.error} />}
        <div className="grid gap-3 sm:grid-cols-2">
          <Field label={t("limits.on")}>
            <Select value={kind} onChange={(event) => setKind(event.target.value as Kind)}>
              {KINDS.map((word) => (
                <option key={word} value={word}>
                  {t(`limited.${word}`)}
                </option>
              ))}
            </Select>
          </Field>
          {kind !== "gateway" && (
            <Field label={t("limits.which")}>
              <Input list="limited" value={on} onChange={(event) => setOn(event.target.value)} />
            </Field>
          )}
          <datalist id="limited">
            {names.map((name) => (
              <option key={name} value={name} />
            ))}
          </datalist>
        </div>
        <div className="grid gap-3 sm:grid-cols-[1fr_1fr_1.4fr]">
          <Field label={t("limits.most")}>
            <Input type="number" min={0} step="any" value={most} onChange={(event) => setMost(event.target.value)} />
          </Field>
          <Field label={t("limits.what")}>
            <Select value={measure} onChange={(event) => setMeasure(event.target.value as Measure)}>
              {MEASURES.map((word) => (
                <option key={word} value={word}>
                  {t(`measures.${word}`)}
                </option>
              ))}
            </Select>
          </Field>
          {measure !== "parallel" && (
            <Field label={t("limits.per")}>
              <Select value={per} onChange={(event) => setPer(event.target.value)}>
                {WINDOWS.map((word) => (
                  <option key={word} value={word}>
                    {t(`window.${word}`)}
                  </option>
                ))}
              </Select>
            </Field>
          )}
        </div>
        <WordsInput
          label={t("keys.models")}
          optional={t("optional")}
          placeholder={t("keys.allModels")}
          values={models}
          offers={allModels.data?.models.map((model) => model.name)}
          onChange={setModels}
        />
        <Check on={refuse} onChange={setRefuse} label={t("limits.refuse")} />
      </form>
    </Dialog>
  );
}

/** Names that a limit of a kind can be set on, as far as they are known. */
function useNames(kind: Kind): string[] {
  const keys = useKeys();
  const channels = useChannels();
  const models = useModels();
  const profiles = useProfiles();
  const all = channels.data?.channels ?? [];
  const known: { [kind in Kind]?: string[] } = {
    key: keys.data?.keys.map((key) => key.name),
    tool: [...new Set([...(keys.data?.keys.flatMap((key) => key.tool ?? []) ?? []), ...TOOLS])],
    channel: all.map((channel) => channel.name),
    tag: [...new Set(all.flatMap((channel) => channel.tags))],
    model: models.data?.models.map((model) => model.name),
    profile: profiles.data?.profiles.map((profile) => profile.name),
  };
  return known[kind] ?? [];
}
