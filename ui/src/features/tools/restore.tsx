import { useState } from "react";
import { answer, api } from "@/api/client";
import { useChange } from "@/api/queries";
import { Button } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Check } from "@/components/ui/field";
import { Failure, Notice } from "@/components/ui/notice";
import { useT } from "@/i18n";
import type { Tool } from "./shape";

/** The way back: the files as they were. */
export function Restore({ tool, close }: { tool: Tool; close: () => void }) {
  const t = useT();
  const [removeKey, setRemoveKey] = useState(false);
  const restore = useChange(
    () =>
      answer(
        api.POST("/api/v1/tools/{tool}/restore", {
          params: { path: { tool: tool.id } },
          body: { remove_key: removeKey },
        }),
      ),
    { inPlace: true },
  );
  return (
    <Dialog
      open
      onClose={close}
      title={t("tools.restoreOne", { name: tool.name })}
      hint={t("restore.hint")}
      footer={
        restore.isSuccess ? (
          <Button look="primary" onClick={close}>
            {t("done")}
          </Button>
        ) : (
          <>
            <Button onClick={close}>{t("cancel")}</Button>
            <Button look="primary" busy={restore.isPending} onClick={() => restore.mutate(undefined)}>
              {t("tools.restore")}
            </Button>
          </>
        )
      }
    >
      <div className="space-y-3 text-sm">
        {restore.data ? (
          <>
            <Notice tone="good" title={t("restore.done", { name: tool.name })} />
            <ul className="space-y-2">
              {restore.data.files.map((file) => (
                <li key={file.path}>
                  <code className="font-mono text-xs break-all">{file.path}</code>
                  <p className="text-muted">{t(`restored.${file.how}`)}</p>
                  {file.left.length > 0 && (
                    <p className="text-warn">{t("restored.left", { values: file.left.join(", ") })}</p>
                  )}
                </li>
              ))}
            </ul>
            {restore.data.warnings.map((warning) => (
              <Notice key={warning} tone="warn">
                {warning}
              </Notice>
            ))}
          </>
        ) : (
          <>
            <ul className="space-y-1">
              {tool.files.map((file) => (
                <li key={file}>
                  <code className="font-mono text-xs break-all">{file}</code>
                </li>
              ))}
            </ul>
            <Check on={removeKey} onChange={setRemoveKey} label={t("restore.key")} />
            {restore.isError && <Failure error={restore.error} />}
          </>
        )}
      </div>
    </Dialog>
  );
}
