import { X } from "lucide-react";
import { useId, useState } from "react";
import { useT } from "@/i18n";

type Props = {
  label: string;
  values: string[];
  onChange: (values: string[]) => void;
  placeholder?: string;
  /** Offered while typing; anything else can be typed too. */
  offers?: string[];
  hint?: string;
  optional?: string;
  disabled?: boolean;
  /** The label stands elsewhere already: it is only for screen readers. */
  hideLabel?: boolean;
};

const NONE: string[] = [];

/** A list of words. Enter, comma or leaving takes what was typed; backspace removes the last. */
export function WordsInput({
  label,
  values,
  onChange,
  placeholder,
  offers = NONE,
  hint,
  optional,
  disabled,
  hideLabel,
}: Props) {
  const t = useT();
  const id = useId();
  const [text, setText] = useState("");
  const take = (typed: string) => {
    const words = typed.split(/[,\n]/).map((word) => word.trim());
    const fresh = words.filter((word, at) => word && !values.includes(word) && words.indexOf(word) === at);
    if (fresh.length > 0) onChange([...values, ...fresh]);
    setText("");
  };
  return (
    <div className="min-w-0">
      <label htmlFor={id} className={hideLabel ? "sr-only" : "mb-1 flex items-baseline gap-2 text-xs font-medium"}>
        {label}
        {optional && <span className="font-normal text-muted">{optional}</span>}
      </label>
      <div className="flex min-h-9 flex-wrap items-center gap-1 rounded-lg border border-line-strong bg-surface px-1.5 py-1 focus-within:outline-2 focus-within:outline-accent">
        {values.map((word) => (
          <span
            key={word}
            className="inline-flex max-w-full items-center gap-1 rounded-md bg-sunken py-0.5 pr-0.5 pl-2 text-xs"
          >
            <span className="truncate">{word}</span>
            {!disabled && (
              <button
                type="button"
                aria-label={`${t("remove")} ${word}`}
                onClick={() => onChange(values.filter((other) => other !== word))}
                className="grid size-5 place-items-center rounded text-muted hover:text-text"
              >
                <X className="size-3" />
              </button>
            )}
          </span>
        ))}
        <input
          id={id}
          list={`${id}-offers`}
          value={text}
          disabled={disabled}
          autoComplete="off"
          spellCheck={false}
          placeholder={values.length === 0 ? placeholder : undefined}
          aria-describedby={hint ? `${id}-hint` : undefined}
          className="min-w-24 flex-1 bg-transparent px-1.5 py-0.5 text-sm outline-none placeholder:text-muted/80"
          onChange={(event) => {
            const typed = event.target.value;
            if (typed.endsWith(",") || offers.includes(typed)) take(typed);
            else setText(typed);
          }}
          onKeyDown={(event) => {
            // While an input method composes, Enter is its own.
            if (event.nativeEvent.isComposing) return;
            if (event.key === "Enter" && text.trim()) {
              event.preventDefault();
              take(text);
            } else if (event.key === "Backspace" && text === "") onChange(values.slice(0, -1));
          }}
          onBlur={() => text.trim() && take(text)}
        />
        <datalist id={`${id}-offers`}>
          {offers
            .filter((offer) => !values.includes(offer))
            .slice(0, 200)
            .map((offer) => (
              <option key={offer} value={offer} />
            ))}
        </datalist>
      </div>
      {hint && (
        <p id={`${id}-hint`} className="mt-1 text-xs text-muted">
          {hint}
        </p>
      )}
    </div>
  );
}
