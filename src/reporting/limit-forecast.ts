/** Where limits of money and tokens are going: what their window will have used at its end, and when their cap is reached. */
import { type WindowSpan, windowAt } from "../admission/window.ts"
import type { LimitWindow } from "../identity/limit.ts"
import type { Transaction } from "../platform/postgres.ts"
import { type Counter, daysOfCounters } from "./limit-days.ts"
import { type Pace, type Projection, paceOf, projectionOf, reachedAtMs, type StretchAhead } from "./projection.ts"
import { stretchesAhead } from "./projection-days.ts"

export type CountedLimit = {
  readonly counter: Counter
  readonly window: LimitWindow
  readonly span: WindowSpan
  /** In the limit's unit, of the current window. */
  readonly used: bigint
  /** In force, a raise included. */
  readonly cap: bigint
  /** Of a rolling window what its earlier days have used, the oldest first; none of every other window. */
  readonly earlier: readonly bigint[]
}

export type LimitState = "ok" | "warning" | "exceeded" | "too_early"

export type LimitForecast = {
  /** See `stateOf`. */
  readonly state: LimitState
  readonly daysSeen: number
  /** At the window's end; null where it is too early to say, or the window has no end (lifetime, rolling). */
  readonly projection: Projection | null
  /** When the cap is reached, epoch milliseconds; null where it is not before the window ends, or was already. */
  readonly reachedAtMs: number | null
}

const DAY_MS = 24 * 3_600_000
/** How far ahead windows without an end are looked at, and from when on their cap is near. */
const ENDLESS_MS = 366 * DAY_MS
const ENDLESS_NEAR_MS = 30 * DAY_MS

/** In the order of the limits. */
export async function forecastLimits(
  transaction: Transaction,
  limits: readonly CountedLimit[],
  nowMs: number,
): Promise<readonly LimitForecast[]> {
  const days = await daysOfCounters(
    transaction,
    limits.map(({ counter }) => counter),
    nowMs,
  )
  const aheadOf = rememberedStretches(nowMs)
  return limits.map((limit, index) => {
    const seen = days[index] ?? []
    return forecast(limit, paceOf(seen), seen.length, aheadOf(limit.counter.timeZone, horizonOf(limit, nowMs)), nowMs)
  })
}

function forecast(
  limit: CountedLimit,
  pace: Pace | null,
  daysSeen: number,
  ahead: readonly StretchAhead[],
  nowMs: number,
): LimitForecast {
  const { used, cap, earlier } = limit
  const reached = pace === null ? null : reachedAtMs(pace, used, cap, ahead, earlier)
  const projection = pace === null || isEndless(limit) ? null : projectionOf(pace, used, ahead)
  return { state: stateOf(limit, pace, reached, nowMs), daysSeen, projection, reachedAtMs: reached }
}

/**
 * `exceeded`: the cap is used up. `warning`: it will be before the window ends; of one without an end, within thirty days.
 * `too_early`: too few days were seen to say.
 */
function stateOf(limit: CountedLimit, pace: Pace | null, reached: number | null, nowMs: number): LimitState {
  if (limit.used >= limit.cap) return "exceeded"
  if (pace === null) return "too_early"
  if (reached === null || (isEndless(limit) && reached - nowMs > ENDLESS_NEAR_MS)) return "ok"
  return "warning"
}

/** Whether the window is never over, as lifetimes and the last so many days are not. */
function isEndless({ window, span }: CountedLimit): boolean {
  return window === "rolling" || span.endsAtMs === null
}

function horizonOf(limit: CountedLimit, nowMs: number): number {
  const { counter, span } = limit
  if (!isEndless(limit) && span.endsAtMs !== null) return span.endsAtMs
  return windowAt("day", counter.timeZone, 1, nowMs + ENDLESS_MS).startsAtMs ?? nowMs
}

/** Days of a calendar take a while to find, and most limits end together. */
function rememberedStretches(nowMs: number): (timeZone: string, untilMs: number) => readonly StretchAhead[] {
  const known = new Map<string, readonly StretchAhead[]>()
  return (timeZone, untilMs) => {
    const name = `${timeZone} ${untilMs}`
    const stretches = known.get(name) ?? stretchesAhead(timeZone, nowMs, untilMs)
    known.set(name, stretches)
    return stretches
  }
}
