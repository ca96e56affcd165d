import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { useT } from "@/i18n";
import { copy } from "@/lib/shell";
import { Button, IconButton } from "./button";

function useCopied(text: string) {
  const [state, setState] = useState<"idle" | "done" | "failed">("idle");
  useEffect(() => {
    if (state === "idle") return;
    const timer = setTimeout(() => setState("idle"), 1800);
    return () => clearTimeout(timer);
  }, [state]);
  return { state, run: async () => setState((await copy(text)) ? "done" : "failed") };
}

/** Copies a text; with words beside the icon if `words` is given. */
export function CopyButton({ text, label, words }: { text: string; label?: string; words?: string }) {
  const t = useT();
  const { state, run } = useCopied(text);
  const icon = state === "done" ? <Check className="size-4 text-good" /> : <Copy className="size-4" />;
  const said = state === "done" ? t("copied") : state === "failed" ? t("copyFailed") : undefined;
  if (words) {
    return (
      <Button small icon={icon} onClick={run}>
        {said ?? words}
      </Button>
    );
  }
  return (
    <IconButton label={said ?? label ?? t("copy")} onClick={run}>
      {icon}
    </IconButton>
  );
}
