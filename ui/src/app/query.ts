import { QueryClient } from "@tanstack/react-query";
import { ApiError } from "@/api/client";

/** One client for the page. Nothing is fetched while the page is hidden: intervals stop there by default. */
export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (times, error) => times < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
      refetchOnWindowFocus: true,
    },
  },
});
