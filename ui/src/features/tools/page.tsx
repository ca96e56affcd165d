import { useNavigate, useSearch } from "@tanstack/react-router";
import { SquareTerminal } from "lucide-react";
import { Card } from "@/components/ui/card";
import { Button } from "@/components/ui/button";
import { Empty } from "@/components/ui/empty";
import { Failure } from "@/components/ui/notice";
import { Page } from "@/components/ui/page";
import { Skeleton } from "@/components/ui/spinner";
import { Segmented } from "@/components/ui/tabs";
import { useT } from "@/i18n";
import { ToolCard } from "./card";
import { Connect } from "./connect";
import { Pins } from "./pins";
import { useNote, useTools } from "./queries";
import { Restore } from "./restore";
import { sorted, type Tool, type ToolList } from "./shape";
import { Snippet } from "./snippet";

/** One thing is open at a time; the address names it. */
export type ToolsSearch = { view?: "folders"; connect?: string; repair?: string; restore?: string; snippet?: string };

/** Programs of this machine, and how each comes here. */
export function ToolsPage() {
  const t = useT();
  const navigate = useNavigate({ from: "/tools" });
  const search = useSearch({ from: "/tools" });
  const folders = search.view === "folders";
  return (
    <Page
      title={t("tools.title")}
      hint={t("tools.hint")}
      actions={
        <Segmented
          label={t("tools.view")}
          choices={[
            { id: "machine", label: t("tools.machine") },
            { id: "folders", label: t("tools.folders") },
          ]}
          value={folders ? "folders" : "machine"}
          onChange={(view) => void navigate({ search: view === "folders" ? { view } : {}, replace: true })}
        />
      }
    >
      {folders ? <Pins /> : <Machine search={search} open={(next) => void navigate({ search: next })} />}
    </Page>
  );
}

type Props = { search: ToolsSearch; open: (search: ToolsSearch) => void };

function Machine({ search, open }: Props) {
  const t = useT();
  const list = useTools();
  if (list.isError) return <Failure error={list.error} retry={() => void list.refetch()} />;
  if (!list.data) return <Skeleton className="h-64 w-full" />;
  const { here, hand, absent } = sorted(list.data.tools);
  return (
    <>
      {here.length === 0 && (
        <Empty icon={<SquareTerminal />} title={t("tools.noneHere")}>
          {t("tools.noneHereHint")}
        </Empty>
      )}
      <section
        aria-label={t("tools.here")}
        className="grid items-start gap-3 sm:grid-cols-[repeat(auto-fill,minmax(24rem,1fr))]"
      >
        {here.map((tool) => (
          <ToolCard key={tool.id} tool={tool} list={list.data} open={open} />
        ))}
      </section>
      {hand.length > 0 && (
        <Card flush title={t("tools.hand")} hint={t("tools.handHint")}>
          <Rows tools={hand} open={open} />
        </Card>
      )}
      {absent.length > 0 && (
        <Card flush title={t("tools.others")} hint={t("tools.othersHint")}>
          <Rows tools={absent} open={open} />
        </Card>
      )}
      <Opened search={search} list={list.data} close={() => open({})} />
    </>
  );
}

function Rows({ tools, open }: { tools: Tool[]; open: Props["open"] }) {
  const t = useT();
  const noteOf = useNote();
  return (
    <ul className="mt-2 divide-y divide-line border-t border-line">
      {tools.map((tool) => (
        <li key={tool.id} className="flex flex-wrap items-center gap-x-3 gap-y-2 px-4 py-2.5">
          <div className="min-w-0 flex-1 basis-56">
            <p className="text-sm font-medium">{tool.name}</p>
            {tool.notes[0] && <p className="text-xs text-muted">{noteOf(tool.id, tool.notes[0])}</p>}
          </div>
          {tool.can_connect && (
            <Button
              small
              aria-label={t("tools.connectOne", { name: tool.name })}
              onClick={() => open({ connect: tool.id })}
            >
              {t("tools.connect")}
            </Button>
          )}
          <Button
            small
            aria-label={t("tools.snippetOne", { name: tool.name })}
            onClick={() => open({ snippet: tool.id })}
          >
            {t("tools.snippet")}
          </Button>
        </li>
      ))}
    </ul>
  );
}

function Opened({ search, list, close }: { search: ToolsSearch; list: ToolList; close: () => void }) {
  const named = (id: string | undefined) => list.tools.find((tool) => tool.id === id);
  const connected = named(search.connect ?? search.repair);
  const restored = named(search.restore);
  const pasted = named(search.snippet);
  return (
    <>
      {connected && (
        <Connect key={connected.id} tool={connected} list={list} repair={Boolean(search.repair)} close={close} />
      )}
      {restored && <Restore key={restored.id} tool={restored} close={close} />}
      {pasted && <Snippet key={pasted.id} tool={pasted} list={list} close={close} />}
    </>
  );
}
