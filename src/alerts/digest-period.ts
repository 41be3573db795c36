/**
 * Which stretch a digest is about, and when it is due. Pure. A digest is about the last whole day, week or month before it
 * is due, in its own zone, so that a schedule that fires twice within one period (a night in which clocks are set back, a
 * changed expression) still means the same digest.
 */
import { Cron } from "croner"
import { windowAt } from "../admission/window.ts"

export const DIGEST_PERIODS = ["daily", "weekly", "monthly"] as const
export type DigestPeriod = (typeof DIGEST_PERIODS)[number]

/** As a report names it, seen from within the period after it. */
export const RANGE_OF = { daily: "yesterday", weekly: "last_week", monthly: "last_month" } as const

const WINDOW_OF = { daily: "day", weekly: "week", monthly: "month" } as const

/** Where nobody said otherwise: eight in the morning, of Monday or of the first of the month. */
export const SCHEDULE_DEFAULTS: Readonly<Record<DigestPeriod, string>> = {
  daily: "0 8 * * *",
  weekly: "0 8 * * 1",
  monthly: "0 8 1 * *",
}

export const SCHEDULE_EXPECTED = "five fields of cron, such as 0 8 * * 1 for Mondays at eight"

export type Stretch = {
  /** As windows are named: `2026-11-23`, `2026-W48`, `2026-11`. */
  readonly id: string
  /** Epoch milliseconds; the end is not part of it. */
  readonly fromMs: number
  readonly toMs: number
}

/** The last whole day, week or month before the instant. Weeks begin on Monday. */
export function stretchBefore(period: DigestPeriod, timeZone: string, atMs: number): Stretch {
  const running = windowAt(WINDOW_OF[period], timeZone, 1, atMs)
  const { id, startsAtMs, endsAtMs } = windowAt(WINDOW_OF[period], timeZone, 1, (running.startsAtMs ?? 0) - 1)
  if (startsAtMs === null || endsAtMs === null) throw new Error(`A ${WINDOW_OF[period]} has no end.`)
  return { id, fromMs: startsAtMs, toMs: endsAtMs }
}

/** Why it is no schedule, as a clause without its full stop; null where it is one. */
export function scheduleFault(schedule: string): string | null {
  // The library takes dates and names such as @daily as well.
  if (!/^\S+(?:\s+\S+){4}$/.test(schedule)) return `must be ${SCHEDULE_EXPECTED}`
  try {
    return cronOf(schedule, "UTC").nextRun() === null ? "is never due" : null
  } catch (error) {
    return `must be ${SCHEDULE_EXPECTED} (${error instanceof Error ? error.message : String(error)})`
  }
}

/** When it was due last, at `nowMs` at the latest; null where it never was. */
export function dueBefore(schedule: string, timeZone: string, nowMs: number): number | null {
  // The library leaves out the instant itself.
  const [last] = cronOf(schedule, timeZone).previousRuns(1, new Date(nowMs + 1))
  return last?.getTime() ?? null
}

/** When it is due next, after `nowMs`; null where it never will be. */
export function dueAfter(schedule: string, timeZone: string, nowMs: number): number | null {
  return cronOf(schedule, timeZone).nextRun(new Date(nowMs))?.getTime() ?? null
}

/** Only reads an expression: without a function to call there is no timer. */
function cronOf(schedule: string, timeZone: string): Cron {
  return new Cron(schedule, { timezone: timeZone, mode: "5-part" })
}
