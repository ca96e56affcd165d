import { useQuery } from "@tanstack/react-query";
import { answer, api } from "@/api/client";

export const useTools = () =>
  useQuery({
    queryKey: ["tools"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/tools", { signal })),
    // Files change outside: what is shown is looked at again when somebody comes back.
    staleTime: 2_000,
  });
