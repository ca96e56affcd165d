import { useNavigate, useSearch } from "@tanstack/react-router";
import { Cable, Plus, Radar } from "lucide-react";
import { lazy, Suspense, useMemo, useState } from "react";
import { useChannels, useHealth, useProviders } from "@/api/queries";
import { Button } from "@/components/ui/button";
import { Empty } from "@/components/ui/empty";
import { Input } from "@/components/ui/field";
import { Failure } from "@/components/ui/notice";
import { Page } from "@/components/ui/page";
import { Skeleton } from "@/components/ui/spinner";
import { useT } from "@/i18n";
import { AddChannel } from "./add";
import { ChannelCard } from "./card";
import { EditChannel } from "./edit";
import { Prices } from "./prices";

const Discover = lazy(() => import("@/features/discover/dialog").then((m) => ({ default: m.Discover })));

export type ChannelsSearch = { add?: string; edit?: string; look?: string; found?: boolean };

/** Accounts at providers. */
export function ChannelsPage() {
  const t = useT();
  const navigate = useNavigate({ from: "/channels" });
  const { add, edit, look, found } = useSearch({ from: "/channels" });
  const channels = useChannels();
  const providers = useProviders();
  const health = useHealth();
  const [text, setText] = useState("");
  const names = useMemo(
    () => new Map(providers.data?.providers.map((provider) => [provider.id, provider])),
    [providers.data],
  );
  const all = channels.data?.channels ?? [];
  const wanted = text.trim().toLowerCase();
  const shown = all.filter((channel) =>
    [channel.name, channel.provider, ...channel.tags].some((word) => word.toLowerCase().includes(wanted)),
  );
  const open = (search: ChannelsSearch) => void navigate({ search });
  const edited = all.find((channel) => channel.name === edit);
  return (
    <Page
      title={t("channels.title")}
      hint={t("channels.hint")}
      actions={
        <>
          {all.length > 4 && (
            <Input
              type="search"
              className="!w-44"
              aria-label={t("channels.find")}
              placeholder={t("channels.find")}
              value={text}
              onChange={(event) => setText(event.target.value)}
            />
          )}
          <Button icon={<Radar className="size-4" />} onClick={() => open({ found: true })}>
            {t("discover.open")}
          </Button>
          <Button look="primary" icon={<Plus className="size-4" />} onClick={() => open({ add: "" })}>
            {t("channels.add")}
          </Button>
        </>
      }
    >
      {channels.isError && <Failure error={channels.error} retry={() => void channels.refetch()} />}
      {channels.isPending && <Skeleton className="h-40 w-full max-w-md" />}
      {channels.isSuccess && all.length === 0 && (
        <Empty
          icon={<Cable />}
          title={t("channels.none")}
          action={
            <>
              <Button look="primary" onClick={() => open({ add: "" })}>
                {t("channels.addFirst")}
              </Button>
              <Button onClick={() => open({ found: true })}>{t("discover.open")}</Button>
            </>
          }
        >
          {t("channels.noneHint")}
        </Empty>
      )}
      <div className="grid gap-3 sm:grid-cols-[repeat(auto-fill,minmax(22rem,1fr))]">
        {shown.map((channel) => (
          <ChannelCard
            key={channel.name}
            channel={channel}
            provider={names.get(channel.provider)}
            health={health.data?.channels.find((found) => found.channel === channel.name)}
            edit={() => open({ edit: channel.name })}
            look={() => open({ look: channel.name })}
          />
        ))}
      </div>
      {add !== undefined && (
        <AddChannel
          providers={providers.data?.providers ?? []}
          loading={providers.isPending}
          error={providers.error}
          taken={all.map((channel) => channel.name)}
          chosen={add}
          choose={(provider) => open({ add: provider })}
          close={() => open({})}
        />
      )}
      {found && (
        <Suspense fallback={null}>
          <Discover close={() => open({})} />
        </Suspense>
      )}
      {look && <Prices key={look} channel={look} close={() => open({})} />}
      {edited && (
        <EditChannel key={edited.name} channel={edited} provider={names.get(edited.provider)} close={() => open({})} />
      )}
    </Page>
  );
}
