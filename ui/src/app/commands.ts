/** What the palette can do. */
export type Command = { id: string; group: string; label: string; run: () => void };

/** Commands that hold the letters in order; the closer together and the nearer to a word's beginning, the better. */
export function find(commands: readonly Command[], text: string): Command[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [...commands];
  return commands
    .map((command) => ({ command, rank: rank(`${command.label} ${command.group}`.toLowerCase(), wanted) }))
    .filter((found) => found.rank < Number.POSITIVE_INFINITY)
    .toSorted((a, b) => a.rank - b.rank)
    .map((found) => found.command);
}

function rank(hay: string, wanted: string): number {
  const whole = hay.indexOf(wanted);
  if (whole >= 0) return whole === 0 || hay[whole - 1] === " " ? whole / 100 : 1 + whole / 100;
  let place = -1;
  let gaps = 0;
  for (const letter of wanted.replaceAll(" ", "")) {
    const next = hay.indexOf(letter, place + 1);
    if (next < 0) return Number.POSITIVE_INFINITY;
    gaps += next - place - 1;
    place = next;
  }
  return 10 + gaps;
}
