type Props = { label: string; values: readonly (number | undefined)[] };

const WIDTH = 100;
const HEIGHT = 26;

/** The path of values over equal steps; what is unknown is a gap. Pure. */
export function path(values: readonly (number | undefined)[]): string {
  const most = Math.max(...values.map((value) => value ?? 0), 0) || 1;
  const step = WIDTH / Math.max(1, values.length - 1);
  let pen = false;
  return values
    .map((value, at) => {
      if (value === undefined) {
        pen = false;
        return "";
      }
      const word = `${pen ? "L" : "M"}${(at * step).toFixed(1)} ${(HEIGHT - 1 - (value / most) * (HEIGHT - 3)).toFixed(1)}`;
      pen = true;
      return word;
    })
    .join("");
}

/** A course at a glance; its words stand beside it. */
export function Sparkline({ label, values }: Props) {
  return (
    <svg
      role="img"
      aria-label={label}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      className="h-7 w-full text-accent"
    >
      <path
        d={path(values)}
        fill="none"
        stroke="currentColor"
        strokeWidth="1.5"
        strokeLinecap="round"
        vectorEffect="non-scaling-stroke"
      />
    </svg>
  );
}
