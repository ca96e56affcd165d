import { X } from "lucide-react";
import { useEffect, useState } from "react";
import type { Api } from "@/api/client";
import { Badge } from "@/components/ui/badge";
import { Input, Select } from "@/components/ui/field";
import { useT } from "@/i18n";
import { type RequestsSearch, STATES, type State } from "./search";

type Props = {
  search: RequestsSearch;
  change: (next: Partial<RequestsSearch>) => void;
  keys: Api<"KeyView">[];
  live: "off" | "following" | "lost";
};

/** What the list is narrowed to. Every choice lands in the URL. */
export function Filters({ search, change, keys, live }: Props) {
  const t = useT();
  return (
    <div className="flex flex-wrap items-center gap-2">
      <Select
        aria-label={t("requests.state")}
        className="w-36"
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
      <Select
        aria-label={t("requests.key")}
        className="w-36"
        value={search.key ?? ""}
        onChange={(event) => change({ key: event.target.value || undefined })}
      >
        <option value="">{t("requests.anyKey")}</option>
        {search.key && !keys.some((key) => key.name === search.key) && <option>{search.key}</option>}
        {keys.map((key) => (
          <option key={key.id} value={key.name}>
            {key.name}
          </option>
        ))}
      </Select>
      <Typed label={t("requests.search")} value={search.q} change={(q) => change({ q })} />
      <Typed label={t("requests.model")} value={search.model} change={(model) => change({ model })} />
      <Typed label={t("requests.channel")} value={search.channel} change={(channel) => change({ channel })} />
      <Typed label={t("inspect.tool")} value={search.tool} change={(tool) => change({ tool })} />
      {(search.since !== undefined || search.until !== undefined) && (
        <button
          type="button"
          onClick={() => change({ since: undefined, until: undefined })}
          className="inline-flex h-9 items-center gap-1.5 rounded-lg bg-accent-soft px-3 text-xs text-accent-strong"
        >
          {[search.since, search.until].map((at) => (at ? new Date(at).toLocaleString() : "…")).join(" – ")}
          <X aria-label={t("remove")} className="size-3.5" />
        </button>
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

/** A filter that is typed; it takes effect a moment after the last letter. */
function Typed({ label, value, change }: { label: string; value?: string; change: (value?: string) => void }) {
  const [text, setText] = useState(value ?? "");
  useEffect(() => setText(value ?? ""), [value]);
  useEffect(() => {
    const next = text.trim() || undefined;
    if (next === value) return;
    const timer = setTimeout(() => change(next), 350);
    return () => clearTimeout(timer);
    // `change` is new at every render of the page.
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [text, value]);
  return (
    <Input
      type="search"
      aria-label={label}
      placeholder={label}
      className="!w-36 grow sm:grow-0"
      value={text}
      onChange={(event) => setText(event.target.value)}
    />
  );
}
