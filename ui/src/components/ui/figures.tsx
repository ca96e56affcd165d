/** Numbers in a row of tiles: name, value, and what is said when it is pointed at. */
export type FigureRow = readonly [name: string, value: string, title?: string];

export function Figures({ figures, className }: { figures: readonly FigureRow[]; className: string }) {
  return (
    <dl className={`grid grid-cols-2 gap-2 ${className}`}>
      {figures.map(([name, value, title]) => (
        <div key={name} className="rounded-xl border border-line bg-surface px-4 py-3" title={title}>
          <dt className="truncate text-xs text-muted">{name}</dt>
          <dd className="mt-0.5 text-lg font-semibold">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
