/** Something goes on. Decoration: whoever shows it says so in words. */
export function Spinner() {
  return (
    <span
      aria-hidden
      className="inline-block size-3.5 animate-spin rounded-full border-2 border-current border-r-transparent"
    />
  );
}

/** A place that will hold something. */
export function Skeleton({ className }: { className?: string }) {
  return <span aria-hidden className={`block animate-pulse rounded-md bg-line ${className ?? "h-4 w-24"}`} />;
}
