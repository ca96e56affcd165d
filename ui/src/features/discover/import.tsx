import { useQuery } from "@tanstack/react-query";
import { ArrowLeft } from "lucide-react";
import { type Api, answer, api } from "@/api/client";
import { useChange } from "@/api/queries";
import { Button } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { useSaid, useT } from "@/i18n";
import { type ImportSource, nameOf } from "./shape";

type Props = { source: ImportSource; back: () => void; close: () => void };

/** What another gateway's settings become here; then, if it is wanted, they do. */
export function Import({ source, back, close }: Props) {
  const t = useT();
  const { kind, found, base64 } = source;
  const run = (apply: boolean, signal?: AbortSignal) =>
    answer(api.POST("/api/v1/import", { body: { kind, found, base64, apply }, signal }));
  const shown = useQuery({
    queryKey: ["import", source],
    queryFn: ({ signal }) => run(false, signal),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    retry: false,
  });
  const take = useChange(() => run(true), { inPlace: true });
  const view = take.data ?? shown.data;
  const nothing = view && view.channels.length + view.profiles.length + view.routes.length === 0;
  return (
    <Dialog
      open
      wide
      firm
      onClose={close}
      title={t("import.title", { name: nameOf(kind) })}
      hint={t("import.hint")}
      footer={
        take.isSuccess ? (
          <Button look="primary" onClick={close}>
            {t("done")}
          </Button>
        ) : (
          <>
            <Button icon={<ArrowLeft className="size-4" />} onClick={back}>
              {t("cancel")}
            </Button>
            <Button
              look="primary"
              disabled={!view || nothing}
              busy={take.isPending}
              onClick={() => take.mutate(undefined)}
            >
              {t("import.go")}
            </Button>
          </>
        )
      }
    >
      <div className="space-y-4">
        <code className="font-mono text-xs break-all text-muted">{source.label}</code>
        {shown.isPending && <Skeleton className="h-32 w-full" />}
        {shown.isError && <Failure error={shown.error} />}
        {take.isError && <Failure error={take.error} />}
        {take.isSuccess && <Notice tone="good" title={t("import.done")} />}
        {nothing && <Notice>{t("import.nothing")}</Notice>}
        {view && <Becomes view={view} />}
      </div>
    </Dialog>
  );
}

function Becomes({ view }: { view: Api<"ImportView"> }) {
  const t = useT();
  const said = useSaid();
  const lists: [string, { name: string; what: string }[]][] = [
    [
      t("import.channels", { n: view.channels.length }),
      view.channels.map((channel) => ({
        name: channel.name,
        what: [channel.provider, ...channel.base_urls, ...channel.credentials].join(" · "),
      })),
    ],
    [
      t("import.profiles", { n: view.profiles.length }),
      view.profiles.map((profile) => ({
        name: profile.name,
        what: (profile.rules ?? []).map((rule) => `→ ${rule.to}`).join(" · "),
      })),
    ],
    [
      t("import.routes", { n: view.routes.length }),
      view.routes.map((route) => ({
        name: route.model,
        what: (route.groups ?? []).flatMap((group) => group.use).join(" · "),
      })),
    ],
  ];
  return (
    <>
      {lists.map(
        ([title, rows]) =>
          rows.length > 0 && (
            <section key={title} aria-label={title}>
              <h3 className="mb-1.5 text-xs font-medium">{title}</h3>
              <ul className="divide-y divide-line rounded-xl border border-line">
                {rows.map((row) => (
                  <li key={row.name} className="flex flex-wrap gap-x-3 px-3 py-2 text-sm">
                    <span className="font-medium">{row.name}</span>
                    <span className="min-w-0 flex-1 text-xs break-all text-muted">{row.what}</span>
                  </li>
                ))}
              </ul>
            </section>
          ),
      )}
      {view.notes.length > 0 && (
        <Notice tone="warn" title={t("import.notes")}>
          <ul className="list-disc space-y-0.5 pl-4">
            {view.notes.map((note) => (
              <li key={note.words}>{said(note)}</li>
            ))}
          </ul>
        </Notice>
      )}
    </>
  );
}
