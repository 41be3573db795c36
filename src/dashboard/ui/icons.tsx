/** Line icons of 16 px; always beside a word or with a label on the button that holds them. */
const PATHS = {
  overview: "M2.5 9.5 8 3l5.5 6.5M4 8v5.5h8V8",
  usage: "M2.5 13.5v-5h3v5zM6.5 13.5v-11h3v11zM10.5 13.5v-8h3v8z",
  requests: "M2.5 4h11M2.5 8h11M2.5 12h7",
  budget: "M8 2.5a5.5 5.5 0 1 0 5.5 5.5H8z",
  key: "M6 9.5a3 3 0 1 1 1.8-1.2L13.5 14M11 11.5l1.5-1.5",
  people:
    "M3 13.5v-1.8A2.7 2.7 0 0 1 5.7 9h4.6a2.7 2.7 0 0 1 2.7 2.7v1.8M8 6.8a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4",
  price: "M8.6 2.5h4.9v4.9l-6.1 6.1-4.9-4.9zM10.8 5.2h.01",
  bell: "M4 11.5V7a4 4 0 0 1 8 0v4.5M2.5 11.5h11M6.8 13.8h2.4",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  close: "M4 4l8 8M12 4l-8 8",
  plus: "M8 3v10M3 8h10",
  check: "M3 8.5 6.5 12 13 4.5",
  down: "M4.5 6.5 8 10l3.5-3.5",
  back: "M9.5 4 5.5 8l4 4",
  forward: "M6.5 4l4 4-4 4",
  copy: "M6 6h7.5v7.5H6zM10 6V2.5H2.5V10H6",
  export: "M8 2.5v8M5 7.5l3 3 3-3M3 13.5h10",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1.8v1M8 13.2v1M1.8 8h1M13.2 8h1M3.6 3.6l.7.7M11.7 11.7l.7.7M12.4 3.6l-.7.7M4.3 11.7l-.7.7",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3 5.6 5.6 0 1 0 13 9.6",
  system: "M2.5 3.5h11v7h-11zM6 13.5h4",
  leave: "M6.5 3H3v10h3.5M7 8h6.5M11 5.5 13.5 8 11 10.5",
} as const
export type IconName = keyof typeof PATHS

export function Icon({ name, className = "" }: { name: IconName; className?: string }) {
  return (
    <svg
      width="16"
      height="16"
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth={name === "more" ? 2 : 1.4}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      className={`flex-none ${className}`}
    >
      <path d={PATHS[name]} />
    </svg>
  )
}

/** A tally of five: four strokes and a gate. */
export function Logo() {
  return (
    <svg
      width="24"
      height="20"
      viewBox="0 0 24 20"
      fill="none"
      stroke="currentColor"
      strokeWidth="2.2"
      strokeLinecap="round"
      aria-hidden="true"
      className="flex-none"
    >
      <path d="M4 3v14M9 3v14M14 3v14M19 3v14" />
      <path d="M1.5 14.5 22 5.5" className="stroke-[var(--c2)]" />
    </svg>
  )
}
