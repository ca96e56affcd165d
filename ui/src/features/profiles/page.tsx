import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { ArrowRight, CopyPlus, FileLock2, Pencil, Plus, Shuffle, Sparkles, Trash2 } from "lucide-react";
import { useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange, useChosen, useKeys, useModels, useProfiles } from "@/api/queries";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Confirm } from "@/components/ui/confirm";
import { Select } from "@/components/ui/field";
import { Menu } from "@/components/ui/menu";
import { Failure } from "@/components/ui/notice";
import { Page } from "@/components/ui/page";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { useT } from "@/i18n";
import { ProfileEditor } from "./editor";
import { Explain } from "./explain";
import { counted, type Profile, patternOf } from "./rules";
import { ProfileCards } from "./switch";

export type ProfilesSearch = { edit?: string; like?: string; preset?: string; add?: boolean };

/** Who is sent where: named sets of rules, one of them active. */
export function ProfilesPage() {
  const t = useT();
  const navigate = useNavigate({ from: "/profiles" });
  const { edit, like, preset, add } = useSearch({ from: "/profiles" });
  const profiles = useProfiles();
  const presets = useQuery({
    queryKey: ["presets"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/profile-presets", { signal })),
    staleTime: Number.POSITIVE_INFINITY,
  });
  // The cards below ask for these too; asked for here, they come with the rest.
  useKeys();
  useModels();
  const ready = presets.data?.presets ?? [];
  const chosen = ready.find((row) => row.name === preset);
  const [leaving, setLeaving] = useState<Profile>();
  const open = (search: ProfilesSearch) => void navigate({ search });
  const remove = useChange(
    (name: string) => answer(api.DELETE("/api/v1/profiles/{name}", { params: { path: { name } } })),
    { inPlace: true, after: () => setLeaving(undefined) },
  );
  const all = profiles.data?.profiles ?? [];
  const edited = all.find((profile) => profile.name === edit);
  const model = all.find((profile) => profile.name === like);
  return (
    <Page
      title={t("profiles.title")}
      hint={t("profiles.hint")}
      actions={
        <>
          <Menu
            label={t("profiles.presets")}
            trigger={<Button icon={<Sparkles className="size-4" />}>{t("profiles.presets")}</Button>}
            items={ready.map((row) => ({
              label: row.needs.length > 0 ? `${row.name} (${row.needs.join(", ")})` : row.name,
              run: () => open({ add: true, preset: row.name }),
            }))}
          />
          <Button look="primary" icon={<Plus className="size-4" />} onClick={() => open({ add: true })}>
            {t("profiles.add")}
          </Button>
        </>
      }
    >
      {profiles.isError && <Failure error={profiles.error} retry={() => void profiles.refetch()} />}
      {profiles.isPending && <Skeleton className="h-32 w-full" />}
      {profiles.data && (
        <>
          <Card title={t("profiles.active")} hint={t("profiles.activeHint")}>
            <ProfileCards list={profiles.data} />
          </Card>
          <Explain />
          <PerKey />
          {all.map((profile) => (
            <Card
              key={profile.name}
              flush
              title={
                <span className="flex items-center gap-2">
                  {profile.name}
                  {profile.origin === "file" && (
                    <Badge icon={<FileLock2 />} title={t("fromFileHint")}>
                      {t("fromFile")}
                    </Badge>
                  )}
                </span>
              }
              hint={profile.description ?? t("profiles.rules", { n: (profile.rules ?? []).length })}
              actions={
                <div className="flex items-center gap-1">
                  <Button small icon={<Pencil className="size-3.5" />} onClick={() => open({ edit: profile.name })}>
                    {t("edit")}
                  </Button>
                  <Menu
                    label={t("profiles.more", { name: profile.name })}
                    items={[
                      {
                        label: t("profiles.duplicate"),
                        icon: <CopyPlus />,
                        run: () => open({ add: true, like: profile.name }),
                      },
                      profile.origin !== "file" && {
                        label: t("delete"),
                        icon: <Trash2 />,
                        danger: true,
                        run: () => setLeaving(profile),
                      },
                    ]}
                  />
                </div>
              }
            >
              <Rules profile={profile} />
            </Card>
          ))}
        </>
      )}
      {edited && <ProfileEditor key={edited.name} value={edited} close={() => open({})} />}
      {add && (preset === undefined || chosen) && (
        <ProfileEditor key={chosen?.name} like={chosen?.profile ?? model} name={chosen?.name} close={() => open({})} />
      )}
      {leaving && (
        <Confirm
          title={t("profiles.remove", { name: leaving.name })}
          act={t("delete")}
          busy={remove.isPending}
          error={remove.error}
          run={() => remove.mutate(leaving.name)}
          close={() => setLeaving(undefined)}
        >
          <p>{t("profiles.removeHint")}</p>
        </Confirm>
      )}
    </Page>
  );
}

function Rules({ profile }: { profile: Profile }) {
  const t = useT();
  if ((profile.rules ?? []).length === 0)
    return <p className="px-4 py-3 text-sm text-muted">{t("profiles.noRules")}</p>;
  return (
    <Table
      label={t("profiles.rulesOf", { name: profile.name })}
      rows={(profile.rules ?? []).map((rule, at) => ({ rule, at }))}
      id={({ at }) => String(at)}
      columns={[
        { id: "at", head: "#", className: "w-10 text-muted", cell: ({ at }) => at + 1 },
        {
          id: "pattern",
          head: t("profiles.asked"),
          cell: ({ rule }) => (
            <span className="flex flex-wrap items-center gap-1.5">
              <code className="text-xs">{patternOf(rule)}</code>
              {counted(rule.if) > 0 && (
                <Badge title={JSON.stringify(rule.if)}>{t("if.n", { n: counted(rule.if) })}</Badge>
              )}
            </span>
          ),
        },
        {
          id: "to",
          head: t("profiles.goes"),
          cell: ({ rule }) => (
            <span className="flex flex-wrap items-center gap-1.5">
              <ArrowRight aria-hidden className="size-3.5 text-muted" />
              <span className="font-medium">{rule.to}</span>
              {(rule.fallback ?? []).map((target) => (
                <span key={target} className="text-muted">
                  {t("profiles.else")} {target}
                </span>
              ))}
            </span>
          ),
        },
        {
          id: "set",
          head: t("profiles.sets"),
          cell: ({ rule }) => {
            const set = Object.entries((rule.set ?? {}) as Record<string, unknown>);
            return set.length === 0 ? (
              <span className="text-muted">–</span>
            ) : (
              <code className="text-xs">
                {set.map(([name, value]) => `${name} = ${JSON.stringify(value)}`).join(", ")}
              </code>
            );
          },
        },
      ]}
    />
  );
}

/** Keys and tools that do not follow the gateway. */
function PerKey() {
  const t = useT();
  const keys = useKeys();
  const all = keys.data?.keys ?? [];
  if (all.length === 0) return null;
  return (
    <Card flush title={t("profiles.perKey")} hint={t("profiles.perKeyHint")}>
      <Table
        label={t("profiles.perKey")}
        rows={all}
        id={(key) => key.id}
        columns={[
          {
            id: "key",
            head: t("requests.key"),
            cell: (key) => (
              <>
                <span className="font-medium">{key.name}</span>
                {key.tool && <span className="ml-2 text-muted">{key.tool}</span>}
              </>
            ),
          },
          {
            id: "profile",
            head: t("inspect.profile"),
            cell: (key) => <OwnProfile row={key} />,
          },
          {
            id: "state",
            head: <span className="sr-only">{t("column.state")}</span>,
            cell: (key) =>
              key.profile && (
                <Badge tone="accent" icon={<Shuffle />}>
                  {t("profiles.ownProfile")}
                </Badge>
              ),
          },
        ]}
      />
    </Card>
  );
}

function OwnProfile({ row }: { row: Api<"KeyView"> }) {
  const t = useT();
  const profiles = useProfiles();
  const change = useChange((profile: string | null) =>
    answer(api.PUT("/api/v1/active-profile", { body: { key: row.id, profile } })),
  );
  const [chosen, choose] = useChosen(row.profile ?? null, change.mutateAsync);
  return (
    <Select
      small
      className="w-72 max-w-full"
      aria-label={t("profiles.of", { name: row.name })}
      value={chosen ?? ""}
      onChange={(event) => choose(event.target.value || null)}
    >
      <option value="">{t("keys.followsLong", { profile: profiles.data?.active ?? "" })}</option>
      <option value="direct">direct</option>
      {profiles.data?.profiles.map((profile) => (
        <option key={profile.name}>{profile.name}</option>
      ))}
    </Select>
  );
}
