import { Link } from "@tanstack/react-router";
import { RotateCw, Square } from "lucide-react";
import { useRef, useState } from "react";
import type { RequestRecord } from "@/api/live";
import { useProfiles } from "@/api/queries";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Code } from "@/components/ui/code";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input, Select } from "@/components/ui/field";
import { Failure, Notice } from "@/components/ui/notice";
import { Skeleton } from "@/components/ui/spinner";
import { sendAgain } from "@/features/playground/run";
import { useT } from "@/i18n";
import { money } from "@/lib/money";
import { useBodies } from "./bodies";
import { pretty } from "./diff";
import { withModel } from "./inspect";

type Props = { record: RequestRecord; close: () => void };
type Outcome = { status: number; text: string; requestId?: string };

/** The same request once more, against another profile or model if one likes. It costs what such a request costs, and says so. */
export function Replay({ record, close }: Props) {
  const t = useT();
  const bodies = useBodies(record.id ?? "", true);
  const profiles = useProfiles();
  const [profile, setProfile] = useState("");
  const [model, setModel] = useState("");
  const [busy, setBusy] = useState(false);
  const [outcome, setOutcome] = useState<Outcome>();
  const [error, setError] = useState<unknown>();
  const stop = useRef<AbortController>(undefined);
  const received = bodies.data?.bodies.find((body) => body.kind === "received");
  const whole = received && received.size <= new Blob([received.text]).size ? received.text : undefined;
  const body = whole && withModel(whole, model.trim());
  const run = async () => {
    if (!body) return;
    const control = new AbortController();
    stop.current = control;
    setBusy(true);
    setOutcome(undefined);
    setError(undefined);
    try {
      setOutcome(await sendAgain(record.path ?? "", body, profile, control.signal));
    } catch (trouble) {
      if (!control.signal.aborted) setError(trouble);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog
      open
      wide
      onClose={() => {
        stop.current?.abort();
        close();
      }}
      title={t("replay.title")}
      hint={t("replay.hint")}
      footer={
        busy ? (
          <Button look="danger" icon={<Square className="size-4" />} onClick={() => stop.current?.abort()}>
            {t("play.stop")}
          </Button>
        ) : (
          <Button look="primary" icon={<RotateCw className="size-4" />} disabled={!body} onClick={() => void run()}>
            {t("replay.send")}
          </Button>
        )
      }
    >
      <div className="space-y-4">
        {bodies.isPending && <Skeleton className="h-24 w-full" />}
        {bodies.isError && <Failure error={bodies.error} />}
        {bodies.isSuccess && !whole && (
          <Notice tone="warn" title={received ? t("replay.cut") : t("replay.none")}>
            {t("bodies.noneHint")}
          </Notice>
        )}
        {whole && (
          <>
            <div className="grid gap-3 sm:grid-cols-2">
              <Field label={t("inspect.profile")}>
                <Select value={profile} onChange={(event) => setProfile(event.target.value)}>
                  <option value="">{t("keys.followsLong", { profile: profiles.data?.active ?? "" })}</option>
                  <option value="direct">direct</option>
                  {profiles.data?.profiles.map((row) => (
                    <option key={row.name}>{row.name}</option>
                  ))}
                </Select>
              </Field>
              <Field label={t("requests.model")} optional={t("optional")}>
                <Input
                  mono
                  placeholder={record.model}
                  value={model}
                  onChange={(event) => setModel(event.target.value)}
                />
              </Field>
            </div>
            <Notice>
              {record.cost === null || record.cost === undefined
                ? t("replay.costUnknown")
                : t("replay.cost", { cost: money(record.cost) })}
            </Notice>
          </>
        )}
        {error !== undefined && <Failure error={error} />}
        {outcome && (
          <div className="space-y-2" aria-live="polite">
            <p className="flex items-center gap-3 text-sm">
              <Badge tone={outcome.status < 400 ? "good" : "bad"}>{outcome.status}</Badge>
              {outcome.requestId && (
                <Link
                  to="/requests"
                  search={{ open: outcome.requestId }}
                  onClick={close}
                  className="text-accent hover:underline"
                >
                  {t("play.inspect")}
                </Link>
              )}
            </p>
            <Code text={pretty(outcome.text).slice(0, 400_000)} wrap label={t("play.answer")} />
          </div>
        )}
      </div>
    </Dialog>
  );
}
