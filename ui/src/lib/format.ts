/** Numbers, durations and sizes for people. Pure; the language comes from the caller where it matters. */

/** `1,234` up to five digits, then `12.3k`, `4.5M`, `6.7B`. */
export function count(value: number): string {
  const size = Math.abs(value);
  if (size < 10_000) return Math.round(value).toLocaleString("en-US");
  const steps: [number, string][] = [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "k"],
  ];
  for (const [step, unit] of steps) {
    // What would round up to the next unit belongs to it.
    if (size >= step * 0.9995) return `${short(value / step)}${unit}`;
  }
  return String(value);
}

/** All digits, for titles. */
export function exact(value: number): string {
  return value.toLocaleString("en-US");
}

/** Microseconds as `850 µs`, `12 ms`, `1.24 s`, `2m 05s`. */
export function duration(us: number): string {
  if (us < 1000) return `${Math.round(us)} µs`;
  const ms = us / 1000;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${pad(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${pad(Math.floor((whole % 3600) / 60))}m`;
}

/** Bytes as `512 B`, `1.2 KiB`, `3.4 MiB`. */
export function bytes(value: number): string {
  if (value < 1024) return `${value} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let size = value / 1024;
  let at = 0;
  while (size >= 1023.95 && at < units.length - 1) {
    size /= 1024;
    at += 1;
  }
  return `${short(size)} ${units[at] ?? ""}`;
}

/** A share of one as `12.3 %`. */
export function percent(share: number): string {
  const value = share * 100;
  if (value !== 0 && Math.abs(value) < 0.1) return "<0.1%";
  return `${Math.abs(value) >= 99.95 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)}%`;
}

function short(value: number): string {
  const size = Math.abs(value);
  return size >= 99.95 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, "");
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}
