import clsx from "clsx";
import type { ReactNode } from "react";

type Props = { title: ReactNode; hint?: ReactNode; actions?: ReactNode; children: ReactNode; fill?: boolean };

/** The frame of every page. `fill`: the page is as high as the window, and its content scrolls. */
export function Page({ title, hint, actions, children, fill }: Props) {
  return (
    <div
      className={clsx("mx-auto flex w-full max-w-[1500px] flex-col gap-4 p-3 sm:p-5 lg:px-7", fill && "h-full min-h-0")}
    >
      <header className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <div className="min-w-0 flex-1 basis-48">
          <h1 className="text-xl font-semibold tracking-tight">{title}</h1>
          {hint && <p className="mt-0.5 text-sm text-muted">{hint}</p>}
        </div>
        {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </header>
      {children}
    </div>
  );
}
