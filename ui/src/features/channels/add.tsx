import { ArrowLeft, ExternalLink } from "lucide-react";
import { useMemo, useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange } from "@/api/queries";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input, TextArea } from "@/components/ui/field";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { WordsInput } from "@/components/ui/words-input";
import { useT, useTold } from "@/i18n";
import { Monogram } from "./card";
import { freeName, pastedKeys, placeholders, type Provider, readModels, searchProviders } from "./shape";
import { TestResult } from "./test-result";

type Props = {
  providers: Provider[];
  loading: boolean;
  error: unknown;
  taken: string[];
  /** Empty: the gallery is shown. */
  chosen: string;
  choose: (provider: string) => void;
  close: () => void;
};

/** From a provider and a pasted key to a channel that answers. */
export function AddChannel({ providers, loading, error, taken, chosen, choose, close }: Props) {
  const t = useT();
  const provider = providers.find((row) => row.id === chosen);
  return provider ? (
    <Form key={provider.id} provider={provider} taken={taken} back={() => choose("")} close={close} />
  ) : (
    <Dialog open wide onClose={close} title={t("channels.choose")} hint={t("channels.chooseHint")}>
      {error !== null && error !== undefined && <Failure error={error} />}
      {loading ? <Skeleton className="h-40 w-full" /> : <Gallery providers={providers} choose={choose} />}
    </Dialog>
  );
}

function Gallery({ providers, choose }: { providers: Provider[]; choose: (provider: string) => void }) {
  const t = useT();
  const [text, setText] = useState("");
  const shown = useMemo(() => searchProviders(providers, text), [providers, text]);
  return (
    <div className="space-y-3">
      <Input
        type="search"
        autoFocus
        aria-label={t("channels.search")}
        placeholder={t("channels.search")}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          const [only] = shown;
          if (event.key === "Enter" && text && only && !event.nativeEvent.isComposing) choose(only.id);
        }}
      />
      <ul className="grid gap-2 sm:grid-cols-2 md:grid-cols-3">
        {shown.map((provider) => (
          <li key={provider.id}>
            <button
              type="button"
              onClick={() => choose(provider.id)}
              className="flex w-full items-center gap-3 rounded-xl border border-line p-2.5 text-left transition-colors hover:border-accent hover:bg-accent-soft"
            >
              <Monogram name={provider.name} />
              <span className="min-w-0">
                <span className="block truncate text-sm font-medium">{provider.name}</span>
                <span className="block truncate text-2xs text-muted">
                  {provider.keyless ? t("channels.keyless") : (provider.keys[0] ?? provider.id)}
                </span>
              </span>
            </button>
          </li>
        ))}
      </ul>
      {shown.length === 0 && <Notice title={t("channels.noProvider")}>{t("channels.noProviderHint")}</Notice>}
    </div>
  );
}

type FormProps = { provider: Provider; taken: string[]; back: () => void; close: () => void };
type Outcome = { test: Api<"ChannelTest">; models: number };

function Form({ provider, taken, back, close }: FormProps) {
  const t = useT();
  const told = useTold();
  const options = placeholders(provider.base_url);
  const [name, setName] = useState(() => freeName(provider.id, taken));
  const [keys, setKeys] = useState("");
  const [address, setAddress] = useState("");
  const [given, setGiven] = useState<Record<string, string>>({});
  const [models, setModels] = useState<string[]>([]);
  const [tags, setTags] = useState<string[]>([]);
  // The channel stays when its test fails: the next try changes it.
  const [made, setMade] = useState(false);

  const connect = useChange(
    async (): Promise<Outcome> => {
      const credentials = pastedKeys(keys);
      const fields = {
        base_urls: address.trim() ? [address.trim()] : [],
        options: Object.fromEntries(Object.entries(given).filter(([, value]) => value.trim())),
        models: models.length > 0 ? readModels(models) : null,
        tags,
      };
      const path = { params: { path: { name } } };
      if (made) {
        const body = { ...fields, ...(credentials.length > 0 ? { credentials } : {}) } as Api<"ChannelPatch">;
        await answer(api.PATCH("/api/v1/channels/{name}", { ...path, body }));
      } else {
        const body = { name, provider: provider.id, credentials, ...fields } as Api<"ChannelInput">;
        await answer(api.POST("/api/v1/channels", { body }));
        setMade(true);
      }
      const listed =
        models.length > 0
          ? models.length
          : await answer(api.POST("/api/v1/channels/{name}/models", path)).then(
              (found) => found.models.length,
              // A provider without a list still may answer; the test tells.
              () => 0,
            );
      const test = await answer(api.POST("/api/v1/channels/{name}/test", { ...path, body: { enable: true } }));
      return { test, models: listed };
    },
    { inPlace: true },
  );
  const force = useChange(
    () => answer(api.POST("/api/v1/channels/{name}/enable", { params: { path: { name } }, body: { force: true } })),
    { after: close },
  );
  const drop = useChange(() => answer(api.DELETE("/api/v1/channels/{name}", { params: { path: { name } } })), {
    after: close,
  });
  const passed = connect.data?.test.passed;
  const ready = name.trim() && (provider.keyless || keys.trim() || made) && (!provider.needs_address || address.trim());

  return (
    <Dialog
      open
      firm
      onClose={close}
      title={
        <span className="flex items-center gap-2.5">
          <Monogram name={provider.name} /> {provider.name}
        </span>
      }
      footer={
        passed ? (
          <Button look="primary" onClick={close}>
            {t("done")}
          </Button>
        ) : (
          <>
            {made ? (
              <>
                <Button look="danger" busy={drop.isPending} onClick={() => drop.mutate(undefined)}>
                  {t("channels.drop")}
                </Button>
                {connect.data && (
                  <Button busy={force.isPending} onClick={() => force.mutate(undefined)}>
                    {t("channels.force")}
                  </Button>
                )}
              </>
            ) : (
              <Button icon={<ArrowLeft className="size-4" />} onClick={back}>
                {t("channels.other")}
              </Button>
            )}
            <Button look="primary" type="submit" form="add-channel" disabled={!ready} busy={connect.isPending}>
              {connect.isPending ? t("channels.testing") : made ? t("channels.again") : t("channels.connect")}
            </Button>
          </>
        )
      }
    >
      <form
        id="add-channel"
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          connect.mutate(undefined);
        }}
      >
        {provider.notes && <Notice>{told(`provider/${provider.id}`, provider.notes)}</Notice>}
        {!passed && (
          <>
            <Field
              label={t("channels.key")}
              optional={provider.keyless ? t("optional") : undefined}
              hint={t("channels.keyHint", { env: provider.keys[0] ?? "API_KEY" })}
            >
              <TextArea
                mono
                autoFocus
                rows={2}
                autoComplete="off"
                className="!min-h-14 [-webkit-text-security:disc]"
                placeholder={made ? t("channels.keyKept") : "sk-…"}
                value={keys}
                onChange={(event) => setKeys(event.target.value)}
              />
            </Field>
            {options.map((option) => (
              <Field key={option} label={option} hint={t("channels.optionHint", { address: provider.base_url })}>
                <Input
                  value={given[option] ?? ""}
                  onChange={(event) => setGiven({ ...given, [option]: event.target.value })}
                />
              </Field>
            ))}
            {provider.needs_address && (
              <Field label={t("channels.address")} hint={t("channels.addressHint", { example: provider.base_url })}>
                <Input type="url" mono required value={address} onChange={(event) => setAddress(event.target.value)} />
              </Field>
            )}
            <details className="group rounded-lg border border-line p-3">
              <summary className="text-sm font-medium">{t("channels.advanced")}</summary>
              <div className="mt-3 space-y-4">
                <Field label={t("name")} hint={t("channels.nameHint")}>
                  <Input required disabled={made} value={name} onChange={(event) => setName(event.target.value)} />
                </Field>
                {!provider.needs_address && (
                  <Field label={t("channels.address")} optional={t("optional")}>
                    <Input
                      type="url"
                      mono
                      placeholder={provider.base_url}
                      value={address}
                      onChange={(event) => setAddress(event.target.value)}
                    />
                  </Field>
                )}
                <WordsInput
                  label={t("channels.modelsField")}
                  optional={t("optional")}
                  hint={t("channels.modelsHint")}
                  values={models}
                  onChange={setModels}
                />
                <WordsInput label={t("channels.tags")} optional={t("optional")} values={tags} onChange={setTags} />
              </div>
            </details>
            {provider.docs && (
              <a
                href={provider.docs}
                target="_blank"
                rel="noreferrer noopener"
                className="inline-flex items-center gap-1 text-xs text-accent hover:underline"
              >
                {t("channels.docs")} <ExternalLink aria-hidden className="size-3" />
              </a>
            )}
          </>
        )}
        {connect.isError && <Failure error={connect.error} />}
        {connect.data && <TestResult result={connect.data.test} />}
        {passed && (
          <p className="flex flex-wrap items-center gap-2 text-sm">
            <Badge tone="good">{t("channel.working")}</Badge>
            {t("channels.ready", { n: connect.data?.models ?? 0, name })}
          </p>
        )}
      </form>
    </Dialog>
  );
}
