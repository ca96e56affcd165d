import { Plus, X } from "lucide-react";
import { useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange } from "@/api/queries";
import { Button, IconButton } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input } from "@/components/ui/field";
import { Failure, Notice } from "@/components/ui/notice";
import { say } from "@/components/ui/toast";
import { WordsInput } from "@/components/ui/words-input";
import { inWords, useT } from "@/i18n";
import { type Channel, pastedKeys, type Provider, readModels, writeModels } from "./shape";

const WAITS = ["connect_ms", "first_byte_ms", "first_token_ms", "idle_ms", "total_ms"] as const;

type Props = { channel: Channel; provider?: Provider; close: () => void };

/** Everything that a channel can be told. What is not touched is not sent. */
export function EditChannel({ channel, provider, close }: Props) {
  const t = useT();
  const fixed = channel.origin === "file";
  const [credentials, setCredentials] = useState(channel.credentials);
  const [fresh, setFresh] = useState("");
  const [urls, setUrls] = useState(channel.base_urls);
  const [models, setModels] = useState(channel.models ? writeModels(channel.models) : []);
  const [tags, setTags] = useState(channel.tags);
  const [weight, setWeight] = useState(String(channel.weight));
  const [proxy, setProxy] = useState(channel.proxy ?? "");
  const [waits, setWaits] = useState(channel.timeouts);

  const change = useChange(
    (patch: Api<"ChannelPatch">) =>
      answer(api.PATCH("/api/v1/channels/{name}", { params: { path: { name: channel.name } }, body: patch })),
    {
      inPlace: true,
      after: ({ warnings }) => {
        say(t("saved"));
        for (const problem of warnings) say(`${problem.path}: ${inWords(problem)}`, true);
        close();
      },
    },
  );
  const save = () => {
    const patch: Record<string, unknown> = {};
    const put = (name: string, value: unknown, before: unknown) => {
      if (JSON.stringify(value) !== JSON.stringify(before)) patch[name] = value;
    };
    put("credentials", [...credentials, ...pastedKeys(fresh)], channel.credentials);
    put("base_urls", urls, channel.base_urls);
    put("models", models.length > 0 ? readModels(models) : null, channel.models ?? null);
    put("tags", tags, channel.tags);
    put("weight", Number(weight), channel.weight);
    put("proxy", proxy.trim() || null, channel.proxy ?? null);
    put("timeouts", waits, channel.timeouts);
    change.mutate(patch as Api<"ChannelPatch">);
  };

  return (
    <Dialog
      open
      side
      onClose={close}
      title={channel.name}
      hint={provider?.name ?? channel.provider}
      footer={
        fixed ? (
          <Button onClick={close}>{t("close")}</Button>
        ) : (
          <>
            <Button onClick={close}>{t("cancel")}</Button>
            <Button look="primary" busy={change.isPending} onClick={save}>
              {t("save")}
            </Button>
          </>
        )
      }
    >
      <div className="space-y-5">
        {fixed && <Notice title={t("fromFileHint")} />}
        {change.isError && <Failure error={change.error} />}
        <section>
          <h3 className="mb-1 text-xs font-medium">{t("channels.keys")}</h3>
          <ul className="space-y-1.5">
            {credentials.map((credential, at) => (
              // Masked credentials can look alike.
              // oxlint-disable-next-line react/no-array-index-key
              <li key={`${credential}${at}`} className="flex items-center gap-2 rounded-lg bg-sunken px-3 py-1">
                <code className="min-w-0 flex-1 truncate text-xs">{credential}</code>
                {!fixed && (
                  <IconButton
                    label={t("channels.dropKey", { key: credential })}
                    onClick={() => setCredentials(credentials.filter((_, other) => other !== at))}
                  >
                    <X />
                  </IconButton>
                )}
              </li>
            ))}
            {credentials.length === 0 && <li className="text-xs text-muted">{t("channels.noKeys")}</li>}
          </ul>
          {!fixed && (
            <div className="mt-2">
              <Field label={t("channels.addKey")} hint={t("channels.addKeyHint")}>
                <Input
                  type="password"
                  mono
                  autoComplete="off"
                  placeholder="sk-…"
                  value={fresh}
                  onChange={(event) => setFresh(event.target.value)}
                />
              </Field>
              <Button
                small
                className="mt-2"
                icon={<Plus className="size-3.5" />}
                disabled={!fresh.trim()}
                onClick={save}
                busy={change.isPending}
              >
                {t("channels.addKey")}
              </Button>
            </div>
          )}
        </section>
        <WordsInput
          label={t("channels.modelsField")}
          hint={channel.models ? t("channels.modelsHint") : t("channels.modelsListed", { n: channel.listed.length })}
          values={models}
          offers={channel.listed}
          disabled={fixed}
          onChange={setModels}
        />
        <WordsInput
          label={t("channels.tags")}
          hint={t("channels.tagsHint")}
          values={tags}
          disabled={fixed}
          onChange={setTags}
        />
        <WordsInput
          label={t("channels.addresses")}
          hint={t("channels.addressesHint", { address: provider?.base_url ?? "" })}
          values={urls}
          disabled={fixed}
          onChange={setUrls}
        />
        <div className="grid gap-4 sm:grid-cols-2">
          <Field label={t("channels.weight")} hint={t("channels.weightHint")}>
            <Input
              type="number"
              min={0}
              value={weight}
              disabled={fixed}
              onChange={(event) => setWeight(event.target.value)}
            />
          </Field>
          <Field label={t("channels.proxy")} hint={t("channels.proxyHint")}>
            <Input
              mono
              placeholder="http://127.0.0.1:7890"
              value={proxy}
              disabled={fixed}
              onChange={(event) => setProxy(event.target.value)}
            />
          </Field>
        </div>
        <section>
          <h3 className="mb-2 text-xs font-medium">{t("channels.waits")}</h3>
          <div className="grid grid-cols-2 gap-3 sm:grid-cols-3">
            {WAITS.map((wait) => (
              <Field key={wait} label={t(`wait.${wait}`)}>
                <Input
                  type="number"
                  min={0}
                  placeholder={t("channels.usual")}
                  value={waits[wait] ?? ""}
                  disabled={fixed}
                  onChange={(event) =>
                    setWaits({ ...waits, [wait]: event.target.value === "" ? null : Number(event.target.value) })
                  }
                />
              </Field>
            ))}
          </div>
        </section>
      </div>
    </Dialog>
  );
}
