import type { ReactNode } from "react";

/** Names with their values; what is not known is left out. */
export function Facts({ facts }: { facts: [string, ReactNode][] }) {
  return (
    <dl className="grid grid-cols-1 gap-x-6 gap-y-2 text-sm sm:grid-cols-2">
      {facts.map(([name, value]) =>
        value === undefined || value === null || value === "" ? null : (
          <div key={name} className="flex min-w-0 gap-3">
            <dt className="w-28 shrink-0 text-muted">{name}</dt>
            <dd className="min-w-0 break-words">{value}</dd>
          </div>
        ),
      )}
    </dl>
  );
}
