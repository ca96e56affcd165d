import * as Radix from "@radix-ui/react-dialog";
import clsx from "clsx";
import { X } from "lucide-react";
import type { ReactNode } from "react";
import { useT } from "@/i18n";
import { IconButton } from "./button";

type Props = {
  open: boolean;
  onClose: () => void;
  title: ReactNode;
  /** What it is about, also for screen readers. */
  hint?: ReactNode;
  children: ReactNode;
  footer?: ReactNode;
  wide?: boolean;
  /** A panel at the right edge instead of a box in the middle. */
  side?: boolean;
  /** Clicks beside it do not close it: something would be lost. */
  firm?: boolean;
  actions?: ReactNode;
};

const MIDDLE =
  "inset-x-2 top-[4vh] mx-auto max-h-[92vh] rounded-2xl border border-line animate-in sm:inset-x-4 sm:top-[8vh] sm:max-h-[84vh]";
const RIGHT = "inset-y-0 right-0 w-full border-l border-line animate-slide";

export function Dialog({ open, onClose, title, hint, children, footer, wide, side, firm, actions }: Props) {
  const t = useT();
  return (
    <Radix.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Radix.Portal>
        <Radix.Overlay
          className={clsx("fixed inset-0 z-40", side ? "bg-black/25" : "bg-black/45 backdrop-blur-[1px]")}
        />
        <Radix.Content
          {...(hint ? {} : { "aria-describedby": undefined })}
          onOpenAutoFocus={(event) => {
            // What is to be read takes the focus itself; what is to be filled in gives it to its first field.
            const content = event.currentTarget as HTMLElement;
            event.preventDefault();
            const fields = "input:not([type=radio], [type=checkbox]), textarea, select";
            const first = [...content.querySelectorAll<HTMLElement>(fields)].find((field) => field.checkVisibility());
            // On a phone it would cover half of the screen with a keyboard.
            (matchMedia("(pointer: fine)").matches && first ? first : content).focus();
          }}
          onInteractOutside={(event) => firm && event.preventDefault()}
          className={clsx(
            "fixed z-50 flex flex-col bg-surface shadow-float outline-none",
            side ? RIGHT : MIDDLE,
            side ? (wide ? "sm:max-w-5xl" : "sm:max-w-2xl") : wide ? "max-w-4xl" : "max-w-lg",
          )}
        >
          <header className="flex items-start gap-2 border-b border-line px-4 py-3 sm:px-5">
            <div className="min-w-0 flex-1">
              <Radix.Title className="text-base font-semibold break-words">{title}</Radix.Title>
              {hint && <Radix.Description className="mt-0.5 text-xs text-muted">{hint}</Radix.Description>}
            </div>
            {actions}
            <Radix.Close asChild>
              <IconButton label={t("close")}>
                <X />
              </IconButton>
            </Radix.Close>
          </header>
          <div className="min-h-0 flex-1 overflow-y-auto px-4 py-4 sm:px-5">{children}</div>
          {footer && (
            <footer className="flex flex-wrap items-center justify-end gap-2 border-t border-line px-4 py-3 sm:px-5">
              {footer}
            </footer>
          )}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
