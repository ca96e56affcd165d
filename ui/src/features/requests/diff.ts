/** How one text differs from another, line by line. Pure. */

export type Line = { kind: "same" | "gone" | "new"; text: string };

/** Beyond so many lines the whole is shown as gone and new: nobody reads it line by line. */
const MOST = 3000;

/** The shortest way from one text to the other by whole lines (longest common subsequence between the parts that differ). */
export function diff(before: string, after: string): Line[] {
  const a = before.split("\n");
  const b = after.split("\n");
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const line = (kind: Line["kind"]) => (text: string) => ({ kind, text });
  return [
    ...a.slice(0, start).map(line("same")),
    ...middle(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...a.slice(a.length - end).map(line("same")),
  ];
}

function middle(a: string[], b: string[]): Line[] {
  const gone = (text: string): Line => ({ kind: "gone", text });
  const fresh = (text: string): Line => ({ kind: "new", text });
  if (a.length === 0 || b.length === 0 || a.length * b.length > MOST * MOST) return [...a.map(gone), ...b.map(fresh)];
  const width = b.length + 1;
  const lengths = new Uint16Array((a.length + 1) * width);
  const at = (i: number, j: number) => lengths[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      lengths[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const found: Line[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const left = a[i];
    const right = b[j];
    if (left !== undefined && left === right) {
      found.push({ kind: "same", text: left });
      i += 1;
      j += 1;
    } else if (left !== undefined && (right === undefined || at(i + 1, j) >= at(i, j + 1))) {
      found.push(gone(left));
      i += 1;
    } else {
      found.push(fresh(right ?? ""));
      j += 1;
    }
  }
  return found;
}

/** Leaves out long runs that are the same, but for some lines around each change. */
export function folded(lines: readonly Line[], around = 3): (Line | { kind: "fold"; count: number })[] {
  const near = new Set<number>();
  for (const [at, line] of lines.entries()) {
    if (line.kind !== "same") for (let next = at - around; next <= at + around; next += 1) near.add(next);
  }
  const found: (Line | { kind: "fold"; count: number })[] = [];
  let count = 0;
  const close = () => {
    if (count > 0) found.push({ kind: "fold", count });
    count = 0;
  };
  for (const [at, line] of lines.entries()) {
    if (near.has(at)) {
      close();
      found.push(line);
    } else count += 1;
  }
  close();
  return found;
}

/** JSON laid out for people; anything else as it is. Very large texts stay as they are, they would only become larger. */
export function pretty(text: string): string {
  if (text.length > 2_000_000) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
