import { type LucideIcon, ScrollText } from "lucide-react";
import type { Key } from "@/i18n";

export type Place = { to: "/requests"; label: Key; icon: LucideIcon };

/** The pages in the order of the rail, in groups. */
export const PLACES: Place[][] = [[{ to: "/requests", label: "nav.requests", icon: ScrollText }]];
