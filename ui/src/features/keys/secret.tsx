import type { Api } from "@/api/client";
import { Button } from "@/components/ui/button";
import { Code } from "@/components/ui/code";
import { Dialog } from "@/components/ui/dialog";
import { Notice } from "@/components/ui/notice";
import { Tabs } from "@/components/ui/tabs";
import { useT } from "@/i18n";
import { gatewayAddress } from "@/lib/shell";

/** A secret, once. It is in no other answer and is forgotten when this closes. */
export function SecretShown({ issued, close }: { issued: Api<"NewSecret">; close: () => void }) {
  const t = useT();
  const secret = issued.secret ?? "";
  const gateway = gatewayAddress();
  const ways = [
    {
      id: "curl",
      label: "curl",
      text: `curl ${gateway}/v1/chat/completions \\\n  -H "authorization: Bearer ${secret}" \\\n  -H "content-type: application/json" \\\n  -d '{"model": "echo", "messages": [{"role": "user", "content": "hello"}]}'`,
    },
    {
      id: "claude",
      label: "Claude Code",
      text: `export ANTHROPIC_BASE_URL=${gateway}/anthropic\nexport ANTHROPIC_AUTH_TOKEN=${secret}\nclaude`,
    },
    {
      id: "openai",
      label: "OpenAI SDK",
      text: `export OPENAI_BASE_URL=${gateway}/v1\nexport OPENAI_API_KEY=${secret}`,
    },
    {
      id: "gemini",
      label: "Gemini CLI",
      text: `export GOOGLE_GEMINI_BASE_URL=${gateway}/gemini\nexport GEMINI_API_KEY=${secret}\ngemini`,
    },
  ];
  return (
    <Dialog
      open
      firm
      onClose={close}
      title={t("keys.secret", { name: issued.key.name })}
      footer={
        <Button look="primary" onClick={close}>
          {t("keys.kept")}
        </Button>
      }
    >
      <div className="space-y-4">
        {issued.secret ? (
          <>
            <Notice tone="warn" title={t("keys.once")} />
            <Code text={secret} wrap label={t("keys.secretLabel")} />
            <Tabs
              label={t("keys.use")}
              tabs={ways.map((way) => ({ id: way.id, label: way.label, content: <Code text={way.text} /> }))}
            />
          </>
        ) : (
          <Notice title={t("keys.own")} />
        )}
      </div>
    </Dialog>
  );
}
