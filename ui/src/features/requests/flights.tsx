import { useQuery } from "@tanstack/react-query";
import { OctagonX } from "lucide-react";
import { type Api, answer, api } from "@/api/client";
import { useChange } from "@/api/queries";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Spinner } from "@/components/ui/spinner";
import { queries } from "@/app/query";
import { useT } from "@/i18n";
import { count, duration } from "@/lib/format";

const PACE_MS = 1_000;

/** Requests that are being answered now. Takes no room while there are none. `first`: what another answer told already. */
export function Flights({ first }: { first?: Api<"FlightsView"> }) {
  const t = useT();
  const flights = useQuery({
    queryKey: ["flights"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/requests/active", { signal })),
    refetchInterval: PACE_MS,
    initialData: first,
    staleTime: PACE_MS,
  });
  const stop = useChange((id: string) => answer(api.POST("/api/v1/requests/{id}/stop", { params: { path: { id } } })), {
    done: () => t("flights.stopped"),
    after: () => void queries.invalidateQueries({ queryKey: ["flights"] }),
  });
  const rows = flights.data?.requests ?? [];
  const now = flights.dataUpdatedAt;
  if (rows.length === 0) return null;
  return (
    <Card flush title={t("flights.title", { n: rows.length })}>
      <ul className="mt-1 max-h-56 divide-y divide-line overflow-y-auto border-t border-line">
        {rows.map((flight) => (
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
              {duration(Math.max(0, now - flight.started) * 1000)}
            </span>
            <Button
              small
              look="danger"
              icon={<OctagonX className="size-3.5" />}
              aria-label={t("flights.stopOne", { model: flight.model })}
              disabled={stop.isPending}
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
