/** A nerve in its sheath. */
export function Logo({ className }: { className?: string }) {
  return (
    <svg aria-hidden viewBox="0 0 32 32" className={className ?? "size-6 shrink-0"}>
      <rect width="32" height="32" rx="8" fill="var(--accent)" />
      <g fill="none" stroke="var(--on-accent)" strokeLinecap="round">
        <path d="M4 16h24" strokeWidth="1.8" opacity=".6" />
        <path d="M8.2 16h3.6M14.2 16h3.6M20.2 16h3.6" strokeWidth="7.4" />
      </g>
    </svg>
  );
}
