import type { Api } from "@/api/client";
import { useT } from "@/i18n";
import { MEASURES } from "./measures";

/** Every measure over all that the page looks at. */
export function Totals({ total }: { total: Api<"SumsView"> }) {
  const t = useT();
  return (
    <dl className="grid grid-cols-2 gap-2 sm:grid-cols-3 xl:grid-cols-7">
      {MEASURES.map(({ id, show, value }) => {
        const found = value(total);
        return (
          <div key={id} className="rounded-xl border border-line bg-surface px-4 py-3">
            <dt className="truncate text-xs text-muted">{t(`measure.${id}`)}</dt>
            <dd className="mt-0.5 text-lg font-semibold">{found === undefined ? "–" : show(found)}</dd>
          </div>
        );
      })}
    </dl>
  );
}
