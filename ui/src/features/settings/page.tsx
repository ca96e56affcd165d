import { useQuery } from "@tanstack/react-query";
import { KeyRound, Lock, Plus, RotateCcw, Trash2 } from "lucide-react";
import { useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange, useChosen, useStatus } from "@/api/queries";
import { setTheme, type Theme, useTheme } from "@/app/theme";
import { Badge } from "@/components/ui/badge";
import { Button, IconButton } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Code } from "@/components/ui/code";
import { Confirm } from "@/components/ui/confirm";
import { CopyButton } from "@/components/ui/copy";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input, Select, Switch, TextArea } from "@/components/ui/field";
import { Ago } from "@/components/ui/moment";
import { Failure, Notice } from "@/components/ui/notice";
import { Page } from "@/components/ui/page";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { Segmented } from "@/components/ui/tabs";
import { WordsInput } from "@/components/ui/words-input";
import { type Language, LANGUAGES, setLanguage, useLanguage, useT } from "@/i18n";
import { bytes, exact } from "@/lib/format";
import { type Kind, SECTIONS, type Settings } from "./fields";

/** What holds for the whole gateway, and for this browser. */
export function SettingsPage() {
  const t = useT();
  const settings = useQuery({
    queryKey: ["settings"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/settings", { signal })),
  });
  return (
    <Page title={t("settings.title")}>
      <Appearance />
      {settings.isError && <Failure error={settings.error} retry={() => void settings.refetch()} />}
      {settings.isPending && <Skeleton className="h-48 w-full" />}
      {settings.data &&
        SECTIONS.map((section) => (
          <Card key={section.id} title={t(`settings.${section.id}`)}>
            <div className="divide-y divide-line">
              {section.rows.map((row) => (
                <Setting key={row.name} {...row} view={settings.data} />
              ))}
            </div>
          </Card>
        ))}
      <Tokens />
      <Diagnostics />
      <Changes />
    </Page>
  );
}

function Appearance() {
  const t = useT();
  const theme = useTheme();
  const language = useLanguage();
  const themes = (["system", "light", "dark"] as const).map((id) => ({ id, label: t(`theme.${id}`) }));
  const languages = (Object.keys(LANGUAGES) as Language[]).map((id) => ({ id, label: LANGUAGES[id] }));
  return (
    <Card title={t("settings.appearance")}>
      <div className="flex flex-wrap gap-x-8 gap-y-3">
        <Segmented
          label={t("settings.theme")}
          choices={themes}
          value={theme}
          onChange={(next: Theme) => setTheme(next)}
        />
        <Segmented
          label={t("settings.language")}
          choices={languages}
          value={language}
          onChange={(next) => void setLanguage(next)}
        />
      </div>
    </Card>
  );
}

type SettingProps = {
  name: keyof Settings & string;
  kind: Kind;
  choices?: readonly string[];
  view: Api<"SettingsView">;
};

/** One setting: changed at once when it is a switch or a choice, on “save” when it is typed. */
function Setting({ name, kind, choices, view }: SettingProps) {
  const t = useT();
  const stored = view.settings[name];
  const fixed = view.fixed.includes(name);
  const [draft, setDraft] = useState<unknown>(stored);
  const [seen, setSeen] = useState(stored);
  if (JSON.stringify(seen) !== JSON.stringify(stored)) {
    setSeen(stored);
    setDraft(stored);
  }
  const change = useChange(
    (value: unknown) => answer(api.PATCH("/api/v1/settings", { body: { [name]: value } as never })),
    {
      done: () => t("saved"),
      inPlace: true,
    },
  );
  // What is usual for the console: a server has it, the desktop app shows it in its window.
  const status = useStatus();
  const [chosen, choose] = useChosen<unknown>(stored, change.mutateAsync);
  const label = t(`setting.${name}` as "setting.lan");
  const hint = t(`setting.${name}.hint` as "setting.lan.hint");
  const dirty = JSON.stringify(draft) !== JSON.stringify(stored);
  const broken = kind === "json" && typeof draft === "string" && parsed(draft) === undefined;
  const typed = kind === "json" || kind === "words" || kind === "number" || kind === "text";
  return (
    <div className="grid gap-2 py-3 first:pt-0 last:pb-0 md:grid-cols-[1fr_22rem] md:gap-6">
      <div className="min-w-0">
        <p className="flex items-center gap-2 text-sm font-medium">
          {label}
          {fixed && (
            <Badge icon={<Lock />} title={t("settings.fixedHint")}>
              {t("settings.fixed")}
            </Badge>
          )}
        </p>
        <p className="mt-0.5 text-xs text-muted">{hint}</p>
        <code className="text-2xs text-muted">{name}</code>
      </div>
      <div className="min-w-0 space-y-2">
        {kind === "switch" && <Switch hidden on={chosen === true} label={label} disabled={fixed} onChange={choose} />}
        {kind === "choice" && (
          <Select
            aria-label={label}
            value={String(chosen)}
            disabled={fixed}
            onChange={(event) => choose(event.target.value)}
          >
            {choices?.map((choice) => (
              <option key={choice} value={choice}>
                {name === "strategy" ? choice : t(`choice.${choice}` as "choice.off")}
              </option>
            ))}
          </Select>
        )}
        {kind === "maybe" && (
          <Select
            aria-label={label}
            value={String(chosen ?? "")}
            disabled={fixed}
            onChange={(event) => choose(event.target.value === "" ? null : event.target.value === "true")}
          >
            <option value="">{t("settings.usual", { value: t(status.data?.desktop ? "no" : "yes") })}</option>
            <option value="true">{t("yes")}</option>
            <option value="false">{t("no")}</option>
          </Select>
        )}
        {kind === "words" && (
          <WordsInput
            hideLabel
            label={label}
            values={(draft as string[] | undefined) ?? []}
            disabled={fixed}
            onChange={setDraft}
          />
        )}
        {(kind === "number" || kind === "text") && (
          <Input
            aria-label={label}
            type={kind === "number" ? "number" : "text"}
            min={0}
            disabled={fixed}
            value={draft === null || draft === undefined ? "" : String(draft)}
            onChange={(event) => {
              const { value } = event.target;
              if (kind === "number") setDraft(value === "" ? null : Number(value));
              else setDraft(value || null);
            }}
          />
        )}
        {kind === "json" && (
          <>
            <TextArea
              mono
              rows={3}
              aria-label={label}
              aria-invalid={broken}
              disabled={fixed}
              value={typeof draft === "string" ? draft : JSON.stringify(draft, null, 2)}
              onChange={(event) => setDraft(event.target.value)}
            />
            {broken && <p className="text-xs text-bad">{t("profiles.badSet")}</p>}
          </>
        )}
        {change.isError && <Failure error={change.error} />}
        {typed && dirty && (
          <div className="flex gap-2">
            <Button
              small
              look="primary"
              disabled={broken}
              busy={change.isPending}
              onClick={() => change.mutate(kind === "json" && typeof draft === "string" ? parsed(draft) : draft)}
            >
              {t("save")}
            </Button>
            <Button small icon={<RotateCcw className="size-3.5" />} onClick={() => setDraft(stored)}>
              {t("cancel")}
            </Button>
          </div>
        )}
      </div>
    </div>
  );
}

/** A JSON object that a field holds. */
function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Who may administer. */
function Tokens() {
  const t = useT();
  const [name, setName] = useState("");
  const [fresh, setFresh] = useState<Api<"NewToken">>();
  const [leaving, setLeaving] = useState<Api<"TokenView">>();
  const tokens = useQuery({
    queryKey: ["tokens"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/admin-tokens", { signal })),
  });
  const create = useChange(() => answer(api.POST("/api/v1/admin-tokens", { body: { name: name.trim() } })), {
    inPlace: true,
    after: (made) => {
      setFresh(made);
      setName("");
      void tokens.refetch();
    },
  });
  const remove = useChange(
    (token: string) => answer(api.DELETE("/api/v1/admin-tokens/{token}", { params: { path: { token } } })),
    {
      inPlace: true,
      after: () => {
        setLeaving(undefined);
        void tokens.refetch();
      },
    },
  );
  return (
    <Card flush title={t("settings.tokens")} hint={t("settings.tokensHint")}>
      {tokens.isError && <Failure error={tokens.error} />}
      <Table
        label={t("settings.tokens")}
        rows={tokens.data?.tokens ?? []}
        id={(token) => token.id}
        columns={[
          { id: "name", head: t("name"), cell: (token) => <span className="font-medium">{token.name}</span> },
          { id: "hint", head: t("settings.token"), cell: (token) => <code className="text-xs">{token.hint}</code> },
          { id: "made", head: t("keys.made"), cell: (token) => <Ago at={token.created} /> },
          {
            id: "drop",
            head: <span className="sr-only">{t("more")}</span>,
            right: true,
            cell: (token) => (
              <IconButton label={t("settings.dropToken", { name: token.name })} onClick={() => setLeaving(token)}>
                <Trash2 />
              </IconButton>
            ),
          },
        ]}
      />
      <form
        className="flex flex-wrap items-end gap-2 border-t border-line p-4"
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate(undefined);
        }}
      >
        <Field label={t("settings.tokenName")} className="w-56">
          <Input value={name} onChange={(event) => setName(event.target.value)} />
        </Field>
        <Button type="submit" icon={<Plus className="size-4" />} disabled={!name.trim()} busy={create.isPending}>
          {t("settings.addToken")}
        </Button>
        {create.isError && <Failure error={create.error} />}
      </form>
      {fresh && (
        <Dialog open firm onClose={() => setFresh(undefined)} title={fresh.name}>
          <div className="space-y-3">
            <Notice tone="warn" title={t("keys.once")} />
            <Code text={fresh.token} wrap label={t("settings.token")} />
            <p className="flex items-center gap-2 text-xs text-muted">
              <KeyRound aria-hidden className="size-3.5" /> {t("settings.tokenUse")}
            </p>
          </div>
        </Dialog>
      )}
      {leaving && (
        <Confirm
          title={t("settings.dropToken", { name: leaving.name })}
          act={t("delete")}
          busy={remove.isPending}
          error={remove.error}
          run={() => remove.mutate(leaving.id)}
          close={() => setLeaving(undefined)}
        >
          <p>{t("settings.dropTokenHint")}</p>
        </Confirm>
      )}
    </Card>
  );
}

/** Where things are, and how the store is. */
function Diagnostics() {
  const t = useT();
  const status = useStatus();
  if (!status.data) return null;
  const { ledger } = status.data;
  const rows: [string, string][] = [
    [t("settings.version"), status.data.version],
    [t("settings.addresses"), status.data.listen.join(", ")],
    [t("settings.config"), status.data.config ?? t("none")],
    [t("settings.store"), status.data.store],
    [t("settings.process"), String(status.data.pid)],
    [t("settings.sealed"), status.data.key_file ? t("settings.keyFile") : t("settings.masterKey")],
    [t("settings.records"), `${exact(status.data.requests)} (${t("settings.waiting", { n: ledger.waiting })})`],
    [t("settings.journal"), bytes(ledger.journal_bytes)],
    [t("settings.lost"), exact(ledger.lost)],
  ];
  return (
    <Card
      title={t("settings.diagnostics")}
      hint={t("settings.diagnosticsHint")}
      actions={<CopyButton text={rows.map((row) => row.join(": ")).join("\n")} words={t("copy")} />}
    >
      <dl className="grid gap-x-6 gap-y-2 text-sm sm:grid-cols-2">
        {rows.map(([name, value]) => (
          <div key={name} className="flex min-w-0 gap-3">
            <dt className="w-32 shrink-0 text-muted">{name}</dt>
            <dd className="min-w-0 break-all">{value}</dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}

/** Who changed what. */
function Changes() {
  const t = useT();
  const changes = useQuery({
    queryKey: ["changes"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/changes", { params: { query: { limit: 20 } }, signal })),
  });
  const rows = changes.data?.changes ?? [];
  if (rows.length === 0) return null;
  return (
    <Card flush title={t("settings.changes")}>
      <Table
        dense
        label={t("settings.changes")}
        rows={rows}
        id={(change) => String(change.id)}
        columns={[
          { id: "at", head: t("column.time"), cell: (change) => <Ago at={change.at} /> },
          { id: "who", head: t("settings.who"), cell: (change) => change.who },
          { id: "what", head: t("settings.what"), cell: (change) => change.what },
          { id: "name", head: t("name"), cell: (change) => <span className="font-medium">{change.name}</span> },
          { id: "detail", head: "", cell: (change) => <span className="text-muted">{change.detail}</span> },
        ]}
      />
    </Card>
  );
}
