import clsx from "clsx";
import type { Api } from "@/api/client";
import { Badge } from "@/components/ui/badge";
import { Notice } from "@/components/ui/notice";
import { useT } from "@/i18n";
import { diffLines } from "./shape";

/** What is, or was, written into each file. Secrets are masked by the gateway. */
export function Changes({ plan }: { plan: Api<"Connected"> }) {
  const t = useT();
  return (
    <div className="space-y-3">
      {!plan.changed && <Notice tone="good">{t("connect.nothing")}</Notice>}
      {plan.files.map((file) => (
        <figure key={file.path} className="overflow-hidden rounded-lg border border-line">
          <figcaption className="flex flex-wrap items-center gap-2 border-b border-line px-3 py-1.5 text-xs">
            <code className="min-w-0 font-mono break-all">{file.path}</code>
            {file.new && <Badge tone="accent">{t("connect.new")}</Badge>}
            {!file.diff && <Badge>{t("connect.same")}</Badge>}
          </figcaption>
          {file.diff && <Difference text={file.diff} label={file.path} />}
        </figure>
      ))}
      {plan.warnings.map((warning) => (
        <Notice key={warning} tone="warn">
          {warning}
        </Notice>
      ))}
    </div>
  );
}

const SIGNS = { same: "  ", gone: "− ", new: "+ ", place: "" };

function Difference({ text, label }: { text: string; label: string }) {
  return (
    <pre tabIndex={0} aria-label={label} className="max-h-[40vh] overflow-auto bg-sunken py-2 font-mono text-xs">
      {diffLines(text).map((line, at) => (
        <span
          // Lines have no name but their place.
          // oxlint-disable-next-line react/no-array-index-key
          key={at}
          className={clsx(
            "block px-3 break-words whitespace-pre-wrap",
            line.kind === "gone" && "bg-bad-soft text-bad",
            line.kind === "new" && "bg-good-soft text-good",
            line.kind === "place" && "text-muted",
          )}
        >
          {SIGNS[line.kind]}
          {line.text}
        </span>
      ))}
    </pre>
  );
}
