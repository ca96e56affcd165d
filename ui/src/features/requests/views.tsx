import { Bookmark, Download, Trash2 } from "lucide-react";
import { useState } from "react";
import { csv } from "@/components/charts/shape";
import { Button } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input } from "@/components/ui/field";
import { Menu } from "@/components/ui/menu";
import { Failure } from "@/components/ui/notice";
import { Spinner } from "@/components/ui/spinner";
import { say } from "@/components/ui/toast";
import { useT } from "@/i18n";
import { exact } from "@/lib/format";
import { download } from "@/lib/shell";
import { kept, useValue, value } from "@/lib/store";
import { everyRecord } from "./queries";
import { cleanRequests, filterOf, type RequestsSearch } from "./search";
import { exported } from "./shape";

type View = { name: string; search: RequestsSearch };

/** Views that this browser remembers. What is stored may be anything. */
function read(): View[] {
  try {
    const found: unknown = JSON.parse(kept.get("views") ?? "[]");
    if (!Array.isArray(found)) return [];
    return found.flatMap((entry: { name?: unknown; search?: unknown } | null) =>
      typeof entry?.name === "string" && typeof entry.search === "object" && entry.search !== null
        ? [{ name: entry.name, search: cleanRequests(entry.search as Record<string, unknown>) }]
        : [],
    );
  } catch {
    return [];
  }
}

const views = value<View[]>(read());

function write(next: View[]) {
  views.set(next);
  kept.set("views", JSON.stringify(next));
}

type Props = { search: RequestsSearch; go: (search: RequestsSearch) => void };

/** Filters under a name of one's own. */
export function Views({ search, go }: Props) {
  const t = useT();
  const all = useValue(views);
  const [naming, setNaming] = useState(false);
  const [name, setName] = useState("");
  const filter = filterOf(search);
  const current = all.find((view) => JSON.stringify(view.search) === JSON.stringify(filter));
  return (
    <>
      <Menu
        label={t("views.title")}
        trigger={<Button icon={<Bookmark className="size-4" />}>{current?.name ?? t("views.title")}</Button>}
        items={[
          ...all.map((view) => ({ label: view.name, run: () => go(view.search) })),
          Object.keys(filter).length > 0 &&
            !current && { label: t("views.save"), icon: <Bookmark />, run: () => setNaming(true) },
          current && {
            label: t("views.drop", { name: current.name }),
            icon: <Trash2 />,
            danger: true,
            run: () => write(all.filter((view) => view !== current)),
          },
          all.length === 0 &&
            Object.keys(filter).length === 0 && { label: t("views.none"), disabled: true, run: () => undefined },
        ]}
      />
      {naming && (
        <Dialog open onClose={() => setNaming(false)} title={t("views.save")} hint={t("views.hint")}>
          <form
            className="flex items-end gap-2"
            onSubmit={(event) => {
              event.preventDefault();
              write([...all.filter((view) => view.name !== name.trim()), { name: name.trim(), search: filter }]);
              setNaming(false);
              setName("");
            }}
          >
            <Field label={t("name")} className="flex-1">
              <Input autoFocus required value={name} onChange={(event) => setName(event.target.value)} />
            </Field>
            <Button type="submit" look="primary" disabled={!name.trim()}>
              {t("save")}
            </Button>
          </form>
        </Dialog>
      )}
    </>
  );
}

type ExportProps = { search: RequestsSearch; keyNames: ReadonlyMap<string, string> };

/** The rows behind the filter as a file. Long ones tell how far they are and can be stopped. */
export function Export({ search, keyNames }: ExportProps) {
  const t = useT();
  const [done, setDone] = useState<number>();
  const [stop, setStop] = useState<AbortController>();
  const [error, setError] = useState<unknown>();
  const run = async (kind: "csv" | "jsonl") => {
    const control = new AbortController();
    setStop(control);
    setDone(0);
    setError(undefined);
    try {
      const records = await everyRecord(search, setDone, control.signal);
      if (kind === "jsonl") {
        const lines = records.map((record) => JSON.stringify(record)).join("\n");
        download("requests.jsonl", "application/x-ndjson", `${lines}\n`);
      } else {
        const { head, rows } = exported(records, keyNames);
        download("requests.csv", "text/csv", csv(head, rows));
      }
      say(t("requests.exported", { n: records.length }));
      setDone(undefined);
    } catch (trouble) {
      if (control.signal.aborted) setDone(undefined);
      else setError(trouble);
    }
  };
  return (
    <>
      <Menu
        label={t("costs.export")}
        trigger={<Button icon={<Download className="size-4" />}>{t("costs.export")}</Button>}
        items={[
          { label: "CSV", run: () => void run("csv") },
          { label: "JSONL", run: () => void run("jsonl") },
        ]}
      />
      {done !== undefined && (
        <Dialog
          open
          firm
          title={t("costs.export")}
          onClose={() => {
            stop?.abort();
            setDone(undefined);
          }}
        >
          {error === undefined ? (
            <p className="flex items-center gap-2 text-sm">
              <Spinner /> {t("requests.exporting", { n: exact(done) })}
            </p>
          ) : (
            <Failure error={error} />
          )}
        </Dialog>
      )}
    </>
  );
}
