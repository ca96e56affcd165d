import clsx from "clsx";
import { ChevronDown } from "lucide-react";
import {
  type InputHTMLAttributes,
  type ReactNode,
  type Ref,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
  createContext,
  useContext,
  useId,
} from "react";

const BOX =
  "w-full min-w-0 rounded-lg border border-line-strong bg-surface px-3 text-sm text-text placeholder:text-muted/80 " +
  "aria-invalid:border-bad disabled:opacity-60";

type Ids = { control: string; hint: string | undefined; error: string | undefined };
const Inside = createContext<Ids | null>(null);

type FieldProps = {
  label: ReactNode;
  hint?: ReactNode;
  error?: ReactNode;
  optional?: string;
  children: ReactNode;
  className?: string;
};

/** A label, its control and what is to be said about it. The control inside finds its ids by itself. */
export function Field({ label, hint, error, optional, children, className }: FieldProps) {
  const id = useId();
  const ids = { control: id, hint: hint ? `${id}-hint` : undefined, error: error ? `${id}-error` : undefined };
  return (
    <div className={clsx("min-w-0", className)}>
      <label htmlFor={id} className="mb-1 flex items-baseline gap-2 text-xs font-medium">
        {label}
        {optional && <span className="font-normal text-muted">{optional}</span>}
      </label>
      <Inside value={ids}>{children}</Inside>
      {error && (
        <p id={ids.error} className="mt-1 text-xs text-bad">
          {error}
        </p>
      )}
      {hint && (
        <p id={ids.hint} className="mt-1 text-xs text-muted">
          {hint}
        </p>
      )}
    </div>
  );
}

function useIds() {
  const ids = useContext(Inside);
  if (!ids) return {};
  return {
    id: ids.control,
    "aria-describedby": [ids.error, ids.hint].filter(Boolean).join(" ") || undefined,
    "aria-invalid": ids.error ? true : undefined,
  };
}

type InputProps = InputHTMLAttributes<HTMLInputElement> & { mono?: boolean; ref?: Ref<HTMLInputElement> };

export function Input({ className, mono, ...rest }: InputProps) {
  return (
    <input
      autoComplete="off"
      autoCapitalize="off"
      spellCheck={false}
      {...useIds()}
      {...rest}
      className={clsx(BOX, "h-9", mono && "font-mono text-xs", className)}
    />
  );
}

type AreaProps = TextareaHTMLAttributes<HTMLTextAreaElement> & {
  mono?: boolean;
  ref?: Ref<HTMLTextAreaElement>;
};

export function TextArea({ className, mono, ...rest }: AreaProps) {
  return (
    <textarea
      spellCheck={false}
      {...useIds()}
      {...rest}
      className={clsx(BOX, "min-h-20 py-2 leading-relaxed", mono && "font-mono text-xs", className)}
    />
  );
}

type SelectProps = SelectHTMLAttributes<HTMLSelectElement> & { small?: boolean };

/** The system's own select: best on phones and for screen readers. */
export function Select({ className, small, children, ...rest }: SelectProps) {
  return (
    <span className={clsx("relative inline-block min-w-0", className ?? "w-full")}>
      <select
        {...useIds()}
        {...rest}
        className={clsx(BOX, "appearance-none truncate pr-8", small ? "h-7 text-xs" : "h-9")}
      >
        {children}
      </select>
      <ChevronDown
        aria-hidden
        className="pointer-events-none absolute top-1/2 right-2.5 size-3.5 -translate-y-1/2 text-muted"
      />
    </span>
  );
}

type SwitchProps = {
  on: boolean;
  onChange: (on: boolean) => void;
  label: string;
  disabled?: boolean;
  hidden?: boolean;
};

/** On or off, at once. `hidden`: the label is only for screen readers. */
export function Switch({ on, onChange, label, disabled, hidden }: SwitchProps) {
  return (
    <button
      type="button"
      role="switch"
      aria-checked={on}
      aria-label={hidden ? label : undefined}
      title={hidden ? label : undefined}
      disabled={disabled}
      onClick={() => onChange(!on)}
      className="inline-flex items-center gap-2 rounded-md text-left text-sm disabled:opacity-50"
    >
      <span
        aria-hidden
        className={clsx(
          "relative h-5 w-9 shrink-0 rounded-full border transition-colors",
          on ? "border-accent bg-accent" : "border-line-strong bg-sunken",
        )}
      >
        <span
          className={clsx(
            "absolute top-0.5 size-3.5 rounded-full transition-[left] duration-150",
            on ? "left-[18px] bg-on-accent" : "left-0.5 bg-muted",
          )}
        />
      </span>
      {!hidden && label}
    </button>
  );
}

type CheckProps = { on: boolean; onChange: (on: boolean) => void; label: ReactNode; disabled?: boolean };

export function Check({ on, onChange, label, disabled }: CheckProps) {
  return (
    <label className={clsx("inline-flex items-center gap-2 text-sm", disabled && "opacity-50")}>
      <input
        type="checkbox"
        className="size-4 shrink-0 accent-accent"
        checked={on}
        disabled={disabled}
        onChange={(event) => onChange(event.target.checked)}
      />
      <span className="min-w-0">{label}</span>
    </label>
  );
}
