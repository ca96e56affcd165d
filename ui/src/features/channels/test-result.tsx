import type { Api } from "@/api/client";
import { Notice } from "@/components/ui/notice";
import { useT } from "@/i18n";

/** What a small conversation with a channel came to. */
export function TestResult({ result }: { result: Api<"ChannelTest"> }) {
  const t = useT();
  if (result.passed) {
    return (
      <Notice tone="good" title={t("channels.passed", { ms: result.latency_ms, model: result.model })}>
        {result.text && `“${result.text}”`}
      </Notice>
    );
  }
  const advice =
    result.status === 401 || result.status === 403
      ? t("channels.badKey")
      : result.status === 404
        ? t("channels.badModel")
        : result.status === null || result.status === undefined
          ? t("channels.badAddress")
          : undefined;
  return (
    <Notice
      tone="bad"
      title={`${t("channels.failed")}${result.status ? ` (${result.status})` : ""}: ${result.error ?? ""}`}
    >
      {advice}
    </Notice>
  );
}
