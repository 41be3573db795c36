/**
 * What a digest says, whichever channel carries it. Kept with its delivery, so that what is sent late says what was true
 * when it was due. Amounts are decimal strings of dollars, as reports give them; how they are written is decided by
 * whoever writes them down.
 */
import type { DigestPeriod } from "./digest-period.ts"

/** One of the largest by what it spent. */
export type DigestGroup = { readonly name: string; readonly usd: string; readonly previousUsd: string }

export type DigestBudget = {
  readonly name: string
  readonly kind: "usd" | "tokens"
  /** Dollars, or a count. */
  readonly used: string
  readonly cap: string
  readonly percent: number | null
  readonly state: "ok" | "warning" | "exceeded" | "too_early"
  /** At the window's end; null where that cannot be said. */
  readonly projected: string | null
  /** `month`, `7 days`. */
  readonly window: string
}

/** A sum and what it was in the stretch before. */
export type Compared = { readonly now: string; readonly before: string }

export type DigestMessage = {
  readonly kind: "digest"
  readonly title: string
  readonly organization: { readonly id: string; readonly name: string }
  readonly digest: { readonly id: string; readonly name: string; readonly period: DigestPeriod }
  readonly stretch: {
    readonly id: string
    /** ISO 8601; the end is not part of it. */
    readonly from: string
    readonly until: string
    readonly timeZone: string
  }
  /** When it was made, ISO 8601. */
  readonly raisedAt: string
  readonly usd: Compared
  readonly calls: Compared
  readonly tokens: Compared
  readonly refused: Compared & { readonly reasons: readonly { readonly code: string; readonly calls: string }[] }
  readonly unpriced: {
    readonly calls: string
    readonly models: readonly { readonly name: string; readonly calls: string }[]
  }
  /** Of the stretch: its hours or days, oldest first. */
  readonly bars: readonly { readonly label: string; readonly usd: string }[]
  /** Largest first; groups that are not asked for are []. */
  readonly top: Readonly<Record<"organizations" | "projects" | "keys" | "models", readonly DigestGroup[]>>
  /** The running month; null amounts where it is too early to say. */
  readonly month: {
    readonly usd: string
    readonly projected: string | null
    readonly low: string | null
    readonly high: string | null
  }
  readonly budgets: readonly DigestBudget[]
  readonly budgetsMore: number
  /** The explorer over the stretch; null where the installation does not know its own address. */
  readonly link: string | null
  /** Which of its kind it is: what its mails have attached is kept under it. */
  readonly occasion: string
}
