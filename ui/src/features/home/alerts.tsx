import { Link } from "@tanstack/react-router";
import type { Api } from "@/api/client";
import { Ago } from "@/components/ui/moment";
import { Notice } from "@/components/ui/notice";
import { useSaid, useT } from "@/i18n";

/** What somebody should look at: events of the last day that are more than news, the newest first. */
export function Alerts({ events }: { events: readonly Api<"Event">[] }) {
  const t = useT();
  const said = useSaid();
  if (events.length === 0) return null;
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
        {events.map((event) => (
          <li key={event.id}>
            {said(event)} · <Ago at={event.at} />
          </li>
        ))}
      </ul>
    </Notice>
  );
}
