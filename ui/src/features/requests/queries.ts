import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { answer, api } from "@/api/client";
import type { RequestsSearch } from "./search";

const PAGE = 100;

/** Records newest first, page by page. */
export function useRecords({ q, model, channel, key, tool, state, since, until }: RequestsSearch) {
  const some = (value: string | undefined) => (value === undefined ? undefined : [value]);
  const filter = {
    q,
    model: some(model),
    channel: some(channel),
    key: some(key),
    tool: some(tool),
    state: some(state),
    since,
    until,
  };
  return useInfiniteQuery({
    queryKey: ["requests", filter],
    queryFn: ({ pageParam, signal }) =>
      answer(
        api.GET("/api/v1/requests", {
          params: { query: { ...filter, limit: PAGE, before: pageParam || undefined } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next ?? undefined,
    placeholderData: keepPreviousData,
    // The live tail brings what is new.
    refetchOnWindowFocus: false,
    staleTime: 0,
    gcTime: 60_000,
  });
}
