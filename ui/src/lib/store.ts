import { useSyncExternalStore } from "react";

/** A value outside of React that components can follow. */
export type Value<T> = { get: () => T; set: (next: T) => void; follow: (listener: () => void) => () => void };

export function value<T>(initial: T): Value<T> {
  let current = initial;
  const listeners = new Set<() => void>();
  return {
    get: () => current,
    set: (next) => {
      if (Object.is(next, current)) return;
      current = next;
      for (const listener of listeners) listener();
    },
    follow: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export function useValue<T>(source: Value<T>): T {
  return useSyncExternalStore(source.follow, source.get, source.get);
}

/** Browser storage that may be forbidden. */
export const kept = {
  get: (key: string): string | null => {
    try {
      return localStorage.getItem(`myelin.${key}`);
    } catch {
      return null;
    }
  },
  set: (key: string, value: string | null) => {
    try {
      if (value === null) localStorage.removeItem(`myelin.${key}`);
      else localStorage.setItem(`myelin.${key}`, value);
    } catch {
      // Not remembered, then.
    }
  },
};
