import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api, session } from "@/api/client";
import { Logo } from "@/app/logo";
import { Preferences } from "@/app/preferences";
import { queries } from "@/app/query";
import { Button } from "@/components/ui/button";
import { Field, Input } from "@/components/ui/field";
import { Failure } from "@/components/ui/notice";
import { useT } from "@/i18n";

/** An admin token for a cookie. The token itself is not kept anywhere in the browser. */
export function LoginPage() {
  const t = useT();
  const [token, setToken] = useState("");
  const login = useMutation({
    mutationFn: () => answer(api.POST("/api/v1/session", { body: { token: token.trim() } })),
    onSuccess: () => {
      queries.clear();
      session.set("in");
    },
  });
  const misplaced = token.trim().startsWith("my-");
  return (
    <main className="grid min-h-dvh place-items-center p-4">
      <div className="w-full max-w-sm">
        <div className="mb-6 flex items-center justify-center gap-3">
          <Logo className="size-10" />
          <h1 className="text-2xl font-semibold tracking-tight">Myelin</h1>
        </div>
        <form
          className="space-y-4 rounded-2xl border border-line bg-surface p-5 shadow-float"
          onSubmit={(event) => {
            event.preventDefault();
            login.mutate();
          }}
        >
          <Field label={t("login.token")} hint={t("login.hint")} error={misplaced ? t("login.virtualKey") : undefined}>
            <Input
              type="password"
              name="token"
              mono
              required
              autoComplete="current-password"
              placeholder="mya-…"
              value={token}
              onChange={(event) => setToken(event.target.value)}
            />
          </Field>
          {login.isError && <Failure error={login.error} />}
          <Button type="submit" look="primary" className="w-full" busy={login.isPending} disabled={!token.trim()}>
            {t("login.go")}
          </Button>
        </form>
        <div className="mt-4 flex justify-center">
          <Preferences wide />
        </div>
      </div>
    </main>
  );
}
