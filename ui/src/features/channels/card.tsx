import { Link } from "@tanstack/react-router";
import { FileLock2, FlaskConical, KeyRound, Pencil, RefreshCw, ScrollText, Tags, Trash2 } from "lucide-react";
import { useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange, useChosen } from "@/api/queries";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Confirm } from "@/components/ui/confirm";
import { Switch } from "@/components/ui/field";
import { Menu } from "@/components/ui/menu";
import { Ago } from "@/components/ui/moment";
import { Notice } from "@/components/ui/notice";
import { useT } from "@/i18n";
import { type Channel, offered, type Provider, standing } from "./shape";
import { Troubles } from "./health";
import { TestResult } from "./test-result";

type Props = {
  channel: Channel;
  provider?: Provider;
  health?: Api<"ChannelHealth">;
  edit: () => void;
  look: () => void;
};

export function ChannelCard({ channel, provider, health, edit, look }: Props) {
  const t = useT();
  const { name } = channel;
  const path = { params: { path: { name } } };
  const [leaving, setLeaving] = useState(false);
  const test = useChange(() => answer(api.POST("/api/v1/channels/{name}/test", { ...path, body: { enable: false } })));
  const sync = useChange(() => answer(api.POST("/api/v1/channels/{name}/models", path)), {
    done: (found) => t("channels.synced", { n: found.models.length }),
  });
  const turn = useChange((on: boolean) =>
    on
      ? answer(api.POST("/api/v1/channels/{name}/enable", { ...path, body: { force: false } }))
      : answer(api.POST("/api/v1/channels/{name}/disable", path)),
  );
  const [enabled, choose] = useChosen(channel.enabled, turn.mutateAsync);
  const remove = useChange(() => answer(api.DELETE("/api/v1/channels/{name}", path)), {
    done: () => t("channels.removed", { name }),
    inPlace: true,
  });
  const state = standing(channel);
  const fixed = channel.origin === "file";
  const models = offered(channel);
  return (
    <article aria-label={name} className="flex min-w-0 flex-col gap-3 rounded-xl border border-line bg-surface p-4">
      <header className="flex items-start gap-3">
        <Monogram name={provider?.name ?? channel.provider} />
        <div className="min-w-0 flex-1">
          <h2 className="truncate font-semibold">{name}</h2>
          <p className="truncate text-xs text-muted">{provider?.name ?? channel.provider}</p>
        </div>
        <Switch hidden on={enabled} disabled={fixed} label={t("channels.takesPart", { name })} onChange={choose} />
        <Menu
          label={t("channels.more", { name })}
          items={[
            { label: t("edit"), icon: <Pencil />, run: edit },
            { label: t("channels.look"), icon: <Tags />, run: look },
            { label: t("channels.sync"), icon: <RefreshCw />, run: () => sync.mutate(undefined) },
            !fixed && { label: t("delete"), icon: <Trash2 />, run: () => setLeaving(true), danger: true },
          ]}
        />
      </header>
      <div className="flex flex-wrap items-center gap-1.5">
        <Badge tone={state.tone}>{t(state.label)}</Badge>
        {state.at && (
          <span className="text-2xs text-muted">
            <Ago at={state.at} />
          </span>
        )}
        {fixed && (
          <Badge icon={<FileLock2 />} title={t("fromFileHint")}>
            {t("fromFile")}
          </Badge>
        )}
        {channel.tags.map((tag) => (
          <Badge key={tag} tone="accent">
            {tag}
          </Badge>
        ))}
        {channel.credentials.length > 1 && (
          <Badge icon={<KeyRound />}>{t("channels.credentials", { n: channel.credentials.length })}</Badge>
        )}
      </div>
      {health && <Troubles health={health} />}
      {state.why && <p className="text-xs break-words text-bad">{state.why}</p>}
      <p className="line-clamp-2 text-xs text-muted" title={models.join(", ")}>
        {models.length === 0
          ? t("channels.noModels")
          : `${t("channels.models", { n: models.length })}: ${models.join(", ")}`}
      </p>
      {test.data && <TestResult result={test.data} />}
      {test.isError && <Notice tone="bad" title={test.error.message} />}
      <footer className="mt-auto flex flex-wrap items-center gap-2 pt-1">
        <Button
          small
          icon={<FlaskConical className="size-3.5" />}
          busy={test.isPending}
          onClick={() => test.mutate(undefined)}
        >
          {test.isPending ? t("channels.testing") : t("channels.test")}
        </Button>
        <Button small icon={<Pencil className="size-3.5" />} onClick={edit}>
          {t("edit")}
        </Button>
        <Button small icon={<Tags className="size-3.5" />} onClick={look}>
          {t("channels.look")}
        </Button>
        <Link
          to="/requests"
          search={{ channel: name }}
          className="ml-auto inline-flex items-center gap-1 text-xs text-muted hover:text-text hover:underline"
        >
          <ScrollText aria-hidden className="size-3.5" />
          {t("nav.requests")}
        </Link>
      </footer>
      {leaving && (
        <Confirm
          title={t("channels.remove", { name })}
          act={t("delete")}
          busy={remove.isPending}
          error={remove.error}
          run={() => remove.mutate(undefined, { onSuccess: () => setLeaving(false) })}
          close={() => setLeaving(false)}
        >
          <p>{t("channels.removeHint")}</p>
        </Confirm>
      )}
    </article>
  );
}

/** The first letters of a provider: no logo is fetched from anywhere. */
export function Monogram({ name }: { name: string }) {
  const letters = name.replace(/[^\p{L}\p{N} ]/gu, "").trim();
  const [first = "?", second = ""] = letters.includes(" ")
    ? letters.split(/\s+/).map((word) => word[0] ?? "")
    : [letters[0], letters[1]];
  const hue = [...name].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7);
  return (
    <span
      aria-hidden
      className="grid size-9 shrink-0 place-items-center rounded-lg text-xs font-semibold text-[oklch(0.42_0.11_var(--hue))] bg-[oklch(0.93_0.045_var(--hue))] dark:bg-[oklch(0.32_0.06_var(--hue))] dark:text-[oklch(0.87_0.09_var(--hue))]"
      style={{ "--hue": hue } as React.CSSProperties}
    >
      {`${first}${second}`.toUpperCase()}
    </span>
  );
}
