import {
  Cable,
  Coins,
  FlaskConical,
  Gauge,
  Hourglass,
  House,
  KeyRound,
  type LucideIcon,
  ScrollText,
  Settings,
  Shuffle,
  Split,
  SquareTerminal,
} from "lucide-react";
import type { Key } from "@/i18n";

export type Place = {
  to:
    | "/"
    | "/requests"
    | "/costs"
    | "/performance"
    | "/limits"
    | "/settings"
    | "/channels"
    | "/keys"
    | "/profiles"
    | "/routes"
    | "/tools"
    | "/playground";
  label: Key;
  icon: LucideIcon;
};

/** The pages in the order of the rail, in groups. */
export const PLACES: Place[][] = [
  [
    { to: "/", label: "nav.home", icon: House },
    { to: "/requests", label: "nav.requests", icon: ScrollText },
    { to: "/costs", label: "nav.costs", icon: Coins },
    { to: "/performance", label: "nav.performance", icon: Gauge },
    { to: "/limits", label: "nav.limits", icon: Hourglass },
  ],
  [
    { to: "/profiles", label: "nav.profiles", icon: Shuffle },
    { to: "/routes", label: "nav.routes", icon: Split },
    { to: "/channels", label: "nav.channels", icon: Cable },
    { to: "/keys", label: "nav.keys", icon: KeyRound },
    { to: "/tools", label: "nav.tools", icon: SquareTerminal },
  ],
  [
    { to: "/playground", label: "nav.playground", icon: FlaskConical },
    { to: "/settings", label: "nav.settings", icon: Settings },
  ],
];
