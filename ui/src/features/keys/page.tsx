import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Ban, FileLock2, KeyRound, Pencil, Plus, RotateCw, Trash2 } from "lucide-react";
import { useState } from "react";
import { type Api, answer, api } from "@/api/client";
import { useChange, useKeys } from "@/api/queries";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Confirm } from "@/components/ui/confirm";
import { Empty } from "@/components/ui/empty";
import { Menu } from "@/components/ui/menu";
import { Ago, useNow } from "@/components/ui/moment";
import { Failure } from "@/components/ui/notice";
import { Page } from "@/components/ui/page";
import { Skeleton } from "@/components/ui/spinner";
import { Table } from "@/components/ui/table";
import { useT } from "@/i18n";
import { KeyForm } from "./form";
import { SecretShown } from "./secret";

export type KeysSearch = { add?: boolean; edit?: string };
type View = Api<"KeyView">;

/** Keys that Myelin issues to tools and people. */
export function KeysPage() {
  const t = useT();
  const navigate = useNavigate({ from: "/keys" });
  const { add, edit } = useSearch({ from: "/keys" });
  const keys = useKeys();
  const [issued, setIssued] = useState<Api<"NewSecret">>();
  const [leaving, setLeaving] = useState<View>();
  const [turning, setTurning] = useState<View>();
  const open = (search: KeysSearch) => void navigate({ search });

  const block = useChange((key: View) =>
    answer(api.PATCH("/api/v1/keys/{key}", { params: { path: { key: key.id } }, body: { blocked: !key.blocked } })),
  );
  const rotate = useChange(
    (key: View) => answer(api.POST("/api/v1/keys/{key}/rotate", { params: { path: { key: key.id } }, body: {} })),
    {
      inPlace: true,
      after: (secret) => {
        setTurning(undefined);
        setIssued(secret);
      },
    },
  );
  const remove = useChange(
    (key: View) => answer(api.DELETE("/api/v1/keys/{key}", { params: { path: { key: key.id } } })),
    {
      inPlace: true,
      after: () => setLeaving(undefined),
    },
  );

  const all = keys.data?.keys ?? [];
  const edited = all.find((key) => key.id === edit);
  return (
    <Page
      title={t("keys.title")}
      hint={t("keys.hint")}
      actions={
        <Button look="primary" icon={<Plus className="size-4" />} onClick={() => open({ add: true })}>
          {t("keys.add")}
        </Button>
      }
    >
      {keys.isError && <Failure error={keys.error} retry={() => void keys.refetch()} />}
      {keys.isPending && <Skeleton className="h-40 w-full" />}
      {keys.isSuccess && all.length === 0 && (
        <Empty icon={<KeyRound />} title={t("keys.none")}>
          {t("keys.noneHint")}
        </Empty>
      )}
      {all.length > 0 && (
        <Table
          className="rounded-xl border border-line bg-surface"
          label={t("keys.title")}
          rows={all}
          id={(key) => key.id}
          columns={[
            {
              id: "name",
              head: t("name"),
              cell: (key) => (
                <div>
                  <Link to="/requests" search={{ key: key.name }} className="font-medium hover:underline">
                    {key.name}
                  </Link>
                  <div className="font-mono text-2xs whitespace-nowrap text-muted">{key.hint}</div>
                </div>
              ),
            },
            { id: "state", head: t("column.state"), cell: (key) => <Standing value={key} /> },
            { id: "tool", head: t("inspect.tool"), cell: (key) => key.tool ?? <span className="text-muted">–</span> },
            {
              id: "profile",
              head: t("inspect.profile"),
              cell: (key) => key.profile ?? <span className="text-muted">{t("keys.follows")}</span>,
            },
            { id: "limits", head: t("keys.may"), cell: (key) => <May value={key} /> },
            { id: "made", head: t("keys.made"), cell: (key) => <Ago at={key.created} /> },
            {
              id: "more",
              head: <span className="sr-only">{t("more")}</span>,
              right: true,
              cell: (key) => (
                <Menu
                  label={t("keys.more", { name: key.name })}
                  items={[
                    { label: t("edit"), icon: <Pencil />, run: () => open({ edit: key.id }) },
                    key.origin !== "file" && {
                      label: key.blocked ? t("keys.unblock") : t("keys.block"),
                      icon: <Ban />,
                      run: () => block.mutate(key),
                    },
                    key.origin !== "file" && {
                      label: t("keys.rotate"),
                      icon: <RotateCw />,
                      run: () => setTurning(key),
                    },
                    key.origin !== "file" && {
                      label: t("delete"),
                      icon: <Trash2 />,
                      danger: true,
                      run: () => setLeaving(key),
                    },
                  ]}
                />
              ),
            },
          ]}
        />
      )}
      {(add || edited) && (
        <KeyForm
          key={edited?.id ?? "new"}
          value={edited}
          close={() => open({})}
          made={(secret) => {
            open({});
            setIssued(secret);
          }}
        />
      )}
      {issued && <SecretShown issued={issued} close={() => setIssued(undefined)} />}
      {leaving && (
        <Confirm
          title={t("keys.remove", { name: leaving.name })}
          act={t("delete")}
          busy={remove.isPending}
          error={remove.error}
          run={() => remove.mutate(leaving)}
          close={() => setLeaving(undefined)}
        >
          <p>{t("keys.removeHint")}</p>
        </Confirm>
      )}
      {turning && (
        <Confirm
          title={t("keys.rotateTitle", { name: turning.name })}
          act={t("keys.rotate")}
          busy={rotate.isPending}
          error={rotate.error}
          run={() => rotate.mutate(turning)}
          close={() => setTurning(undefined)}
        >
          <p>{t("keys.rotateHint")}</p>
        </Confirm>
      )}
    </Page>
  );
}

function Standing({ value }: { value: View }) {
  const t = useT();
  const now = useNow();
  const expired = value.expires !== null && value.expires !== undefined && value.expires <= now;
  return (
    <span className="flex flex-wrap items-center gap-1.5">
      {value.blocked ? (
        <Badge tone="bad">{t("keys.blocked")}</Badge>
      ) : expired ? (
        <Badge tone="bad">{t("keys.expired")}</Badge>
      ) : (
        <Badge tone="good">{t("keys.active")}</Badge>
      )}
      {value.expires && !expired && (
        <span className="text-xs text-muted">
          {t("keys.ends")} <Ago at={value.expires} />
        </span>
      )}
      {value.grace_until.length > 0 && <Badge tone="warn">{t("keys.grace")}</Badge>}
      {value.origin === "file" && (
        <Badge icon={<FileLock2 />} title={t("fromFileHint")}>
          {t("fromFile")}
        </Badge>
      )}
    </span>
  );
}

function May({ value }: { value: View }) {
  const t = useT();
  const words = [...value.models, ...value.channels, ...value.formats];
  if (words.length === 0) return <span className="text-muted">{t("keys.everything")}</span>;
  return (
    <span className="line-clamp-2 max-w-64 text-xs" title={words.join(", ")}>
      {words.join(", ")}
    </span>
  );
}
