import * as Radix from "@radix-ui/react-dropdown-menu";
import clsx from "clsx";
import { Ellipsis } from "lucide-react";
import type { ReactNode } from "react";
import { IconButton } from "./button";

type Item = { label: string; icon?: ReactNode; run: () => void; danger?: boolean; disabled?: boolean };
type Props = { label: string; items: (Item | false | undefined)[]; trigger?: ReactNode };

/** More that can be done with a thing. */
export function Menu({ label, items, trigger }: Props) {
  return (
    <Radix.Root modal={false}>
      <Radix.Trigger asChild>
        {trigger ?? (
          <IconButton label={label}>
            <Ellipsis />
          </IconButton>
        )}
      </Radix.Trigger>
      <Radix.Portal>
        <Radix.Content
          align="end"
          sideOffset={4}
          className="z-60 min-w-44 animate-in rounded-xl border border-line bg-surface p-1 shadow-float"
        >
          {items.map(
            (item) =>
              item && (
                <Radix.Item
                  key={item.label}
                  disabled={item.disabled}
                  onSelect={item.run}
                  className={clsx(
                    "flex h-8 cursor-pointer items-center gap-2.5 rounded-lg px-2.5 text-sm outline-none [&_svg]:size-4",
                    "data-[disabled]:cursor-not-allowed data-[disabled]:opacity-50 data-[highlighted]:bg-sunken",
                    item.danger && "text-bad",
                  )}
                >
                  {item.icon}
                  {item.label}
                </Radix.Item>
              ),
          )}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
