/**
 * The days that a projection is made of and those that it is made for, in a zone: whole days that are over, the last two
 * weeks of them cut at the present time of day, and what is still to come. Days of 23 or 25 hours are days. Pure.
 */
import { Temporal } from "temporal-polyfill"
import { windowAt } from "../admission/window.ts"
import { DAYS_SEEN_MAX, type DayUse, RECENT_DAYS, type StretchAhead } from "./projection.ts"
import { quarterBefore } from "./time-range.ts"

type Day = {
  /** `2026-11-24`. */
  readonly id: string
  readonly weekday: number
  readonly fromMs: number
  readonly toMs: number
}

export type PastDays = {
  /** Whole days that are over, oldest first, up to the beginning of today. */
  readonly days: readonly Day[]
  readonly today: Day
  /**
   * Moments that cut the days for a series of sums: each day's first one, for the last days also the present time of day,
   * and the beginning of today.
   */
  readonly boundaries: readonly number[]
}

/** `count`: how many days at the most. */
export function pastDays(timeZone: string, nowMs: number, count: number = DAYS_SEEN_MAX): PastDays {
  const today = dayAt(timeZone, nowMs)
  const days: Day[] = []
  for (let toMs = today.fromMs; days.length < count; toMs = days[0]?.fromMs ?? toMs) {
    days.unshift(dayAt(timeZone, toMs - 1))
  }
  const time = zoned(timeZone, nowMs).toPlainTime()
  const cuts = days.slice(-RECENT_DAYS).map((day) => cutAt(timeZone, day, time))
  const boundaries = [
    ...days.slice(0, -RECENT_DAYS).map(({ fromMs }) => fromMs),
    ...days.slice(-RECENT_DAYS).flatMap(({ fromMs }, index) => [fromMs, cuts[index] ?? fromMs]),
    today.fromMs,
  ]
  return { days, today, boundaries }
}

/** What was used between two boundaries, and whether anything was called. */
export type UsedPart = { readonly amount: bigint; readonly isUsed: boolean }

/** The days since the first use, of the parts between the boundaries. */
export function daysSinceFirstUse({ days }: Pick<PastDays, "days">, parts: readonly UsedPart[]): DayUse[] {
  const uncut = Math.max(0, days.length - RECENT_DAYS)
  const all = days.map(({ weekday }, index) => {
    const first = index < uncut ? index : uncut + (index - uncut) * 2
    const [before, after] = [parts[first], index < uncut ? undefined : parts[first + 1]]
    return {
      weekday,
      amount: (before?.amount ?? 0n) + (after?.amount ?? 0n),
      later: index < uncut ? null : (after?.amount ?? 0n),
      isUsed: before?.isUsed === true || after?.isUsed === true,
    }
  })
  const from = all.findIndex(({ isUsed }) => isUsed)
  return from === -1 ? [] : all.slice(from).map(({ weekday, amount, later }) => ({ weekday, amount, later }))
}

/** The rest of today and the days until `untilMs`, the last one cut there. */
export function stretchesAhead(timeZone: string, nowMs: number, untilMs: number): StretchAhead[] {
  const stretches: StretchAhead[] = []
  for (let fromMs = nowMs; fromMs < untilMs; ) {
    const day = dayAt(timeZone, fromMs)
    const toMs = Math.min(day.toMs, untilMs)
    const share = (toMs - fromMs) / (day.toMs - day.fromMs)
    stretches.push({ weekday: day.weekday, fromMs, toMs, share, isToday: fromMs === nowMs && toMs === day.toMs })
    fromMs = toMs
  }
  return stretches
}

function dayAt(timeZone: string, atMs: number): Day {
  const { id, startsAtMs, endsAtMs } = windowAt("day", timeZone, 1, atMs)
  if (startsAtMs === null || endsAtMs === null) throw new Error("A day has no end.")
  return { id, weekday: Temporal.PlainDate.from(id).dayOfWeek, fromMs: startsAtMs, toMs: endsAtMs }
}

/** The same time on the wall of another day, on a quarter of an hour, as the rollup is; where clocks skip it, the next. */
function cutAt(timeZone: string, day: Day, time: Temporal.PlainTime): number {
  const date = zoned(timeZone, day.fromMs).toPlainDate()
  const atMs = quarterBefore(date.toZonedDateTime({ timeZone, plainTime: time }).epochMilliseconds)
  return Math.min(Math.max(atMs, day.fromMs), day.toMs)
}

function zoned(timeZone: string, atMs: number): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(Math.floor(atMs)).toZonedDateTimeISO(timeZone)
}
