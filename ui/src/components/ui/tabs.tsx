import * as Radix from "@radix-ui/react-tabs";
import clsx from "clsx";
import type { ReactNode } from "react";

type Tab = { id: string; label: ReactNode; content: ReactNode };
type Props = { tabs: Tab[]; label: string; value?: string; onChange?: (id: string) => void; className?: string };

export function Tabs({ tabs, label, value, onChange, className }: Props) {
  return (
    <Radix.Root value={value} defaultValue={value ?? tabs[0]?.id} onValueChange={onChange} className={className}>
      <Radix.List aria-label={label} className="flex gap-1 overflow-x-auto border-b border-line">
        {tabs.map((tab) => (
          <Radix.Trigger
            key={tab.id}
            value={tab.id}
            className={clsx(
              "-mb-px shrink-0 border-b-2 border-transparent px-3 py-2 text-sm whitespace-nowrap text-muted hover:text-text",
              "data-[state=active]:border-accent data-[state=active]:font-medium data-[state=active]:text-text focus-visible:-outline-offset-2",
            )}
          >
            {tab.label}
          </Radix.Trigger>
        ))}
      </Radix.List>
      {tabs.map((tab) => (
        <Radix.Content key={tab.id} value={tab.id} className="pt-4 outline-none">
          {tab.content}
        </Radix.Content>
      ))}
    </Radix.Root>
  );
}

type Choice<T extends string> = { id: T; label: ReactNode };
type SegmentedProps<T extends string> = {
  choices: readonly Choice<T>[];
  value: T;
  onChange: (id: T) => void;
  label: string;
};

/** One of a few, all in sight. */
export function Segmented<T extends string>({ choices, value, onChange, label }: SegmentedProps<T>) {
  return (
    <div
      role="group"
      aria-label={label}
      className="inline-flex max-w-full overflow-x-auto rounded-lg border border-line bg-sunken p-0.5"
    >
      {choices.map((choice) => (
        <button
          key={choice.id}
          type="button"
          aria-pressed={choice.id === value}
          onClick={() => onChange(choice.id)}
          className={clsx(
            "h-7 shrink-0 rounded-md px-2.5 text-xs whitespace-nowrap transition-colors",
            choice.id === value ? "bg-surface font-medium shadow-sm ring-1 ring-line" : "text-muted hover:text-text",
          )}
        >
          {choice.label}
        </button>
      ))}
    </div>
  );
}
