import { useLanguage, useT } from "@/i18n";

type Props = { label: string; cells: number[][]; format: (value: number) => string };

/** Weekdays by hours, as a table whose cells are tinted: the numbers are in it. */
export function Heatmap({ label, cells, format }: Props) {
  const t = useT();
  const language = useLanguage();
  const most = Math.max(...cells.flat(), 0);
  const day = (at: number) => new Date(2024, 0, 1 + at).toLocaleDateString(language, { weekday: "short" });
  return (
    <div role="region" aria-label={label} tabIndex={0} className="relative overflow-x-auto">
      <table className="w-full min-w-160 table-fixed border-separate border-spacing-0.5 text-2xs">
        <caption className="sr-only">{label}</caption>
        <thead>
          <tr>
            <td className="w-12" />
            {Array.from({ length: 24 }, (_, hour) => (
              <th key={hour} scope="col" className="font-normal text-muted">
                {hour}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {cells.map((row, at) => (
            <tr key={day(at)}>
              <th scope="row" className="pr-2 text-left font-normal whitespace-nowrap text-muted">
                {day(at)}
              </th>
              {row.map((value, hour) => (
                <td
                  // A cell's place is what it is.
                  // oxlint-disable-next-line react/no-array-index-key
                  key={hour}
                  title={`${day(at)} ${hour}:00 – ${format(value)}`}
                  className="h-6 rounded-sm bg-sunken p-0"
                  style={
                    value > 0
                      ? {
                          background: `color-mix(in oklab, var(--series-1) ${15 + (value / most) * 85}%, var(--sunken))`,
                        }
                      : undefined
                  }
                >
                  <span className="sr-only">{format(value)}</span>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <p className="mt-2 text-xs text-muted">{t("chart.most", { value: format(most) })}</p>
    </div>
  );
}
