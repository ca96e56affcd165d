import clsx from "clsx";
import { CopyButton } from "./copy";

type Props = { text: string; copy?: boolean; wrap?: boolean; label?: string; className?: string };

/** Text as it is, never as markup. */
export function Code({ text, copy = true, wrap, label, className }: Props) {
  return (
    <div className={clsx("relative rounded-lg border border-line bg-sunken", className)}>
      <pre
        tabIndex={0}
        aria-label={label}
        className={clsx(
          "max-h-[60vh] overflow-auto p-3 pr-11 font-mono text-xs leading-relaxed",
          wrap && "break-words whitespace-pre-wrap",
        )}
      >
        {text}
      </pre>
      {copy && (
        <span className="absolute top-1.5 right-1.5 rounded-lg bg-sunken">
          <CopyButton text={text} />
        </span>
      )}
    </div>
  );
}
