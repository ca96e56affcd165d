import { Cable, KeyRound, type LucideIcon, ScrollText, Shuffle, Split } from "lucide-react";
import type { Key } from "@/i18n";

export type Place = { to: "/requests" | "/channels" | "/keys" | "/profiles" | "/routes"; label: Key; icon: LucideIcon };

/** The pages in the order of the rail, in groups. */
export const PLACES: Place[][] = [
  [{ to: "/requests", label: "nav.requests", icon: ScrollText }],
  [
    { to: "/profiles", label: "nav.profiles", icon: Shuffle },
    { to: "/routes", label: "nav.routes", icon: Split },
    { to: "/channels", label: "nav.channels", icon: Cable },
    { to: "/keys", label: "nav.keys", icon: KeyRound },
  ],
];
