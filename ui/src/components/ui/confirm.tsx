import type { ReactNode } from "react";
import { useT } from "@/i18n";
import { Button } from "./button";
import { Dialog } from "./dialog";
import { Failure } from "./notice";

type Props = {
  title: string;
  /** The word on the button: what will be done. */
  act: string;
  children: ReactNode;
  run: () => void;
  close: () => void;
  busy?: boolean;
  error?: unknown;
};

/** Asks before something is lost. */
export function Confirm({ title, act, children, run, close, busy, error }: Props) {
  const t = useT();
  return (
    <Dialog
      open
      onClose={close}
      title={title}
      footer={
        <>
          <Button onClick={close}>{t("cancel")}</Button>
          <Button look="danger" busy={busy} onClick={run}>
            {act}
          </Button>
        </>
      }
    >
      <div className="space-y-3 text-sm">
        {children}
        {error !== undefined && error !== null && <Failure error={error} />}
      </div>
    </Dialog>
  );
}
