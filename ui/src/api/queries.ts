import { useMutation, useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { queries } from "@/app/query";
import { say } from "@/components/ui/toast";
import { answer, api, wordsOf } from "./client";

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

/** Reads what is shown of the configuration again, and tells when it is there; what is not shown is read when it is shown next. */
export const refreshConfigured = () =>
  Promise.all(CONFIGURED.map((name) => queries.invalidateQueries({ queryKey: [name] })));

/**
 * A write. Whatever is shown of the configuration is read again afterwards: one change can touch several lists. It is pending until what is shown
 * is true again; one that failed says so at once.
 */
export function useChange<In, Out>(run: (input: In) => Promise<Out>, { done, after, inPlace }: Told<Out> = {}) {
  // One after the other: of two quick clicks the second one stands.
  const scope = { id: useId() };
  return useMutation({
    scope,
    mutationFn: run,
    onSuccess: (out) => {
      const text = done?.(out);
      if (text) say(text);
      after?.(out);
    },
    onError: (error) => {
      if (!inPlace) say(wordsOf(error), true);
    },
    onSettled: (_out, error) => {
      const read = refreshConfigured();
      return error ? undefined : read;
    },
  });
}

/**
 * What a switch or a choice shows: the new value from the click on, the real one once what came of it is shown.
 * `put` resolves then, as [`useChange`]'s `mutateAsync` does.
 */
export function useChosen<T>(real: T, put: (value: T) => Promise<unknown>): [T, (value: T) => void] {
  const [wanted, setWanted] = useState<{ value: T }>();
  const choose = (value: T) => {
    const own = { value };
    setWanted(own);
    const over = () => setWanted((now) => (now === own ? undefined : now));
    put(value).then(over, over);
  };
  return [wanted ? wanted.value : real, choose];
}
