import { useQuery } from "@tanstack/react-query";
import { FolderGit2, Trash2 } from "lucide-react";
import { useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange } from "@/api/queries";
import { Badge } from "@/components/ui/badge";
import { Button, IconButton } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Empty } from "@/components/ui/empty";
import { Field, Input, Select } from "@/components/ui/field";
import { Failure } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { useT } from "@/i18n";

type List = Api<"PinList">;

/** Folders that are bound to profiles. */
export function Pins() {
  const t = useT();
  const list = useQuery({
    queryKey: ["pins"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/pins", { signal })),
  });
  const free = useChange(
    ({ folder, tool }: List["pins"][number]) =>
      answer(api.PUT("/api/v1/pins", { body: { folder, tool: tool ?? null, profile: null } })).then(() => folder),
    { done: (folder) => t("pins.removed", { folder }) },
  );
  if (list.isError) return <Failure error={list.error} retry={() => void list.refetch()} />;
  if (!list.data) return <Skeleton className="h-48 w-full" />;
  const { pins, profiles } = list.data;
  return (
    <>
      <Card title={t("pins.open")} hint={t("pins.hint")}>
        <Bind list={list.data} />
      </Card>
      {pins.length === 0 ? (
        <Empty icon={<FolderGit2 />} title={t("pins.none")}>
          {t("pins.noneHint")}
        </Empty>
      ) : (
        <Table
          className="rounded-xl border border-line bg-surface"
          label={t("tools.folders")}
          rows={pins}
          id={(pin) => `${pin.folder} ${pin.tool ?? ""}`}
          columns={[
            {
              id: "folder",
              head: t("pins.folder"),
              cell: (pin) => <code className="font-mono text-xs break-all">{pin.folder}</code>,
            },
            { id: "tool", head: t("pins.tool"), cell: (pin) => pin.tool ?? t("pins.every") },
            {
              id: "profile",
              head: t("pins.profile"),
              cell: (pin) => (
                <span className="flex flex-wrap items-center gap-2">
                  <span className="font-medium">{pin.profile}</span>
                  {pin.profile !== "direct" && !profiles.includes(pin.profile) && (
                    <Badge tone="bad">{t("pins.gone")}</Badge>
                  )}
                </span>
              ),
            },
            {
              id: "free",
              head: <span className="sr-only">{t("remove")}</span>,
              right: true,
              cell: (pin) => (
                <IconButton
                  label={t("pins.remove", { folder: pin.folder })}
                  disabled={free.isPending}
                  onClick={() => free.mutate(pin)}
                >
                  <Trash2 />
                </IconButton>
              ),
            },
          ]}
        />
      )}
    </>
  );
}

function Bind({ list }: { list: List }) {
  const t = useT();
  const [folder, setFolder] = useState("");
  const [tool, setTool] = useState("");
  const [profile, setProfile] = useState("direct");
  const bind = useChange(
    () => answer(api.PUT("/api/v1/pins", { body: { folder: folder.trim(), tool: tool || null, profile } })),
    {
      inPlace: true,
      done: () => t("pins.added", { folder: folder.trim(), profile }),
      after: () => setFolder(""),
    },
  );
  return (
    <form
      className="space-y-3"
      onSubmit={(event) => {
        event.preventDefault();
        bind.mutate(undefined);
      }}
    >
      <div className="grid items-start gap-3 md:grid-cols-[2fr_1fr_1fr_auto]">
        <Field label={t("pins.folder")} hint={t("pins.folderHint")}>
          <Input
            mono
            required
            placeholder="/home/me/work/client"
            value={folder}
            onChange={(event) => setFolder(event.target.value)}
          />
        </Field>
        <Field label={t("pins.tool")}>
          <Select value={tool} onChange={(event) => setTool(event.target.value)}>
            <option value="">{t("pins.every")}</option>
            {list.tools.map((id) => (
              <option key={id}>{id}</option>
            ))}
          </Select>
        </Field>
        <Field label={t("pins.profile")}>
          <Select value={profile} onChange={(event) => setProfile(event.target.value)}>
            <option value="direct">direct</option>
            {list.profiles.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </Select>
        </Field>
        <Button type="submit" look="primary" className="md:mt-5" disabled={!folder.trim()} busy={bind.isPending}>
          {t("pins.add")}
        </Button>
      </div>
      {bind.isError && <Failure error={bind.error} />}
    </form>
  );
}
