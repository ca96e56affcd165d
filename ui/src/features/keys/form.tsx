import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange, useChannels, useModels, useProfiles } from "@/api/queries";
import { Button } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Check, Field, Input, Select } from "@/components/ui/field";
import { Failure, Notice } from "@/components/ui/notice";
import { say } from "@/components/ui/toast";
import { WordsInput } from "@/components/ui/words-input";
import { STRATEGIES, type Strategy } from "@/features/routes/strategies";
import { useT } from "@/i18n";
import { FORMATS, TOOLS } from "@/lib/known";
import { fromLocal, toLocal } from "@/lib/time";

type Props = { value?: Api<"KeyView">; close: () => void; made: (secret: Api<"NewSecret">) => void };

/** A new key, or an old one with other limits. */
export function KeyForm({ value, close, made }: Props) {
  const t = useT();
  const profiles = useProfiles();
  const models = useModels();
  const channels = useChannels();
  const fixed = value?.origin === "file";
  const [name, setName] = useState(value?.name ?? "");
  const [tool, setTool] = useState(value?.tool ?? "");
  const [profile, setProfile] = useState(value?.profile ?? "");
  const [may, setMay] = useState({
    models: value?.models ?? [],
    channels: value?.channels ?? [],
    formats: value?.formats ?? [],
  });
  const [expires, setExpires] = useState(value?.expires ? toLocal(value.expires) : "");
  const [strict, setStrict] = useState(value?.strict ?? false);

  const [owner, setOwner] = useState(value?.owner ?? "");
  const [strategy, setStrategy] = useState<Strategy | "">(value?.strategy ?? "");
  const [bodies, setBodies] = useState<Api<"BodyPolicy"> | "">(value?.bodies ?? "");
  const owners = useQuery({
    queryKey: ["owners"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/owners", { signal })),
  });

  const fields = {
    name: name.trim(),
    tool: tool.trim() || null,
    profile: profile || null,
    expires: expires ? fromLocal(expires) : null,
    strict,
    owner: owner.trim() || null,
    strategy: strategy || null,
    bodies: bodies || null,
    ...may,
  };
  const create = useChange(() => answer(api.POST("/api/v1/keys", { body: fields as Api<"KeyInput"> })), {
    inPlace: true,
    after: made,
  });
  const patch = useChange(
    () =>
      answer(
        api.PATCH("/api/v1/keys/{key}", {
          params: { path: { key: value?.id ?? "" } },
          body: fields as Api<"KeyPatch">,
        }),
      ),
    {
      inPlace: true,
      after: () => {
        say(t("saved"));
        close();
      },
    },
  );
  const work = value ? patch : create;
  const tags = [...new Set(channels.data?.channels.flatMap((channel) => channel.tags))].map((tag) => `tag:${tag}`);
  return (
    <Dialog
      open
      side
      onClose={close}
      title={value ? value.name : t("keys.add")}
      hint={value?.hint}
      footer={
        <>
          <Button onClick={close}>{fixed ? t("close") : t("cancel")}</Button>
          {!fixed && (
            <Button look="primary" type="submit" form="key-form" disabled={!name.trim()} busy={work.isPending}>
              {value ? t("save") : t("keys.make")}
            </Button>
          )}
        </>
      }
    >
      <form
        id="key-form"
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          work.mutate(undefined);
        }}
      >
        {fixed && <Notice title={t("fromFileHint")} />}
        {work.isError && <Failure error={work.error} />}
        <Field label={t("name")} hint={t("keys.nameHint")}>
          <Input autoFocus required disabled={fixed} value={name} onChange={(event) => setName(event.target.value)} />
        </Field>
        <Field label={t("inspect.tool")} optional={t("optional")} hint={t("keys.toolHint")}>
          <Input list="tools" disabled={fixed} value={tool} onChange={(event) => setTool(event.target.value)} />
        </Field>
        <datalist id="tools">
          {TOOLS.map((known) => (
            <option key={known} value={known} />
          ))}
        </datalist>
        <Field label={t("inspect.profile")} hint={t("keys.profileHint")}>
          <Select disabled={fixed} value={profile} onChange={(event) => setProfile(event.target.value)}>
            <option value="">{t("keys.followsLong", { profile: profiles.data?.active ?? "" })}</option>
            <option value="direct">direct</option>
            {profiles.data?.profiles.map((row) => (
              <option key={row.name}>{row.name}</option>
            ))}
          </Select>
        </Field>
        <fieldset className="space-y-4 rounded-lg border border-line p-3">
          <legend className="px-1 text-xs font-medium">{t("keys.mayLong")}</legend>
          <WordsInput
            label={t("keys.models")}
            placeholder={t("keys.allModels")}
            hint={t("keys.modelsHint")}
            values={may.models}
            offers={models.data?.models.map((model) => model.name)}
            disabled={fixed}
            onChange={(models) => setMay({ ...may, models })}
          />
          <WordsInput
            label={t("keys.channels")}
            placeholder={t("keys.allChannels")}
            values={may.channels}
            offers={[...(channels.data?.channels.map((channel) => channel.name) ?? []), ...tags]}
            disabled={fixed}
            onChange={(channels) => setMay({ ...may, channels })}
          />
          <WordsInput
            label={t("keys.formats")}
            placeholder={t("keys.allFormats")}
            values={may.formats}
            offers={FORMATS}
            disabled={fixed}
            onChange={(formats) => setMay({ ...may, formats })}
          />
        </fieldset>
        <Field label={t("keys.expires")} optional={t("optional")}>
          <Input
            type="datetime-local"
            disabled={fixed}
            value={expires}
            onChange={(event) => setExpires(event.target.value)}
          />
        </Field>
        <details className="rounded-lg border border-line p-3">
          <summary className="text-sm font-medium">{t("more")}</summary>
          <div className="mt-3 space-y-4">
            <Field label={t("keys.owner")} optional={t("optional")} hint={t("keys.ownerHint")}>
              <Input list="owners" disabled={fixed} value={owner} onChange={(event) => setOwner(event.target.value)} />
            </Field>
            <datalist id="owners">
              {owners.data?.owners.map((row) => (
                <option key={row.owner} value={row.owner} />
              ))}
            </datalist>
            <Field label={t("keys.strategy")}>
              <Select
                disabled={fixed}
                value={strategy}
                onChange={(event) => setStrategy(event.target.value as Strategy | "")}
              >
                <option value="">{t("keys.asGateway")}</option>
                {STRATEGIES.map((word) => (
                  <option key={word}>{word}</option>
                ))}
              </Select>
            </Field>
            <Field label={t("keys.bodies")}>
              <Select
                disabled={fixed}
                value={bodies}
                onChange={(event) => setBodies(event.target.value as Api<"BodyPolicy"> | "")}
              >
                <option value="">{t("keys.asGateway")}</option>
                {(["off", "errors", "all"] as const).map((policy) => (
                  <option key={policy} value={policy}>
                    {t(`choice.${policy}`)}
                  </option>
                ))}
              </Select>
            </Field>
          </div>
        </details>
        <Check on={strict} disabled={fixed} onChange={setStrict} label={t("keys.strict")} />
      </form>
    </Dialog>
  );
}
