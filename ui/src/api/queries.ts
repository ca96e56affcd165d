import { useMutation, useQuery } from "@tanstack/react-query";
import { queries } from "@/app/query";
import { say } from "@/components/ui/toast";
import { answer, api } from "./client";

/** What several pages ask for, once for all of them. */

export const useStatus = (every?: number) =>
  useQuery({
    queryKey: ["status"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/status", { signal })),
    refetchInterval: every,
  });

export const useChannels = () =>
  useQuery({ queryKey: ["channels"], queryFn: ({ signal }) => answer(api.GET("/api/v1/channels", { signal })) });

export const useProviders = () =>
  useQuery({
    queryKey: ["providers"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/providers", { signal })),
    // The catalog is part of the program.
    staleTime: Number.POSITIVE_INFINITY,
  });

/** What is out of rotation, and how much each model is asked. */
export const useHealth = () =>
  useQuery({
    queryKey: ["health"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/health", { signal })),
    refetchInterval: 15_000,
  });

export const useKeys = () =>
  useQuery({ queryKey: ["keys"], queryFn: ({ signal }) => answer(api.GET("/api/v1/keys", { signal })) });

export const useProfiles = () =>
  useQuery({ queryKey: ["profiles"], queryFn: ({ signal }) => answer(api.GET("/api/v1/profiles", { signal })) });

export const useRoutes = () =>
  useQuery({ queryKey: ["routes"], queryFn: ({ signal }) => answer(api.GET("/api/v1/routes", { signal })) });

export const useModels = () =>
  useQuery({ queryKey: ["models"], queryFn: ({ signal }) => answer(api.GET("/api/v1/models", { signal })) });

type Told<Out> = {
  /** What is said when it is done. */
  done?: (out: Out) => string | undefined;
  after?: (out: Out) => void;
  /** Failures are shown where they happened, not as a toast. */
  inPlace?: boolean;
};

/** What shows configuration, by the names under which it is asked for. */
const CONFIGURED = [
  "overview",
  "status",
  "channels",
  "keys",
  "profiles",
  "routes",
  "models",
  "settings",
  "changes",
  "tools",
  "pins",
];

/** Reads what is shown of the configuration again; what is not shown, when it is shown next. */
export function refreshConfigured() {
  for (const name of CONFIGURED) void queries.invalidateQueries({ queryKey: [name] });
}

/** A write. Whatever is shown of the configuration is read again afterwards: one change can touch several lists. */
export function useChange<In, Out>(run: (input: In) => Promise<Out>, { done, after, inPlace }: Told<Out> = {}) {
  return useMutation({
    mutationFn: run,
    onSuccess: (out) => {
      const text = done?.(out);
      if (text) say(text);
      after?.(out);
    },
    onError: (error) => {
      if (!inPlace) say(error.message, true);
    },
    onSettled: refreshConfigured,
  });
}
