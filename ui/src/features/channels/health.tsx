import { RotateCcw } from "lucide-react";
import { type Api, answer, api } from "@/api/client";
import { useChange } from "@/api/queries";
import { queries } from "@/app/query";
import { Button } from "@/components/ui/button";
import { Ago } from "@/components/ui/moment";
import { Notice } from "@/components/ui/notice";
import { useT } from "@/i18n";

type Health = Api<"ChannelHealth">;

const MOST_WORDS = 90;

/** The beginning of what a provider said; all of it is in the title. */
const short = (words: string) => (words.length > MOST_WORDS ? `${words.slice(0, MOST_WORDS)}…` : words);

/** What of a channel is out of rotation, why and until when; and the way back. */
export function Troubles({ health }: { health: Health }) {
  const t = useT();
  const reset = useChange(
    () => answer(api.POST("/api/v1/health/reset", { body: { channel: health.channel, model: null } })),
    {
      done: (done) => t("health.done", { n: done.reset }),
      after: () => void queries.invalidateQueries({ queryKey: ["health"] }),
    },
  );
  if (health.troubles.length === 0) return null;
  return (
    <Notice
      tone={health.state === "sound" ? "info" : "warn"}
      title={health.state === "down" ? t("health.down") : t("health.degraded")}
      action={
        <Button
          small
          icon={<RotateCcw className="size-3.5" />}
          busy={reset.isPending}
          onClick={() => reset.mutate(undefined)}
        >
          {t("health.reset")}
        </Button>
      }
    >
      <ul className="space-y-0.5">
        {health.troubles.map((trouble) => {
          const what = [
            trouble.model && t("health.model", { name: trouble.model }),
            trouble.operation,
            typeof trouble.credential === "number" && t("health.credential", { n: trouble.credential + 1 }),
          ].filter(Boolean);
          return (
            <li key={`${trouble.model}${trouble.operation}${trouble.credential}`}>
              {what.length > 0 && <b className="font-medium">{what.join(", ")}: </b>}
              {t(`fault.${trouble.breaker.why}`)}
              {trouble.breaker.words && (
                <span title={trouble.breaker.words}>{` (${short(trouble.breaker.words)})`}</span>
              )}
              {" · "}
              {trouble.breaker.until ? (
                <>
                  {t("health.until")} <Ago at={trouble.breaker.until} />
                </>
              ) : (
                t("health.forGood")
              )}
            </li>
          );
        })}
      </ul>
    </Notice>
  );
}
