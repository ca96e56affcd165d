import { ArrowDown, ArrowUp, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange, useChannels } from "@/api/queries";
import { Button, IconButton } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input, Select } from "@/components/ui/field";
import { Failure, Notice } from "@/components/ui/notice";
import { Problems } from "@/components/ui/problems";
import { WordsInput } from "@/components/ui/words-input";
import { offered } from "@/features/channels/shape";
import { moved } from "@/features/profiles/rules";
import { useT } from "@/i18n";
import { STRATEGIES, type Strategy } from "./strategies";

type Group = Api<"RouteGroup"> & { id: number };
type Props = { value?: Api<"Route">; close: () => void };

let last = 0;
const numbered = (group: Api<"RouteGroup">): Group => {
  last += 1;
  return { ...group, id: last };
};
const empty = () => numbered({ use: [], strategy: STRATEGIES[0] } as Api<"RouteGroup">);

/** The groups of a route, in order. */
export function RouteEditor({ value, close }: Props) {
  const t = useT();
  const fixed = value?.origin === "file";
  const [model, setModel] = useState(value?.model ?? "");
  const [groups, setGroups] = useState<Group[]>(() => value?.groups.map(numbered) ?? [empty()]);
  const [warnings, setWarnings] = useState<Api<"Problem">[]>();
  const channels = useChannels();
  const uses = (channels.data?.channels ?? []).flatMap((channel) => [
    `${channel.name}/*`,
    ...offered(channel).map((name) => `${channel.name}/${name}`),
  ]);
  const tags = [...new Set(channels.data?.channels.flatMap((channel) => channel.tags))].map((tag) => `tag:${tag}`);
  const work = useChange(
    () => {
      const body = { groups: groups.map(({ id: _, ...group }) => group) };
      return value
        ? answer(api.PATCH("/api/v1/routes/{model}", { params: { path: { model: value.model } }, body }))
        : answer(api.POST("/api/v1/routes", { body: { model: model.trim(), ...body } }));
    },
    {
      inPlace: true,
      done: () => t("saved"),
      after: (changed) => (changed.warnings.length > 0 ? setWarnings(changed.warnings) : close()),
    },
  );
  const set = (id: number, fields: Partial<Group>) =>
    setGroups(groups.map((group) => (group.id === id ? { ...group, ...fields } : group)));
  const ready = model.trim() && groups.length > 0 && groups.every((group) => group.use.length > 0);
  return (
    <Dialog
      open
      side
      firm
      onClose={close}
      title={value ? value.model : t("routes.add")}
      hint={t("routes.editorHint")}
      footer={
        <>
          <Button onClick={close}>{warnings || fixed ? t("close") : t("cancel")}</Button>
          {!fixed && (
            <Button look="primary" disabled={!ready} busy={work.isPending} onClick={() => work.mutate(undefined)}>
              {t("save")}
            </Button>
          )}
        </>
      }
    >
      <div className="space-y-4">
        {fixed && <Notice title={t("fromFileHint")} />}
        {work.isError && <Failure error={work.error} />}
        {warnings && (
          <Notice tone="warn" title={t("profiles.warnings")}>
            <Problems of={warnings} />
          </Notice>
        )}
        {!value && (
          <Field label={t("routes.model")} hint={t("routes.modelHint")}>
            <Input
              autoFocus
              mono
              placeholder="smart"
              value={model}
              onChange={(event) => setModel(event.target.value)}
            />
          </Field>
        )}
        <ol className="space-y-3">
          {groups.map((group, at) => (
            <li key={group.id}>
              <fieldset disabled={fixed} className="rounded-xl border border-line p-3">
                <legend className="sr-only">{t("routes.group", { n: at + 1 })}</legend>
                <div className="mb-2 flex items-center gap-2">
                  <span className="text-xs font-medium text-muted">
                    {at === 0 ? t("routes.firstGroup") : t("routes.nextGroup")}
                  </span>
                  <span className="ml-auto flex">
                    <IconButton
                      label={t("profiles.up")}
                      disabled={at === 0}
                      onClick={() => setGroups(moved(groups, at, -1))}
                    >
                      <ArrowUp />
                    </IconButton>
                    <IconButton
                      label={t("profiles.down")}
                      disabled={at === groups.length - 1}
                      onClick={() => setGroups(moved(groups, at, 1))}
                    >
                      <ArrowDown />
                    </IconButton>
                    <IconButton
                      label={t("routes.dropGroup", { n: at + 1 })}
                      onClick={() => setGroups(groups.filter((other) => other.id !== group.id))}
                    >
                      <Trash2 />
                    </IconButton>
                  </span>
                </div>
                <div className="space-y-3">
                  <WordsInput
                    label={t("routes.use")}
                    hint={t("routes.useHint")}
                    values={group.use}
                    offers={[...tags, ...uses]}
                    disabled={fixed}
                    onChange={(use) => set(group.id, { use })}
                  />
                  <Field label={t("routes.strategy")} hint={t(`strategy.${group.strategy ?? STRATEGIES[0]}`)}>
                    <Select
                      value={group.strategy ?? STRATEGIES[0]}
                      onChange={(event) => set(group.id, { strategy: event.target.value as Strategy })}
                    >
                      {STRATEGIES.map((strategy) => (
                        <option key={strategy}>{strategy}</option>
                      ))}
                    </Select>
                  </Field>
                </div>
              </fieldset>
            </li>
          ))}
        </ol>
        {!fixed && (
          <Button icon={<Plus className="size-4" />} onClick={() => setGroups([...groups, empty()])}>
            {t("routes.addGroup")}
          </Button>
        )}
      </div>
    </Dialog>
  );
}
