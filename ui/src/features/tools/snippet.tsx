import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api } from "@/api/client";
import { useChange } from "@/api/queries";
import { Button } from "@/components/ui/button";
import { Code } from "@/components/ui/code";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input, Select } from "@/components/ui/field";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { useT } from "@/i18n";
import { useNote } from "./queries";
import { type Tool, type ToolList, withKey } from "./shape";

/** Text for a tool whose file cannot be changed, or that runs elsewhere. */
export function Snippet({ tool, list, close }: { tool: Tool; list: ToolList; close: () => void }) {
  const t = useT();
  const noteOf = useNote();
  const [model, setModel] = useState("");
  const [profile, setProfile] = useState("");
  const [base, setBase] = useState("");
  const [name, setName] = useState(tool.key ? `${tool.id}-remote` : tool.id);
  const query = { model: model || undefined, profile: profile || undefined, base: base.trim() || undefined };
  const path = { tool: tool.id };
  const found = useQuery({
    queryKey: ["snippet", tool.id, query],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/tools/{tool}/snippet", { params: { path, query }, signal })),
    placeholderData: keepPreviousData,
  });
  const make = useChange(() => answer(api.POST("/api/v1/keys", { body: { name: name.trim(), tool: tool.id } })), {
    inPlace: true,
  });
  const secret = make.data?.secret;
  return (
    <Dialog open wide firm onClose={close} title={t("tools.snippetOne", { name: tool.name })} hint={t("snippet.hint")}>
      <div className="space-y-4">
        <div className="grid gap-4 sm:grid-cols-3">
          <Field label={t("tools.model")}>
            <Select value={model} onChange={(event) => setModel(event.target.value)}>
              <option value="">{list.models[0] ?? "–"}</option>
              {list.models.slice(1).map((one) => (
                <option key={one}>{one}</option>
              ))}
            </Select>
          </Field>
          <Field label={t("connect.pin")}>
            <Select value={profile} onChange={(event) => setProfile(event.target.value)}>
              <option value="">{t("none")}</option>
              <option value="direct">direct</option>
              {list.profiles.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </Select>
          </Field>
          <Field label={t("connect.base")} optional={t("optional")} hint={t("snippet.baseHint")}>
            <Input
              type="url"
              mono
              placeholder={list.base}
              value={base}
              onChange={(event) => setBase(event.target.value)}
            />
          </Field>
        </div>
        {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
        {found.isPending && <Skeleton className="h-28 w-full" />}
        {found.data && !found.isError && (
          <Code wrap label={t("snippet.text")} text={secret ? withKey(found.data.text, secret) : found.data.text} />
        )}
        {secret ? (
          <Notice tone="warn">{t("snippet.made", { name: make.data?.key.name ?? name })}</Notice>
        ) : (
          <div className="flex flex-wrap items-end gap-2">
            <Field label={t("snippet.keyName")} className="w-56">
              <Input value={name} onChange={(event) => setName(event.target.value)} />
            </Field>
            <Button busy={make.isPending} disabled={!name.trim()} onClick={() => make.mutate(undefined)}>
              {t("snippet.make")}
            </Button>
          </div>
        )}
        {make.isError && <Failure error={make.error} />}
        {!secret && tool.key && (
          <p className="text-xs text-muted">
            {t("snippet.keyHint", { command: `myelin tool snippet ${tool.id} --reveal` })}
          </p>
        )}
        {tool.notes.map((note) => (
          <Notice key={note.code}>{noteOf(tool.id, note)}</Notice>
        ))}
      </div>
    </Dialog>
  );
}
