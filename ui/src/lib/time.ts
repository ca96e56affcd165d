/** Moments for people. The clock is passed in, so that tests own it. */

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
];

/** `3 minutes ago`, `in 2 hours`, `now`. */
export function relative(at: number, now: number, language: string): string {
  const delta = at - now;
  const words = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  for (const [unit, size] of STEPS) {
    if (Math.abs(delta) >= size) return words.format(Math.trunc(delta / size), unit);
  }
  return words.format(0, "second");
}

/** The clock time of today's moments, with the date before it for others. */
export function clock(at: number, now: number, language: string): string {
  const moment = new Date(at);
  const sameDay = moment.toDateString() === new Date(now).toDateString();
  const time: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const options: Intl.DateTimeFormatOptions = sameDay ? time : { month: "short", day: "numeric", ...time };
  return moment.toLocaleString(language, options);
}

/** Date, time with milliseconds and zone, for titles. */
export function absolute(at: number, language: string): string {
  return new Date(at).toLocaleString(language, {
    year: "numeric",
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: 3,
    hourCycle: "h23",
    timeZoneName: "short",
  });
}

/** A moment as `<input type="datetime-local">` writes it, in the machine's zone. */
export function toLocal(at: number): string {
  const moment = new Date(at);
  return new Date(at - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The moment that such a field means. */
export const fromLocal = (text: string): number => new Date(text).getTime();
