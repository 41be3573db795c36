/** States in a word, with a colour that only repeats what the word says. */
import type { ReactNode } from "react"

const TONES = {
  plain: "bg-sunken text-ink2",
  warn: "bg-warnsoft text-warn",
  bad: "bg-badsoft text-bad",
  accent: "bg-accentsoft text-ink",
} as const
export type Tone = keyof typeof TONES

export function Pill({ tone = "plain", children, title }: { tone?: Tone; children: ReactNode; title?: string }) {
  return (
    <span
      title={title}
      className={`inline-block rounded-[5px] px-[7px] text-meta leading-[18px] font-[550] whitespace-nowrap ${TONES[tone]}`}
    >
      {children}
    </span>
  )
}

/** A value that is not there, and why; said on hover and to screen readers. */
export function Missing({ why }: { why: string }) {
  return (
    <span title={why} className="text-ink3">
      <span aria-hidden="true">–</span>
      <span className="sr-only">{why}</span>
    </span>
  )
}

/** The square that tells a series; decorative, since the name stands beside it. */
export function Swatch({ slot }: { slot: string }) {
  return (
    <svg width="10" height="10" aria-hidden="true" className="mr-2 inline-block flex-none align-[-1px]">
      <rect width="10" height="10" rx="3" fill={`var(--${slot})`} />
    </svg>
  )
}
