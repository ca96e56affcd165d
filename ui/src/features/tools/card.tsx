import { Link } from "@tanstack/react-router";
import { Plug, RotateCcw, Wrench } from "lucide-react";
import { answer, api } from "@/api/client";
import { useChange, useChosen } from "@/api/queries";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { CopyButton } from "@/components/ui/copy";
import { Select } from "@/components/ui/field";
import { Ago } from "@/components/ui/moment";
import { Notice } from "@/components/ui/notice";
import { useT } from "@/i18n";
import type { ToolsSearch } from "./page";
import { useNote } from "./queries";
import { pinnedBy, placeOf, runCommand, standing, type Tool, type ToolList } from "./shape";

type Props = { tool: Tool; list: ToolList; open: (search: ToolsSearch) => void };

/** One tool: how it stands, why, and what can be done. */
export function ToolCard({ tool, list, open }: Props) {
  const t = useT();
  const noteOf = useNote();
  const { tone, label } = standing(tool);
  const here = tool.connected !== null && tool.connected !== undefined;
  return (
    <article aria-label={tool.name} className="min-w-0 space-y-3 rounded-xl border border-line bg-surface p-4">
      <header className="flex items-start gap-2">
        <div className="min-w-0 flex-1">
          <h2 className="truncate text-sm font-semibold">{tool.name}</h2>
          <p className="truncate font-mono text-2xs text-muted">{tool.id}</p>
        </div>
        <Badge tone={tone}>{t(label)}</Badge>
      </header>
      <Trouble tool={tool} />
      <Known tool={tool} />
      {tool.key && <OwnProfile tool={tool} list={list} />}
      {tool.can_run && <RunOnce tool={tool} />}
      {tool.notes.length > 0 && (
        <details className="text-xs">
          <summary className="text-muted">{t("tools.notes")}</summary>
          <ul className="mt-1.5 list-disc space-y-1 pl-4 text-muted">
            {tool.notes.map((note) => (
              <li key={note.code}>{noteOf(tool.id, note)}</li>
            ))}
          </ul>
        </details>
      )}
      <footer className="flex flex-wrap gap-2">
        {tool.can_connect && !here && tool.state !== "unreadable" && (
          <Button
            small
            look="primary"
            icon={<Plug className="size-3.5" />}
            aria-label={t("tools.connectOne", { name: tool.name })}
            onClick={() => open({ connect: tool.id })}
          >
            {t("tools.connect")}
          </Button>
        )}
        {tool.state === "drifted" && (
          <Button
            small
            look="primary"
            icon={<Wrench className="size-3.5" />}
            aria-label={t("tools.repairOne", { name: tool.name })}
            onClick={() => open({ repair: tool.id })}
          >
            {t("tools.repair")}
          </Button>
        )}
        {here && (
          <>
            <Button
              small
              aria-label={t("tools.changeOne", { name: tool.name })}
              onClick={() => open({ connect: tool.id })}
            >
              {t("tools.change")}
            </Button>
            <Button
              small
              icon={<RotateCcw className="size-3.5" />}
              aria-label={t("tools.restoreOne", { name: tool.name })}
              onClick={() => open({ restore: tool.id })}
            >
              {t("tools.restore")}
            </Button>
          </>
        )}
        <Button
          small
          look="quiet"
          aria-label={t("tools.snippetOne", { name: tool.name })}
          onClick={() => open({ snippet: tool.id })}
        >
          {t("tools.snippet")}
        </Button>
      </footer>
    </article>
  );
}

/** Why it is not simply connected, in words that say what to do. */
function Trouble({ tool }: { tool: Tool }) {
  const t = useT();
  const unreadable = tool.state === "unreadable";
  return (
    <>
      {tool.drift.length > 0 && (
        <Notice tone={unreadable ? "bad" : "warn"} title={unreadable ? t("tools.cannotRead") : t("tools.drifted")}>
          <ul className="space-y-0.5">
            {tool.drift.map((drift) => (
              <li key={`${drift.path} ${drift.at} ${drift.kind}`} className="break-words">
                {drift.path && <code className="font-mono">{drift.path}</code>}
                {drift.path && ": "}
                {t(`drift.${drift.kind}`, { at: drift.at, found: drift.found ?? "–" })}
              </li>
            ))}
          </ul>
          {unreadable && <p>{t("tools.cannotReadHint")}</p>}
        </Notice>
      )}
      {tool.overrides.length > 0 && (
        <Notice tone="warn" title={t("tools.beaten")}>
          <ul className="space-y-0.5">
            {tool.overrides.map((found) => {
              const file = placeOf(found.from);
              return (
                <li key={`${found.name} ${file}`} className="break-words">
                  {t("tools.beats", { name: found.name, value: found.value })},{" "}
                  {file ? t("tools.inFile", { file }) : t("tools.inEnvironment")}
                </li>
              );
            })}
          </ul>
          <p>{t("tools.beatenHint")}</p>
        </Notice>
      )}
      {tool.points_at && <Notice>{t("tools.pointsAt", { other: tool.points_at })}</Notice>}
    </>
  );
}

function Known({ tool }: { tool: Tool }) {
  const t = useT();
  return (
    <dl className="space-y-1 text-xs">
      {tool.found && <Fact name={t("tools.found")} value={<code className="font-mono">{tool.found}</code>} />}
      {tool.files.length > 0 && (
        <Fact name={t("tools.files")} value={<code className="font-mono">{tool.files.join(", ")}</code>} />
      )}
      {tool.connected && <Fact name={t("tools.since")} value={<Ago at={tool.connected} />} />}
      {tool.model && <Fact name={t("tools.model")} value={tool.model} />}
      {tool.key && (
        <Fact
          name={t("tools.key")}
          value={
            <Link to="/requests" search={{ key: tool.key }} className="text-accent hover:underline">
              {tool.key}
            </Link>
          }
        />
      )}
    </dl>
  );
}

function Fact({ name, value }: { name: string; value: React.ReactNode }) {
  return (
    <div className="flex min-w-0 gap-3">
      <dt className="w-20 shrink-0 text-muted">{name}</dt>
      <dd className="min-w-0 break-all">{value}</dd>
    </div>
  );
}

/** Which profile the tool's requests follow: its key says so, no file is touched. */
function OwnProfile({ tool, list }: { tool: Tool; list: ToolList }) {
  const t = useT();
  const change = useChange(
    (profile: string | null) => answer(api.PUT("/api/v1/active-profile", { body: { tool: tool.id, profile } })),
    { done: () => t("tools.switched", { name: tool.name }) },
  );
  const pinned = pinnedBy(tool.base);
  const [chosen, choose] = useChosen<string | null | undefined>(tool.profile, (profile) =>
    change.mutateAsync(profile ?? null),
  );
  return (
    <div className="space-y-1.5">
      <Select
        small
        aria-label={t("tools.profileOf", { name: tool.name })}
        value={chosen ?? ""}
        disabled={Boolean(pinned)}
        onChange={(event) => choose(event.target.value || null)}
      >
        <option value="">{t("keys.followsLong", { profile: list.active })}</option>
        <option value="direct">direct</option>
        {list.profiles.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </Select>
      {pinned && <p className="text-xs text-muted">{t("tools.pinnedPath", { profile: pinned })}</p>}
    </div>
  );
}

function RunOnce({ tool }: { tool: Tool }) {
  const t = useT();
  const command = runCommand(tool.id);
  return (
    <div className="flex min-w-0 items-center gap-2 rounded-lg bg-sunken py-0.5 pr-0.5 pl-3" title={t("tools.run")}>
      <code className="min-w-0 shrink-0 text-xs">{command}</code>
      <span className="min-w-0 flex-1 truncate text-right text-2xs text-muted">{t("tools.run")}</span>
      <CopyButton text={command} />
    </div>
  );
}
