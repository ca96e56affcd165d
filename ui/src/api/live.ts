import { useEffect, useRef, useState } from "react";
import { answer, api, type Api } from "./client";

export type RequestRecord = Api<"RequestRecord">;

/** Shortest time between two polls: many requests a second come in batches, not one by one. */
const PACE_MS = 300;
/** Seconds that one poll waits for something to come. */
const WAIT_S = 25;

export type InFlight = Api<"FlightView">;

type Live = {
  state: "off" | "following" | "lost";
  /** Requests in flight, and when they stood so; what another answer told, until this one knows better. */
  flights: readonly InFlight[];
  at: number;
};

/** What another answer told already: the position to begin after, and what was in flight. */
type From = { next?: number; flights?: readonly InFlight[]; at?: number };

const NONE: readonly InFlight[] = [];

/**
 * Follows requests by long polls: those that ended, oldest first, and those in flight. Stops while the page is hidden and goes on where it was;
 * what is no longer remembered is reported as a gap. One poll is open at a time.
 */
export function useLive(
  on: boolean,
  came: (records: RequestRecord[], gap: boolean, keys: Record<string, string>) => void,
  from: From = {},
): Live {
  const [state, setState] = useState<Live["state"]>("off");
  const [flown, setFlown] = useState<{ flights: readonly InFlight[]; at: number }>();
  const tell = useRef(came);
  const begin = useRef(from);
  useEffect(() => {
    tell.current = came;
    begin.current = from;
  });
  useEffect(() => {
    if (!on) {
      setState("off");
      return;
    }
    let running: AbortController | undefined;
    let after = begin.current.next;
    let shown = begin.current.flights?.length ?? 0;
    const follow = async (stop: AbortController) => {
      let trouble = 0;
      while (!stop.signal.aborted) {
        // The answer may take its time: there may be nothing to tell.
        if (trouble === 0) setState("following");
        try {
          const query = { after, wait: after === undefined ? 0 : WAIT_S, limit: 1000, flights: shown };
          const page = await answer(api.GET("/api/v1/requests/live", { params: { query }, signal: stop.signal }));
          after = page.next;
          trouble = 0;
          const flights = page.flights?.requests ?? NONE;
          // Nothing as before is no news.
          if (flights.length > 0 || shown > 0) setFlown({ flights, at: Date.now() });
          shown = flights.length;
          if (page.records.length > 0 || page.gap) tell.current(page.records, page.gap, page.keys);
          await pause(PACE_MS, stop.signal);
        } catch {
          if (stop.signal.aborted) return;
          trouble += 1;
          setState("lost");
          await pause(Math.min(15_000, 500 * 2 ** trouble), stop.signal);
        }
      }
    };
    const attend = () => {
      if (document.hidden) {
        running?.abort();
        running = undefined;
      } else if (!running) {
        running = new AbortController();
        void follow(running);
      }
    };
    attend();
    document.addEventListener("visibilitychange", attend);
    return () => {
      document.removeEventListener("visibilitychange", attend);
      running?.abort();
    };
  }, [on]);
  return { state, flights: flown?.flights ?? from.flights ?? NONE, at: flown?.at ?? from.at ?? 0 };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    });
  });
}
