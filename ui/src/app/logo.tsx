/** A nerve in its sheath. */
export function Logo({ className }: { className?: string }) {
  return (
    <svg aria-hidden viewBox="0 0 32 32" className={className ?? "size-6 shrink-0"}>
      <rect width="32" height="32" rx="8" fill="var(--accent)" />
      <path d="M3 16h26" stroke="var(--on-accent)" strokeWidth="1.6" strokeLinecap="round" opacity=".65" />
      <g fill="var(--on-accent)">
        <rect x="5" y="11.5" width="6" height="9" rx="3" />
        <rect x="13" y="11.5" width="6" height="9" rx="3" />
        <rect x="21" y="11.5" width="6" height="9" rx="3" />
      </g>
    </svg>
  );
}
