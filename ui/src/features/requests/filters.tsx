import * as Popover from "@radix-ui/react-popover";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { ListFilter, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { answer, api } from "@/api/client";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Check, Field, Input, Select } from "@/components/ui/field";
import { Failure } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { useT } from "@/i18n";
import { count } from "@/lib/format";
import { LINKS, listQuery, NARROWED, type Narrowed, type RequestsSearch, STATES, type State } from "./search";

type Props = {
  search: RequestsSearch;
  change: (next: Partial<RequestsSearch>) => void;
  live: "off" | "following" | "lost";
};

/** What the list is narrowed to. Every choice lands in the URL. */
export function Filters({ search, change, live }: Props) {
  const t = useT();
  const chips = [
    ...NARROWED.flatMap((name) => {
      const value = search[name];
      return value === undefined ? [] : [{ name, text: `${t(`by.${name}`)}: ${value || t("chart.unnamed")}` }];
    }),
    ...LINKS.flatMap((name) =>
      search[name] === undefined ? [] : [{ name, text: `${t(`inspect.${name}`)}: ${search[name]}` }],
    ),
    ...(search.min_ms === undefined ? [] : [{ name: "min_ms", text: t("requests.slower", { ms: search.min_ms }) }]),
  ];
  return (
    <div className="flex flex-wrap items-center gap-2">
      <Typed label={t("requests.search")} value={search.q} change={(q) => change({ q })} />
      <Select
        aria-label={t("requests.state")}
        className="w-32"
        value={search.state ?? ""}
        onChange={(event) => change({ state: (event.target.value || undefined) as State | undefined })}
      >
        <option value="">{t("requests.anyState")}</option>
        {STATES.map((state) => (
          <option key={state} value={state}>
            {t(`state.${state}`)}
          </option>
        ))}
      </Select>
      <Narrow search={search} change={change} />
      {search.q !== undefined && (
        <Check
          on={search.bodies ?? false}
          label={t("requests.inBodies")}
          onChange={(on) => change({ bodies: on || undefined })}
        />
      )}
      {chips.map(({ name, text }) => (
        <Chip key={name} text={text} remove={() => change({ [name]: undefined })} />
      ))}
      {(search.since !== undefined || search.until !== undefined) && (
        <Chip
          text={[search.since, search.until].map((at) => (at ? new Date(at).toLocaleString() : "…")).join(" – ")}
          remove={() => change({ since: undefined, until: undefined })}
        />
      )}
      <span className="ml-auto" aria-live="polite">
        {live === "following" && (
          <Badge tone="good" icon={<span className="size-1.5 rounded-full bg-current" />}>
            {t("requests.live")}
          </Badge>
        )}
        {live === "lost" && <Badge tone="warn">{t("requests.lost")}</Badge>}
      </span>
    </div>
  );
}

function Chip({ text, remove }: { text: string; remove: () => void }) {
  const t = useT();
  return (
    <button
      type="button"
      onClick={remove}
      className="inline-flex h-9 max-w-72 items-center gap-1.5 rounded-lg bg-accent-soft px-3 text-xs text-accent-strong"
    >
      <span className="truncate">{text}</span>
      <X aria-label={t("remove")} className="size-3.5 shrink-0" />
    </button>
  );
}

type NarrowProps = { search: RequestsSearch; change: (next: Partial<RequestsSearch>) => void };

/** A dimension, and the values that it really has with the other filters. Asked for when it is opened. */
function Narrow({ search, change }: NarrowProps) {
  const t = useT();
  const [open, setOpen] = useState(false);
  return (
    <Popover.Root open={open} onOpenChange={setOpen}>
      <Popover.Trigger asChild>
        <Button icon={<ListFilter className="size-4" />}>{t("requests.narrow")}</Button>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content
          align="start"
          sideOffset={4}
          aria-label={t("requests.narrow")}
          className="z-40 w-72 max-w-[calc(100vw-1.5rem)] animate-in space-y-3 rounded-xl border border-line bg-surface p-3 shadow-float"
        >
          <Values
            search={search}
            change={(next) => {
              change(next);
              setOpen(false);
            }}
          />
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

const MOST_VALUES = 60;

function Values({ search, change }: NarrowProps) {
  const t = useT();
  const [name, setName] = useState<Narrowed>("model");
  const [text, setText] = useState("");
  const { q: _, bodies: __, min_ms: ___, trace: ____, thread: _____, session: ______, ...query } = listQuery(search);
  const facets = useQuery({
    queryKey: ["facets", query],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/requests/facets", { params: { query }, signal })),
    placeholderData: keepPreviousData,
  });
  const wanted = text.trim().toLowerCase();
  const found = (facets.data?.facets[name] ?? []).filter(({ value }) => value.toLowerCase().includes(wanted));
  return (
    <>
      <div className="grid grid-cols-2 gap-2">
        <Field label={t("requests.by")}>
          <Select value={name} onChange={(event) => setName(event.target.value as Narrowed)}>
            {NARROWED.map((one) => (
              <option key={one} value={one}>
                {t(`by.${one}`)}
              </option>
            ))}
          </Select>
        </Field>
        <Field label={t("requests.value")}>
          <Input
            type="search"
            value={text}
            onChange={(event) => setText(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && text.trim()) change({ [name]: text.trim() });
            }}
          />
        </Field>
      </div>
      {facets.isError && <Failure error={facets.error} />}
      {facets.isPending && <Skeleton className="h-24 w-full" />}
      <ul className="max-h-64 overflow-y-auto">
        {found.slice(0, MOST_VALUES).map(({ value, requests }) => (
          <li key={value}>
            <button
              type="button"
              onClick={() => change({ [name]: value })}
              className="flex w-full items-center gap-2 rounded-lg px-2 py-1.5 text-left text-xs hover:bg-sunken"
            >
              <span className="min-w-0 flex-1 truncate">{value || t("chart.unnamed")}</span>
              <span className="text-muted">{count(requests)}</span>
            </button>
          </li>
        ))}
      </ul>
      <Field label={t("requests.atLeast")}>
        <Input
          type="number"
          min={0}
          step={100}
          defaultValue={search.min_ms}
          onKeyDown={(event) => {
            if (event.key === "Enter") change({ min_ms: Number(event.currentTarget.value) || undefined });
          }}
        />
      </Field>
    </>
  );
}

/** A filter that is typed; it takes effect a moment after the last letter. */
function Typed({ label, value, change }: { label: string; value?: string; change: (value?: string) => void }) {
  const [text, setText] = useState(value ?? "");
  const sent = useRef(value);
  useEffect(() => {
    // What was typed here comes back through the address; more may have been typed since.
    if (value !== sent.current) setText(value ?? "");
    sent.current = value;
  }, [value]);
  useEffect(() => {
    const next = text.trim() || undefined;
    if (next === value) return;
    const timer = setTimeout(() => {
      sent.current = next;
      change(next);
    }, 350);
    return () => clearTimeout(timer);
    // `change` is new at every render of the page.
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [text, value]);
  return (
    <Input
      type="search"
      data-search
      aria-label={label}
      placeholder={label}
      className="!w-44 grow sm:grow-0"
      value={text}
      onChange={(event) => setText(event.target.value)}
    />
  );
}
