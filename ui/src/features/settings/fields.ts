import type { Api } from "@/api/client";
import { STRATEGIES } from "@/features/routes/strategies";

export type Settings = Api<"Settings">;

/** How a setting is edited. Settings that are not listed are shown in the full list and changed in the file. */
export type Kind = "switch" | "number" | "words" | "choice" | "text" | "json" | "maybe";
type Row = { name: keyof Settings & string; kind: Kind; choices?: readonly string[] };
type Section = { id: "server" | "privacy" | "routing"; rows: Row[] };

/** What the page lays out, in order. A test holds the names to the API's. */
export const SECTIONS: Section[] = [
  {
    id: "server",
    rows: [
      { name: "listen", kind: "words" },
      { name: "lan", kind: "switch" },
      { name: "console", kind: "maybe" },
      { name: "paused", kind: "switch" },
      { name: "allowed_hosts", kind: "words" },
      { name: "allowed_origins", kind: "words" },
      { name: "anonymous_key", kind: "text" },
      { name: "max_body_bytes", kind: "number" },
      { name: "body_idle_seconds", kind: "number" },
      { name: "desktop", kind: "json" },
    ],
  },
  {
    id: "privacy",
    rows: [
      { name: "bodies", kind: "choice", choices: ["off", "errors", "all"] },
      { name: "bodies_days", kind: "number" },
      { name: "bodies_bytes", kind: "number" },
      { name: "metadata_days", kind: "number" },
      { name: "stored_response_seconds", kind: "number" },
      { name: "cache_memory_bytes", kind: "number" },
      { name: "cache_disk_bytes", kind: "number" },
    ],
  },
  {
    id: "routing",
    rows: [
      { name: "strategy", kind: "choice", choices: STRATEGIES },
      { name: "affinity_seconds", kind: "number" },
      { name: "max_attempts", kind: "number" },
      { name: "retry_budget_percent", kind: "number" },
      { name: "model_sync_seconds", kind: "number" },
      { name: "private_media", kind: "switch" },
      { name: "unpriced", kind: "choice", choices: ["allow", "block"] },
      { name: "timeouts", kind: "json" },
      { name: "breaker", kind: "json" },
      { name: "policy", kind: "json" },
    ],
  },
];
