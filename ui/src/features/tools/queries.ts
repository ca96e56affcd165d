import { useQuery } from "@tanstack/react-query";
import { type Api, answer, api } from "@/api/client";
import { useTold } from "@/i18n";

/** The tools, by their names in the language that is shown. */
export function useTools() {
  const told = useTold();
  return useQuery({
    queryKey: ["tools"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/tools", { signal })),
    select: (list) => ({
      ...list,
      tools: list.tools.map((tool) => ({ ...tool, name: told(`name/${tool.id}`, tool.name) })),
    }),
    // Files change outside: what is shown is looked at again when somebody comes back.
    staleTime: 2_000,
  });
}

/** What people should know of a tool, in their language. */
export function useNote(): (tool: string, note: Api<"Note">) => string {
  const told = useTold();
  return (tool, note) => told(`tool/${tool}/${note.code}`, note.text);
}
