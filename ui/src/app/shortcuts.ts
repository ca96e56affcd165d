import { useLayoutEffect, useRef } from "react";

type Keys = { [key: string]: () => void };

/** Whether a letter typed now would land in a field. */
function typing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

/** Single letters that do something on a page, as long as nobody types. */
export function useShortcuts(keys: Keys) {
  const present = useRef(keys);
  useLayoutEffect(() => {
    present.current = keys;
  });
  // With the page, not some time after it: whoever sees it can press.
  useLayoutEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event.target)) return;
      const run = Object.hasOwn(present.current, event.key) ? present.current[event.key] : undefined;
      if (!run) return;
      event.preventDefault();
      run();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}
