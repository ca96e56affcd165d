import { useNavigate, useSearch } from "@tanstack/react-router";
import { ArrowDown, FileLock2, Pencil, Plus, Split, Trash2 } from "lucide-react";
import { useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange, useRoutes } from "@/api/queries";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Confirm } from "@/components/ui/confirm";
import { Empty } from "@/components/ui/empty";
import { Menu } from "@/components/ui/menu";
import { Failure } from "@/components/ui/notice";
import { Page } from "@/components/ui/page";
import { Skeleton } from "@/components/ui/spinner";
import { useT } from "@/i18n";
import { RouteEditor } from "./editor";

export type RoutesSearch = { edit?: string; add?: boolean };

/** Models of our own: which deployments serve them, in which order. */
export function RoutesPage() {
  const t = useT();
  const navigate = useNavigate({ from: "/routes" });
  const { edit, add } = useSearch({ from: "/routes" });
  const routes = useRoutes();
  const [leaving, setLeaving] = useState<Api<"Route">>();
  const open = (search: RoutesSearch) => void navigate({ search });
  const remove = useChange(
    (model: string) => answer(api.DELETE("/api/v1/routes/{model}", { params: { path: { model } } })),
    { inPlace: true, after: () => setLeaving(undefined) },
  );
  const all = routes.data?.routes ?? [];
  const edited = all.find((route) => route.model === edit);
  const addButton = (
    <Button look="primary" icon={<Plus className="size-4" />} onClick={() => open({ add: true })}>
      {t("routes.add")}
    </Button>
  );
  return (
    <Page title={t("routes.title")} hint={t("routes.hint")} actions={all.length > 0 && addButton}>
      {routes.isError && <Failure error={routes.error} retry={() => void routes.refetch()} />}
      {routes.isPending && <Skeleton className="h-32 w-full" />}
      {routes.isSuccess && all.length === 0 && (
        <Empty icon={<Split />} title={t("routes.none")} action={addButton}>
          {t("routes.noneHint")}
        </Empty>
      )}
      <div className="grid gap-3 lg:grid-cols-2">
        {all.map((route) => (
          <Card
            key={route.model}
            title={
              <span className="flex items-center gap-2">
                <code className="truncate">{route.model}</code>
                {route.origin === "file" && (
                  <Badge icon={<FileLock2 />} title={t("fromFileHint")}>
                    {t("fromFile")}
                  </Badge>
                )}
              </span>
            }
            actions={
              <div className="flex items-center gap-1">
                <Button small icon={<Pencil className="size-3.5" />} onClick={() => open({ edit: route.model })}>
                  {t("edit")}
                </Button>
                {route.origin !== "file" && (
                  <Menu
                    label={t("routes.more", { model: route.model })}
                    items={[{ label: t("delete"), icon: <Trash2 />, danger: true, run: () => setLeaving(route) }]}
                  />
                )}
              </div>
            }
          >
            <ol className="space-y-1.5">
              {route.groups.map((group, at) => (
                // Groups have no name: their place is what tells them apart.
                // oxlint-disable-next-line react/no-array-index-key
                <li key={at}>
                  {at > 0 && (
                    <span className="flex items-center gap-1 py-1 pl-3 text-2xs text-muted">
                      <ArrowDown aria-hidden className="size-3" /> {t("routes.standby")}
                    </span>
                  )}
                  <div className="flex flex-wrap items-center gap-1.5 rounded-lg bg-sunken px-3 py-2 text-sm">
                    {group.use.map((use) => (
                      <code key={use} className="rounded bg-surface px-1.5 py-0.5 text-xs ring-1 ring-line">
                        {use}
                      </code>
                    ))}
                    {group.strategy && <Badge className="ml-auto">{group.strategy}</Badge>}
                  </div>
                </li>
              ))}
            </ol>
          </Card>
        ))}
      </div>
      {edited && <RouteEditor key={edited.model} value={edited} close={() => open({})} />}
      {add && <RouteEditor close={() => open({})} />}
      {leaving && (
        <Confirm
          title={t("routes.remove", { model: leaving.model })}
          act={t("delete")}
          busy={remove.isPending}
          error={remove.error}
          run={() => remove.mutate(leaving.model)}
          close={() => setLeaving(undefined)}
        >
          <p>{t("routes.removeHint")}</p>
        </Confirm>
      )}
    </Page>
  );
}
