import { session } from "@/api/client";
import { PLACES } from "./nav";
import { togglePalette } from "./palette";
import { router } from "./router";

/**
 * Ctrl or Cmd with K: the palette. Ctrl or Cmd with a digit: the page at that place. Heard from the first script on, before the words and
 * the page are there: what is pressed while they load is done when they are.
 */
export function startKeys() {
  const places = PLACES.flat();
  addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || session.get() === "out") return;
    const place = places[Number(event.key) - 1];
    if (event.key.toLowerCase() === "k") togglePalette();
    else if (place) void router.navigate({ to: place.to });
    else return;
    event.preventDefault();
  });
}
