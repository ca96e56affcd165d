import type { Api } from "@/api/client";
import type { Translate } from "@/i18n";
import { money } from "./money";

type Planned = { why?: string; reason?: Api<"PlanReason"> | null; note?: Api<"PlanNote"> };

/** Why a deployment stands where it stands in a plan: its place by the strategy, and what moved it from there. */
export function reasonIn(t: Translate, { why, reason, note }: Planned): string {
  // Kept by a version before the reasons had codes.
  if (!reason) return why || "–";
  const place = placeIn(t, reason);
  return note && note.code !== "plain" ? `${place}; ${t(`moved.${note.code}`)}` : place;
}

/** Every code has its words: the compiler finds the one that has none. */
function placeIn(t: Translate, reason: Api<"PlanReason">): string {
  switch (reason.code) {
    case "latency":
      return typeof reason.ms === "number"
        ? t("place.latency", { ms: reason.ms, n: reason.count })
        : t("place.latency.unknown", { n: reason.count });
    case "used": {
      const values = { requests: reason.requests, tokens: reason.tokens };
      if (typeof reason.share !== "number") return t("place.used", values);
      return t("place.used.share", { ...values, share: Math.floor(reason.share / 10) });
    }
    case "cost":
      return typeof reason.nano === "number" ? t("place.cost", { cost: money(reason.nano) }) : t("place.cost.unknown");
    case "tag":
      return t(reason.fits ? "place.tag" : "place.tag.no");
    case "context":
      if (typeof reason.size !== "number") return t("place.context.unknown");
      return t(reason.fits ? "place.context" : "place.context.small", { size: reason.size });
    case "merit":
      return t("place.merit", { share: (reason.share / 10).toFixed(1) });
    case "turn":
    case "drawn":
      return t(`place.${reason.code}`, { weight: reason.weight, of: reason.of });
    case "busy":
      return t("place.busy", { n: reason.count });
    default:
      return t(`place.${reason.code}`);
  }
}
