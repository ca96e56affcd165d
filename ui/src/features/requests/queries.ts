import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { answer, api } from "@/api/client";
import type { RequestRecord } from "@/api/live";
import { listQuery, type RequestsSearch } from "./search";

const PAGE = 100;

/** Records newest first, page by page; the names of their keys come with them. */
export function useRecords(search: RequestsSearch) {
  const filter = listQuery(search);
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

/** Records of one export: more belong into a query of the API. */
export const MOST_EXPORTED = 50_000;

/** Every record that the filter lets through, up to a bound; tells how many there are so far. */
export async function everyRecord(
  search: RequestsSearch,
  told: (count: number) => void,
  stop: AbortSignal,
): Promise<RequestRecord[]> {
  const filter = listQuery(search);
  const found: RequestRecord[] = [];
  let before: string | undefined;
  do {
    const query = { ...filter, limit: 1000, before };
    const page = await answer(api.GET("/api/v1/requests", { params: { query }, signal: stop }));
    found.push(...page.records);
    told(found.length);
    before = page.next ?? undefined;
  } while (before !== undefined && found.length < MOST_EXPORTED);
  return found.slice(0, MOST_EXPORTED);
}
