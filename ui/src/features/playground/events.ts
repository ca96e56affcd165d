/** Streams taken apart: server-sent events and JSON lines, at any split of the bytes. */

export type Event = { name?: string; data: string };

/** Collects text and gives the events that are complete. LF or CRLF, with or without a space after the colon. */
export function eventReader(lines: boolean): { push: (text: string) => Event[]; end: () => Event[] } {
  let rest = "";
  const read = (block: string): Event[] => {
    if (lines) return block.trim() ? [{ data: block.trim() }] : [];
    let name: string | undefined;
    const data: string[] = [];
    for (const line of block.split("\n")) {
      const [field, value] = splitField(line);
      if (field === "event") name = value;
      else if (field === "data") data.push(value);
    }
    return data.length > 0 ? [{ name, data: data.join("\n") }] : [];
  };
  const take = (final: boolean): Event[] => {
    const end = lines ? "\n" : "\n\n";
    // A CR at the very end may be half of a line's end.
    const whole = rest.replace(/\r\n/g, "\n");
    const parts = whole.split(end);
    rest = final ? "" : (parts.pop() ?? "");
    return parts.flatMap(read);
  };
  return {
    push: (text) => {
      rest += text;
      return rest.endsWith("\r") ? [] : take(false);
    },
    end: () => take(true),
  };
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(":");
  if (colon < 0) return [line, ""];
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
}
