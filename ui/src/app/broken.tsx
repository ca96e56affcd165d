import { Link, type ErrorComponentProps } from "@tanstack/react-router";
import { Compass } from "lucide-react";
import { Empty } from "@/components/ui/empty";
import { Failure } from "@/components/ui/notice";
import { Page } from "@/components/ui/page";
import { useT } from "@/i18n";

/** An address that is no page. */
export function Missing() {
  const t = useT();
  return (
    <Page title={t("missing.title")}>
      <Empty
        icon={<Compass />}
        title={t("missing.text")}
        action={
          <Link to="/" className="text-sm font-medium text-accent hover:underline">
            {t("missing.home")}
          </Link>
        }
      />
    </Page>
  );
}

/** A page that failed to show: the rest of the console still works. */
export function Broken({ error, reset }: ErrorComponentProps) {
  const t = useT();
  return (
    <Page title={t("broken.title")}>
      <Failure error={error} retry={reset} />
      <p className="text-sm text-muted">{t("broken.text")}</p>
    </Page>
  );
}
