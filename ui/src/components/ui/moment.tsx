import { useEffect, useState } from "react";
import { useLanguage } from "@/i18n";
import { useValue, value } from "@/lib/store";
import { absolute, relative } from "@/lib/time";

const now = value(Date.now());
let watchers = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** The present moment, to ten seconds. One timer for the page, none while nobody looks. */
export function useNow(): number {
  useEffect(() => {
    watchers += 1;
    timer ??= setInterval(() => document.hidden || now.set(Date.now()), 10_000);
    return () => {
      watchers -= 1;
      if (watchers === 0) {
        clearInterval(timer);
        timer = undefined;
      }
    };
  }, []);
  return useValue(now);
}

/** `3 min ago`, exact on hover. */
export function Ago({ at }: { at: number }) {
  const language = useLanguage();
  const present = useNow();
  // What came after the last tick is not in the future.
  const [mounted] = useState(() => Date.now());
  return (
    <time dateTime={new Date(at).toISOString()} title={absolute(at, language)} className="whitespace-nowrap">
      {relative(at, Math.max(present, mounted), language)}
    </time>
  );
}
