import type { RequestRecord } from "@/api/live";
import type { Tone } from "@/components/ui/badge";
import type { Api } from "@/api/client";

type Attempt = Api<"AttemptRecord">;

/** A stretch of a bar, in percent of the whole request. */
export type Span = { kind: "gateway" | "waiting" | "streaming"; from: number; to: number };

/** One bar of the waterfall. */
export type Bar = { attempt?: Attempt; tone: Tone; start: number; length: number; spans: Span[] };

export type Timeline = {
  /** Microseconds that the whole width stands for. */
  total: number;
  bars: Bar[];
  /** When the first content reached the client, in percent. */
  firstToken?: number;
  /** Round moments for the scale, with their places in percent. */
  ticks: { at: number; us: number }[];
};

const TONES: { [outcome in NonNullable<Attempt["outcome"]>]: Tone } = {
  answered: "good",
  failed: "bad",
  "timed-out": "bad",
  interrupted: "warn",
  canceled: "neutral",
};

/** Lays a request's attempts out on one time axis. */
export function timeline(record: RequestRecord): Timeline {
  const attempts = record.attempts ?? [];
  const ends = attempts.map((attempt) => (attempt.offset_us ?? 0) + (attempt.duration_us ?? 0));
  const total = Math.max(1, record.duration_us ?? 0, ...ends);
  const place = (us: number) => Math.min(100, Math.max(0, (us / total) * 100));
  const bars = attempts.map((attempt): Bar => {
    const start = attempt.offset_us ?? 0;
    const end = start + (attempt.duration_us ?? 0);
    const first = attempt.first_byte_us ?? undefined;
    const answered = first === undefined ? end : Math.min(end, start + first);
    const spans: Span[] = [{ kind: "waiting", from: place(start), to: place(answered) }];
    if (answered < end) spans.push({ kind: "streaming", from: place(answered), to: place(end) });
    return { attempt, tone: TONES[attempt.outcome ?? "failed"], start, length: end - start, spans };
  });
  const first = record.first_token_us ?? undefined;
  return { total, bars, firstToken: first === undefined ? undefined : place(first), ticks: ticks(total) };
}

/** Three to six round moments from zero to the end. */
export function ticks(total: number): { at: number; us: number }[] {
  const rough = total / 5;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => total / step <= 5.5) ?? rough;
  const found = [];
  for (let us = 0; us <= total * 0.97; us += step) found.push({ us, at: (us / total) * 100 });
  return found;
}
