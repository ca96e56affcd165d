import { useQuery } from "@tanstack/react-query";
import { FileSearch, Radar } from "lucide-react";
import { useState } from "react";
import { answer, api } from "@/api/client";
import { useChange } from "@/api/queries";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Empty } from "@/components/ui/empty";
import { Check } from "@/components/ui/field";
import { Failure } from "@/components/ui/notice";
import { Skeleton, Spinner } from "@/components/ui/spinner";
import { TestResult } from "@/features/channels/test-result";
import { useT } from "@/i18n";
import { FromFile } from "./file";
import { Import } from "./import";
import { type Discovered, empty, type ImportSource, nameOf, offered } from "./shape";

/** Keys, model servers and other gateways' settings that are on the gateway's machine already: offered, never taken by itself. */
export function Discover({ close }: { close: () => void }) {
  const t = useT();
  const found = useQuery({
    queryKey: ["discover"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/discover", { signal })),
    // Asking takes up to two seconds and shows what is there now: once each time it is opened.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
  const [reading, setReading] = useState<ImportSource>();
  if (reading) return <Import source={reading} back={() => setReading(undefined)} close={close} />;
  return (
    <Found key={found.dataUpdatedAt} found={found.data} close={close} read={setReading}>
      {found.isPending && (
        <div role="status" className="space-y-3 text-sm text-muted">
          <p className="flex items-center gap-2">
            <Spinner /> {t("discover.looking")}
          </p>
          <Skeleton className="h-32 w-full" />
        </div>
      )}
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
    </Found>
  );
}

type FoundProps = {
  found: Discovered | undefined;
  close: () => void;
  read: (source: ImportSource) => void;
  children: React.ReactNode;
};

function Found({ found, close, read, children }: FoundProps) {
  const t = useT();
  const [chosen, setChosen] = useState(() => (found ? offered(found) : { keys: [], servers: [] }));
  const adopt = useChange(() => answer(api.POST("/api/v1/discover/adopt", { body: chosen })), { inPlace: true });
  const n = chosen.keys.length + chosen.servers.length;
  const nothing = found !== undefined && empty(found);
  return (
    <Dialog
      open
      wide
      firm
      onClose={close}
      title={t("discover.title")}
      hint={t("discover.hint")}
      footer={
        adopt.isSuccess ? (
          <Button look="primary" onClick={close}>
            {t("done")}
          </Button>
        ) : (
          <>
            <Button onClick={close}>{t("cancel")}</Button>
            <Button look="primary" disabled={n === 0} busy={adopt.isPending} onClick={() => adopt.mutate(undefined)}>
              {adopt.isPending ? t("discover.adopting") : t("discover.adopt", { n })}
            </Button>
          </>
        )
      }
    >
      <div className="space-y-5">
        {children}
        {adopt.isError && <Failure error={adopt.error} />}
        {adopt.data ? (
          <ul className="space-y-3">
            {adopt.data.channels.map((channel) => (
              <li key={channel.name} className="space-y-1.5">
                <h3 className="text-sm font-medium">{channel.name}</h3>
                <TestResult result={channel.test} />
              </li>
            ))}
          </ul>
        ) : (
          found && (
            <>
              {nothing && (
                <Empty icon={<Radar />} title={t("discover.nothing")}>
                  {t("discover.nothingHint")}
                </Empty>
              )}
              <Choices found={found} chosen={chosen} choose={setChosen} />
              <Configs found={found} read={read} />
              <FromFile read={read} />
            </>
          )
        )}
      </div>
    </Dialog>
  );
}

type Chosen = { keys: string[]; servers: string[] };
type ChoicesProps = { found: Discovered; chosen: Chosen; choose: (chosen: Chosen) => void };

function Choices({ found, chosen, choose }: ChoicesProps) {
  const t = useT();
  const toggled = (list: string[], id: string, on: boolean) => (on ? [...list, id] : list.filter((one) => one !== id));
  const known = <Badge>{t("discover.known")}</Badge>;
  return (
    <>
      {found.keys.length > 0 && (
        <Group title={t("discover.keys")}>
          {found.keys.map((key) => (
            <li key={key.id} className="flex flex-wrap items-center gap-x-3 gap-y-1 px-3 py-2">
              <Check
                on={chosen.keys.includes(key.id)}
                onChange={(on) => choose({ ...chosen, keys: toggled(chosen.keys, key.id, on) })}
                label={
                  <>
                    <span className="font-medium">{key.provider}</span>{" "}
                    <code className="font-mono text-xs text-muted">{key.hint}</code>
                  </>
                }
              />
              <span className="min-w-0 flex-1 text-right text-xs break-all text-muted">
                {key.from}
                {key.base_url && ` → ${key.base_url}`}
              </span>
              {key.known && known}
            </li>
          ))}
        </Group>
      )}
      {found.servers.length > 0 && (
        <Group title={t("discover.servers")}>
          {found.servers.map((server) => (
            <li key={server.provider} className="flex flex-wrap items-center gap-x-3 gap-y-1 px-3 py-2">
              <Check
                on={chosen.servers.includes(server.provider)}
                onChange={(on) => choose({ ...chosen, servers: toggled(chosen.servers, server.provider, on) })}
                label={<span className="font-medium">{server.name}</span>}
              />
              <span className="min-w-0 flex-1 text-right text-xs break-all text-muted" title={server.models.join(", ")}>
                {server.base_url} · {t("channels.models", { n: server.models.length })}
              </span>
              {server.known && known}
            </li>
          ))}
        </Group>
      )}
    </>
  );
}

function Configs({ found, read }: { found: Discovered; read: (source: ImportSource) => void }) {
  const t = useT();
  if (found.configs.length === 0) return null;
  return (
    <Group title={t("discover.configs")}>
      {found.configs.map(({ kind, path }) => (
        <li key={path} className="flex flex-wrap items-center gap-3 px-3 py-2">
          <span className="text-sm font-medium">{nameOf(kind)}</span>
          <code className="min-w-0 flex-1 font-mono text-xs break-all text-muted">{path}</code>
          <Button
            small
            icon={<FileSearch className="size-3.5" />}
            onClick={() => read({ kind, label: path, found: path })}
          >
            {t("discover.look")}
          </Button>
        </li>
      ))}
    </Group>
  );
}

function Group({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <section aria-label={title}>
      <h3 className="mb-1.5 text-xs font-medium">{title}</h3>
      <ul className="divide-y divide-line rounded-xl border border-line">{children}</ul>
    </section>
  );
}
