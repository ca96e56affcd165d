import clsx from "clsx";
import type { ReactNode } from "react";

export type Column<Row> = {
  id: string;
  head: ReactNode;
  cell: (row: Row) => ReactNode;
  right?: boolean;
  className?: string;
};

type Props<Row> = {
  label: string;
  columns: Column<Row>[];
  rows: readonly Row[];
  id: (row: Row) => string;
  /** Small print for tables behind charts. */
  dense?: boolean;
  className?: string;
};

/** A plain table. Scrolls sideways where it does not fit. */
export function Table<Row>({ label, columns, rows, id, dense, className }: Props<Row>) {
  const pad = dense ? "px-3 py-1.5" : "px-4 py-2.5";
  return (
    <div className={clsx("relative overflow-x-auto", className)} tabIndex={0} role="region" aria-label={label}>
      <table className={clsx("w-full border-collapse text-left", dense ? "text-xs" : "text-sm")}>
        <caption className="sr-only">{label}</caption>
        <thead>
          <tr className="border-b border-line text-2xs text-muted">
            {columns.map((column) => (
              <th
                key={column.id}
                scope="col"
                className={clsx(pad, "font-medium whitespace-nowrap", column.right && "text-right", column.className)}
              >
                {column.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)} className="border-b border-line last:border-0 hover:bg-sunken/60">
              {columns.map((column) => (
                <td key={column.id} className={clsx(pad, column.right && "text-right", column.className)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
