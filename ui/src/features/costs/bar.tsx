import { X } from "lucide-react";
import type { ReactNode } from "react";
import { Field, Input, Select } from "@/components/ui/field";
import { useT } from "@/i18n";
import { RANGES, type RangeName, type RangeSearch } from "@/lib/range";
import { fromLocal, toLocal } from "@/lib/time";
import { FILTERS, type Filters } from "./search";

type Props<S extends RangeSearch & Filters> = {
  search: S;
  usual: RangeName;
  span: { since: number; until: number };
  change: (next: Partial<RangeSearch & Filters>) => void;
  children?: ReactNode;
};

/** Which stretch of time, and what it is narrowed to. */
export function RangeBar<S extends RangeSearch & Filters>({ search, usual, span, change, children }: Props<S>) {
  const t = useT();
  const custom = search.since !== undefined && search.until !== undefined;
  return (
    <div className="flex flex-wrap items-end gap-2">
      <Field label={t("range.label")}>
        <Select
          className="w-36"
          value={custom ? "custom" : (search.range ?? usual)}
          onChange={(event) =>
            event.target.value === "custom"
              ? change({ ...span, range: undefined })
              : change({ range: event.target.value as RangeName, since: undefined, until: undefined })
          }
        >
          {RANGES.map((range) => (
            <option key={range} value={range}>
              {t(`range.${range}`)}
            </option>
          ))}
          <option value="custom">{t("range.custom")}</option>
        </Select>
      </Field>
      {custom && (
        <>
          <Field label={t("range.from")}>
            <Input
              type="datetime-local"
              value={toLocal(span.since)}
              onChange={(event) => event.target.value && change({ since: fromLocal(event.target.value) })}
            />
          </Field>
          <Field label={t("range.to")}>
            <Input
              type="datetime-local"
              value={toLocal(span.until)}
              onChange={(event) => event.target.value && change({ until: fromLocal(event.target.value) })}
            />
          </Field>
        </>
      )}
      {children}
      {FILTERS.map((name) =>
        search[name] === undefined ? null : (
          <button
            key={name}
            type="button"
            onClick={() => change({ [name]: undefined })}
            className="inline-flex h-9 max-w-64 items-center gap-1.5 rounded-lg bg-accent-soft px-3 text-xs text-accent-strong"
          >
            <span className="truncate">
              {t(`by.${name}`)}: {search[name] || t("chart.unnamed")}
            </span>
            <X aria-label={t("remove")} className="size-3.5 shrink-0" />
          </button>
        ),
      )}
    </div>
  );
}
