import type { Problem } from "@/api/client";
import { useSaid } from "@/i18n";

/** What is wrong, each with its place. */
export function Problems({ of }: { of: readonly Problem[] }) {
  const said = useSaid();
  return of.map((problem) => (
    <p key={problem.path + problem.message}>
      {problem.path && (
        <>
          <code className="font-mono">{problem.path}</code>:{" "}
        </>
      )}
      {said(problem)}
    </p>
  ));
}
