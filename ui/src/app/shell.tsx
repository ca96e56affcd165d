import { Link, Outlet } from "@tanstack/react-router";
import clsx from "clsx";
import { Menu, Search } from "lucide-react";
import { useState } from "react";
import { session } from "@/api/client";
import { IconButton } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Toasts } from "@/components/ui/toast";
import { LoginPage } from "@/features/login/page";
import { useT } from "@/i18n";
import { useValue } from "@/lib/store";
import { Help } from "./help";
import { Logo } from "./logo";
import { PLACES } from "./nav";
import { openPalette, Palette } from "./palette";
import { Preferences } from "./preferences";

/** What stands around every page; the login in its place while the gateway does not know us. */
export function Shell() {
  const t = useT();
  const known = useValue(session);
  const [menu, setMenu] = useState(false);
  if (known === "out") return <LoginPage />;
  return (
    <div className="flex h-dvh flex-col md:flex-row">
      <a
        href="#content"
        className="absolute top-2 left-2 z-50 -translate-y-16 rounded-lg bg-accent px-3 py-1.5 text-sm text-on-accent focus:translate-y-0"
      >
        {t("skip")}
      </a>
      <aside className="hidden shrink-0 flex-col border-r border-line bg-sunken md:flex md:w-15 lg:w-52">
        <div className="flex h-14 items-center gap-2.5 px-4">
          <Logo />
          <span className="hidden text-[15px] font-semibold tracking-tight lg:block">Myelin</span>
        </div>
        <Places />
        <div className="mt-auto p-2">
          <button
            type="button"
            onClick={openPalette}
            title={t("palette.title")}
            className="mb-1 flex h-9 w-full items-center gap-2.5 rounded-lg px-3 text-sm text-muted hover:bg-line/60 hover:text-text md:justify-center lg:justify-start"
          >
            <Search aria-hidden className="size-4 shrink-0" />
            <span className="md:sr-only lg:not-sr-only">{t("palette.open")}</span>
            <kbd className="ml-auto hidden rounded border border-line-strong px-1 font-sans text-2xs lg:block">
              Ctrl K
            </kbd>
          </button>
          <Preferences />
        </div>
      </aside>
      <header className="flex h-12 shrink-0 items-center gap-2 border-b border-line bg-sunken px-3 md:hidden">
        <IconButton label={t("nav.menu")} onClick={() => setMenu(true)}>
          <Menu />
        </IconButton>
        <Logo />
        <span className="font-semibold">Myelin</span>
      </header>
      <Dialog open={menu} onClose={() => setMenu(false)} title="Myelin" side>
        <Places wide onGo={() => setMenu(false)} />
        <div className="mt-4 border-t border-line pt-4">
          <Preferences wide />
        </div>
      </Dialog>
      <main id="content" tabIndex={-1} className="min-h-0 min-w-0 flex-1 overflow-y-auto outline-none">
        <Outlet />
      </main>
      <Palette />
      <Help />
      <Toasts />
    </div>
  );
}

function Places({ wide, onGo }: { wide?: boolean; onGo?: () => void }) {
  const t = useT();
  return (
    <nav aria-label={t("nav.pages")} className="min-h-0 overflow-y-auto px-2 py-1">
      {PLACES.map((group) => (
        <ul key={group[0]?.to} className="mb-2 space-y-0.5 border-b border-line pb-2 last:border-0">
          {group.map(({ to, label, icon: Icon }) => (
            <li key={to}>
              <Link
                to={to}
                onClick={onGo}
                title={t(label)}
                className={clsx(
                  "flex h-9 items-center gap-2.5 rounded-lg px-3 text-sm text-muted transition-colors hover:bg-line/60 hover:text-text",
                  !wide && "md:justify-center lg:justify-start",
                )}
                activeProps={{ className: "bg-surface !text-text font-medium shadow-sm ring-1 ring-line" }}
                activeOptions={{ exact: to === "/", includeSearch: false }}
              >
                <Icon aria-hidden className="size-4 shrink-0" />
                <span className={wide ? "" : "md:sr-only lg:not-sr-only"}>{t(label)}</span>
              </Link>
            </li>
          ))}
        </ul>
      ))}
    </nav>
  );
}
