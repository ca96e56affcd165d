import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { answer, api } from "@/api/client";
import { Ago, useNow } from "@/components/ui/moment";
import { Notice } from "@/components/ui/notice";
import { useT } from "@/i18n";

const DAY_MS = 86_400_000;
const SHOWN = 5;

/** What somebody should look at: events of the last day that are more than news, the newest first. */
export function Alerts() {
  const t = useT();
  const now = useNow();
  const events = useQuery({
    queryKey: ["events"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/events", { params: { query: { after: 0, limit: 500 } }, signal })),
    refetchInterval: 15_000,
  });
  const rows = (events.data?.events ?? [])
    .filter((event) => event.level !== "info" && now - event.at < DAY_MS)
    .toReversed()
    .slice(0, SHOWN);
  if (rows.length === 0) return null;
  return (
    <Notice
      tone="warn"
      title={t("home.alerts")}
      action={
        <Link to="/performance" search={{ view: "failures" }} className="text-xs text-accent hover:underline">
          {t("perf.failures")}
        </Link>
      }
    >
      <ul className="space-y-0.5">
        {rows.map((event) => (
          <li key={event.id}>
            {event.message} · <Ago at={event.at} />
          </li>
        ))}
      </ul>
    </Notice>
  );
}
