import { OctagonX } from "lucide-react";
import { answer, api } from "@/api/client";
import type { InFlight } from "@/api/live";
import { useChange } from "@/api/queries";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Spinner } from "@/components/ui/spinner";
import { useT } from "@/i18n";
import { count, duration } from "@/lib/format";

type Props = {
  flights: readonly InFlight[];
  /** When they stood so, in milliseconds since 1970. */
  at: number;
};

/** Requests that are being answered now. Takes no room while there are none. */
export function Flights({ flights, at }: Props) {
  const t = useT();
  const stop = useChange((id: string) => answer(api.POST("/api/v1/requests/{id}/stop", { params: { path: { id } } })), {
    done: () => t("flights.stopped"),
  });
  if (flights.length === 0) return null;
  return (
    <Card flush title={t("flights.title", { n: flights.length })}>
      <ul className="mt-1 max-h-56 divide-y divide-line overflow-y-auto border-t border-line">
        {flights.map((flight) => (
          <li key={flight.id} className="flex items-center gap-3 px-4 py-1.5 text-xs">
            <span className="text-accent">
              <Spinner />
            </span>
            <span className="min-w-0 flex-1 truncate">
              <span className="font-medium">{flight.model || flight.path}</span>
              {flight.channel && (
                <span className="text-muted">
                  {" "}
                  → {flight.channel}
                  {flight.attempts > 1 && ` (${t("requests.attempts", { n: flight.attempts })})`}
                </span>
              )}
            </span>
            <span className="hidden text-muted sm:block">{flight.tool}</span>
            {flight.stream && (
              <span className="whitespace-nowrap">{t("flights.tokens", { n: count(flight.tokens_out) })}</span>
            )}
            <span className="w-16 text-right whitespace-nowrap">
              {duration(Math.max(0, at - flight.started) * 1000)}
            </span>
            <Button
              small
              look="danger"
              icon={<OctagonX className="size-3.5" />}
              aria-label={t("flights.stopOne", { model: flight.model })}
              disabled={stop.isPending && stop.variables === flight.id}
              onClick={() => stop.mutate(flight.id)}
            >
              {t("play.stop")}
            </Button>
          </li>
        ))}
      </ul>
    </Card>
  );
}
