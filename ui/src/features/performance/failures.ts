import type { Api } from "@/api/client";

type Event = Api<"Event">;

/** A stretch of time in which something was out of rotation. */
export type Outage = {
  what: string;
  /** In the gateway's words. */
  why: string;
  /** Which failure it was, where it is known. */
  fault?: Fault;
  from: number;
  /** `undefined`: it still is. */
  to?: number;
};
type Fault = Api<"BreakerView">["why"];

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** What an event is about, in few words: `main/gpt-5 #2`. */
function nameOf({ data, subject }: Event): string {
  const model = text(data.model);
  const credential = typeof data.credential === "number" ? ` #${data.credential + 1}` : "";
  return `${subject}${model ? `/${model}` : ""}${credential}`;
}

/** Breakers that opened and closed as stretches of time, the newest first. One that opens again while open goes on. */
export function outages(events: readonly Event[]): Outage[] {
  const found: Outage[] = [];
  const open = new Map<string, Outage>();
  for (const event of events) {
    const what = nameOf(event);
    if (event.kind === "breaker-open") {
      const there = open.get(what);
      const fault = (text(event.data.failure) || undefined) as Fault | undefined;
      const why = text(event.data.why);
      if (there) Object.assign(there, why && { why, fault });
      else {
        const outage = { what, why, fault, from: event.at };
        open.set(what, outage);
        found.push(outage);
      }
    } else if (event.kind === "breaker-closed" && event.data.reset !== undefined) {
      // Put back by hand: everything, or everything at a channel or a model of it.
      const [channel, model] = [text(event.data.channel), text(event.data.model)];
      for (const [name, outage] of open) {
        const own = !channel || name === channel || name.startsWith(model ? `${channel}/${model}` : `${channel}/`);
        if (!own && !name.startsWith(`${channel} #`)) continue;
        outage.to = event.at;
        open.delete(name);
      }
    } else if (event.kind === "breaker-closed") {
      const there = open.get(what);
      if (there) there.to = event.at;
      open.delete(what);
    }
  }
  return found.toReversed();
}

/** The part of an outage that lies in a stretch of time, in percent of it; `undefined`: none. */
export function place(outage: Outage, since: number, until: number): { from: number; to: number } | undefined {
  const from = Math.max(outage.from, since);
  const to = Math.min(outage.to ?? until, until);
  if (to < from || until <= since) return undefined;
  const share = (at: number) => ((at - since) / (until - since)) * 100;
  return { from: share(from), to: share(to) };
}
