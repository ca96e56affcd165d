import { useEffect, useRef, useState } from "react";
import { answer, api, type Api } from "./client";

export type RequestRecord = Api<"RequestRecord">;

/** Shortest time between two polls: many requests a second come in batches, not one by one. */
const PACE_MS = 300;
/** Seconds that one poll waits for something to come. */
const WAIT_S = 25;

type Live = { state: "off" | "following" | "lost" };

/**
 * Follows finished requests by long polls, oldest first. Stops while the page is hidden and goes on where it was; what is no longer remembered
 * is reported as a gap. One poll is open at a time. `from`: the position to begin after, where another answer told it already.
 */
export function useLive(
  on: boolean,
  came: (records: RequestRecord[], gap: boolean, keys: Record<string, string>) => void,
  from?: number,
): Live {
  const [state, setState] = useState<Live["state"]>("off");
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
    let after = begin.current;
    const follow = async (stop: AbortController) => {
      let trouble = 0;
      while (!stop.signal.aborted) {
        try {
          const query = { after, wait: after === undefined ? 0 : WAIT_S, limit: 1000 };
          const page = await answer(api.GET("/api/v1/requests/live", { params: { query }, signal: stop.signal }));
          after = page.next;
          trouble = 0;
          setState("following");
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
  return { state };
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
