import { ArrowDown, ArrowUp, Plus, Trash2 } from "lucide-react";
import { useId, useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange, useChannels, useModels, useRoutes } from "@/api/queries";
import { Button, IconButton } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input, Select, TextArea } from "@/components/ui/field";
import { Failure, Notice } from "@/components/ui/notice";
import { Problems } from "@/components/ui/problems";
import { Segmented } from "@/components/ui/tabs";
import { WordsInput } from "@/components/ui/words-input";
import { STRATEGIES, type Strategy } from "@/features/routes/strategies";
import { useT } from "@/i18n";
import { offered } from "@/features/channels/shape";
import { ConditionsForm } from "./conditions";
import { type Draft, draftOf, emptyDraft, moved, type Profile, ruleOf } from "./rules";

type Props = { value?: Profile; like?: Profile; name?: string; close: () => void };

/** The rules of a profile, first match wins. */
export function ProfileEditor({ value, like, name: wanted, close }: Props) {
  const t = useT();
  const fixed = value?.origin === "file";
  const [name, setName] = useState(value?.name ?? wanted ?? (like ? `${like.name}-2` : ""));
  const [drafts, setDrafts] = useState<Draft[]>(() => (value ?? like)?.rules?.map(draftOf) ?? [emptyDraft()]);
  const [description, setDescription] = useState((value ?? like)?.description ?? "");
  const [only, setOnly] = useState((value ?? like)?.channels ?? []);
  const [strategy, setStrategy] = useState((value ?? like)?.strategy ?? "");
  const channels = useChannels();
  const [tried, setTried] = useState(false);
  const [warnings, setWarnings] = useState<Api<"Problem">[]>();
  const targets = useTargets();

  const work = useChange(
    () => {
      const rules = drafts.flatMap((draft) => {
        const read = ruleOf(draft);
        return "rule" in read ? [read.rule] : [];
      });
      const fields = {
        rules,
        description: description.trim() || null,
        channels: only,
        strategy: (strategy || null) as Strategy | null,
      };
      if (value) {
        const path = { params: { path: { name: value.name } } };
        return answer(api.PATCH("/api/v1/profiles/{name}", { ...path, body: fields }));
      }
      // What a profile holds beside its rules is copied too.
      const { overrides, policy } = like ?? {};
      return answer(api.POST("/api/v1/profiles", { body: { name: name.trim(), overrides, policy, ...fields } }));
    },
    {
      inPlace: true,
      done: () => t("saved"),
      after: (changed) => (changed.warnings.length > 0 ? setWarnings(changed.warnings) : close()),
    },
  );
  const wrong = drafts.some((draft) => "wrong" in ruleOf(draft));
  const set = (id: number, fields: Partial<Draft>) =>
    setDrafts(drafts.map((draft) => (draft.id === id ? { ...draft, ...fields } : draft)));

  return (
    <Dialog
      open
      side
      wide
      firm
      onClose={close}
      title={value ? value.name : t("profiles.add")}
      hint={t("profiles.editorHint")}
      footer={
        <>
          <Button onClick={close}>{warnings || fixed ? t("close") : t("cancel")}</Button>
          {!fixed && (
            <Button
              look="primary"
              busy={work.isPending}
              disabled={!name.trim()}
              onClick={() => {
                setTried(true);
                setWarnings(undefined);
                if (!wrong) work.mutate(undefined);
              }}
            >
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
          <Field label={t("name")} hint={t("profiles.nameHint")}>
            <Input autoFocus value={name} onChange={(event) => setName(event.target.value)} />
          </Field>
        )}
        <details className="rounded-xl border border-line p-3">
          <summary className="text-sm font-medium">{t("profiles.whole")}</summary>
          <div className="mt-3 grid gap-3 md:grid-cols-2">
            <Field label={t("profiles.description")} optional={t("optional")}>
              <Input disabled={fixed} value={description} onChange={(event) => setDescription(event.target.value)} />
            </Field>
            <Field label={t("profiles.strategy")} optional={t("optional")}>
              <Select
                disabled={fixed}
                value={strategy}
                onChange={(event) => setStrategy(event.target.value as Strategy)}
              >
                <option value="">{t("profiles.routeStrategy")}</option>
                {STRATEGIES.map((word) => (
                  <option key={word}>{word}</option>
                ))}
              </Select>
            </Field>
            <WordsInput
              label={t("profiles.onlyChannels")}
              optional={t("optional")}
              hint={t("profiles.onlyChannelsHint")}
              values={only}
              offers={channels.data?.channels.flatMap((row) => [row.name, ...row.tags.map((tag) => `tag:${tag}`)])}
              disabled={fixed}
              onChange={setOnly}
            />
          </div>
        </details>
        <ol className="space-y-3">
          {drafts.map((draft, at) => (
            <li key={draft.id}>
              <RuleForm
                draft={draft}
                at={at}
                last={at === drafts.length - 1}
                tried={tried}
                fixed={fixed}
                targets={targets}
                change={(fields) => set(draft.id, fields)}
                move={(by) => setDrafts(moved(drafts, at, by))}
                remove={() => setDrafts(drafts.filter((other) => other.id !== draft.id))}
              />
            </li>
          ))}
        </ol>
        {!fixed && (
          <Button icon={<Plus className="size-4" />} onClick={() => setDrafts([...drafts, emptyDraft()])}>
            {t("profiles.addRule")}
          </Button>
        )}
      </div>
    </Dialog>
  );
}

type RuleProps = {
  draft: Draft;
  at: number;
  last: boolean;
  tried: boolean;
  fixed: boolean;
  targets: string[];
  change: (fields: Partial<Draft>) => void;
  move: (by: -1 | 1) => void;
  remove: () => void;
};

function RuleForm({ draft, at, last, tried, fixed, targets, change, move, remove }: RuleProps) {
  const t = useT();
  const list = useId();
  const read = ruleOf(draft);
  const wrong = tried && "wrong" in read ? read.wrong : undefined;
  const kinds = [
    { id: "match", label: t("profiles.pattern") },
    { id: "regex", label: t("profiles.regex") },
  ] as const;
  return (
    <fieldset disabled={fixed} className="rounded-xl border border-line p-3">
      <legend className="sr-only">{t("profiles.rule", { n: at + 1 })}</legend>
      <div className="mb-3 flex items-center gap-2">
        <span className="text-xs font-medium text-muted">{t("profiles.rule", { n: at + 1 })}</span>
        <Segmented
          label={t("profiles.kind")}
          choices={kinds}
          value={draft.kind}
          onChange={(kind) => change({ kind })}
        />
        <span className="ml-auto flex">
          <IconButton label={t("profiles.up")} disabled={at === 0} onClick={() => move(-1)}>
            <ArrowUp />
          </IconButton>
          <IconButton label={t("profiles.down")} disabled={last} onClick={() => move(1)}>
            <ArrowDown />
          </IconButton>
          <IconButton label={t("profiles.dropRule", { n: at + 1 })} onClick={remove}>
            <Trash2 />
          </IconButton>
        </span>
      </div>
      <div className="grid gap-3 md:grid-cols-2">
        <Field
          label={t("profiles.asked")}
          hint={draft.kind === "match" ? t("profiles.patternHint") : t("profiles.regexHint")}
          error={wrong === "pattern" && t("profiles.needsPattern")}
        >
          <Input
            mono
            placeholder={draft.kind === "match" ? "claude-*" : "^gpt-5(-.*)?$"}
            value={draft.pattern}
            onChange={(event) => change({ pattern: event.target.value })}
          />
        </Field>
        <Field
          label={t("profiles.goes")}
          hint={t("profiles.goesHint")}
          error={wrong === "to" && t("profiles.needsTarget")}
        >
          <Input
            mono
            list={list}
            placeholder="deepseek/deepseek-chat"
            value={draft.to}
            onChange={(event) => change({ to: event.target.value })}
          />
        </Field>
        <datalist id={list}>
          {targets.map((target) => (
            <option key={target} value={target} />
          ))}
        </datalist>
        <WordsInput
          label={t("profiles.fallback")}
          optional={t("optional")}
          hint={t("profiles.fallbackHint")}
          values={draft.fallback}
          offers={targets}
          disabled={fixed}
          onChange={(fallback) => change({ fallback })}
        />
        <Field
          label={t("profiles.sets")}
          optional={t("optional")}
          hint={t("profiles.setsHint")}
          error={wrong === "set" && t("profiles.badSet")}
        >
          <TextArea
            mono
            rows={1}
            className="!min-h-9"
            placeholder='{"temperature": 0}'
            value={draft.set}
            onChange={(event) => change({ set: event.target.value })}
          />
        </Field>
      </div>
      <ConditionsForm value={draft.only} disabled={fixed} change={(only) => change({ only })} />
    </fieldset>
  );
}

/** Everything that a rule can point at. */
export function useTargets(): string[] {
  const models = useModels();
  const channels = useChannels();
  const routes = useRoutes();
  const found = [
    ...(routes.data?.routes.map((route) => route.model) ?? []),
    ...(channels.data?.channels.flatMap((channel) => offered(channel).map((model) => `${channel.name}/${model}`)) ??
      []),
    ...(models.data?.models.map((model) => model.name) ?? []),
  ];
  return [...new Set(found)];
}
