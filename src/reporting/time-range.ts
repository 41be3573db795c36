/**
 * Which stretch of time a question is about: a named range or two ends, in a zone; and the stretch before it that it is
 * compared with. The rollup knows quarters of an hour, so ranges are widened to whole ones; every zone's offset since
 * 2020, the first year that the ledger holds, is a multiple of one, so that days are exact.
 */
import { Temporal } from "temporal-polyfill"
import { type Refused, refused } from "./refused.ts"

export const RANGES = [
  "today",
  "yesterday",
  "7d",
  "28d",
  "30d",
  "90d",
  "this_week",
  "last_week",
  "this_month",
  "last_month",
  "this_quarter",
  "last_quarter",
  "all",
] as const
export type RangeName = (typeof RANGES)[number]

/** `none`, the stretch before it in the calendar's own steps, or the same weekdays some whole weeks earlier. */
export const COMPARISONS = ["none", "previous", "weeks"] as const
export type Comparison = (typeof COMPARISONS)[number]

/** `[fromMs, toMs)` in epoch milliseconds, both on a quarter of an hour. */
export type TimeRange = { readonly kind: "range"; readonly fromMs: number; readonly toMs: number }

export type RangeQuestion = {
  readonly range?: RangeName | undefined
  /** A date or an instant. */
  readonly from?: string | undefined
  /** A date, which is meant as a whole, or an instant, which is not part of it. */
  readonly until?: string | undefined
}

const QUARTER_MS = 15 * 60_000
const FIRST_YEAR_MS = Date.UTC(2020, 0, 1)
const LAST_YEAR_MS = Date.UTC(2101, 0, 1)
const DATE = /^\d{4}-\d{2}-\d{2}$/
export const RANGE_DEFAULT: RangeName = "30d"

/** The instant itself or the quarter of an hour before it. */
export function quarterBefore(ms: number): number {
  return Math.floor(ms / QUARTER_MS) * QUARTER_MS
}

/** The instant itself or the quarter of an hour after it. */
export function quarterAfter(ms: number): number {
  return Math.ceil(ms / QUARTER_MS) * QUARTER_MS
}

/**
 * The range that is meant, seen from `nowMs`. A running day, week, month or quarter ends with the present quarter of an
 * hour; `all` begins with `firstMs`, the first bucket that there is.
 */
export function resolveRange(
  question: RangeQuestion,
  timeZone: string,
  nowMs: number,
  firstMs: number | null,
): TimeRange | Refused {
  const range = exactRange(question, timeZone, nowMs, firstMs)
  return range.kind === "refused" ? range : widened(range.fromMs, range.toMs)
}

/** The same for single records: to the millisecond, and up to now. */
export function exactRange(
  question: RangeQuestion,
  timeZone: string,
  nowMs: number,
  firstMs: number | null,
): TimeRange | Refused {
  const { range, from, until } = question
  // What arrives within the running millisecond belongs to the answer.
  const endMs = nowMs + 1
  if (from === undefined && until === undefined) return named(range ?? RANGE_DEFAULT, timeZone, nowMs, endMs, firstMs)
  if (range !== undefined) return refused("range", "give either `range` or `from` and `until`, not both")
  const toMs = until === undefined ? endMs : momentOf(until, timeZone, 1)
  const fromMs = from === undefined ? daysBefore(toMs, 30, timeZone) : momentOf(from, timeZone, 0)
  if (fromMs >= toMs) return refused("from", "`from` must be before `until`")
  if (toMs <= FIRST_YEAR_MS || fromMs >= LAST_YEAR_MS)
    return refused("from", "usage is kept for the years 2020 to 2100")
  return { kind: "range", fromMs: Math.max(fromMs, FIRST_YEAR_MS), toMs: Math.min(toMs, LAST_YEAR_MS) }
}

/** The range to compare with; null where nothing is compared. `all` has nothing before it. */
export function comparedRange(
  comparison: Comparison,
  { range, from: fromText, until }: RangeQuestion,
  { fromMs, toMs }: TimeRange,
  timeZone: string,
): TimeRange | null {
  const name = fromText === undefined && until === undefined ? (range ?? RANGE_DEFAULT) : undefined
  if (comparison === "none" || name === "all") return null
  const from = zoned(fromMs, timeZone)
  const to = zoned(toMs, timeZone)
  if (comparison === "weeks") {
    const days = from.until(to, { largestUnit: "days", smallestUnit: "days", roundingMode: "ceil" }).days
    const back = { weeks: Math.max(1, Math.ceil(days / 7)) }
    return widened(from.subtract(back).epochMilliseconds, to.subtract(back).epochMilliseconds)
  }
  const step = stepOf(name)
  if (step === null) return widened(from.subtract(from.until(to, { largestUnit: "days" })).epochMilliseconds, fromMs)
  const start = from.subtract(step)
  if (to.equals(from.add(step))) return widened(start.epochMilliseconds, fromMs)
  // A running month is compared up to the same day and hour, but never beyond the earlier month's end.
  const ended = start.add(from.until(to, { largestUnit: "days" })).epochMilliseconds
  return widened(start.epochMilliseconds, Math.min(ended, fromMs))
}

/** What a named range steps by; null for two ends, which are preceded by as much time. */
function stepOf(name: RangeName | undefined): Temporal.DurationLike | null {
  switch (name) {
    case "today":
    case "yesterday":
      return { days: 1 }
    case "7d":
    case "28d":
    case "30d":
    case "90d":
      return { days: Number.parseInt(name, 10) }
    case "this_week":
    case "last_week":
      return { weeks: 1 }
    case "this_month":
    case "last_month":
      return { months: 1 }
    case "this_quarter":
    case "last_quarter":
      return { months: 3 }
    default:
      return null
  }
}

function named(
  name: RangeName,
  timeZone: string,
  nowMs: number,
  endMs: number,
  firstMs: number | null,
): TimeRange | Refused {
  const today = zoned(nowMs, timeZone).toPlainDate()
  const month = today.with({ day: 1 })
  const week = today.subtract({ days: today.dayOfWeek - 1 })
  const quarter = month.subtract({ months: (today.month - 1) % 3 })
  const days = (from: Temporal.PlainDate, to?: Temporal.PlainDate): TimeRange => {
    const toMs = to === undefined ? endMs : startOf(to, timeZone)
    return { kind: "range", fromMs: startOf(from, timeZone), toMs }
  }
  switch (name) {
    case "today":
      return days(today)
    case "yesterday":
      return days(today.subtract({ days: 1 }), today)
    case "7d":
    case "28d":
    case "30d":
    case "90d":
      return days(today.subtract({ days: Number.parseInt(name, 10) - 1 }))
    case "this_week":
      return days(week)
    case "last_week":
      return days(week.subtract({ weeks: 1 }), week)
    case "this_month":
      return days(month)
    case "last_month":
      return days(month.subtract({ months: 1 }), month)
    case "this_quarter":
      return days(quarter)
    case "last_quarter":
      return days(quarter.subtract({ months: 3 }), quarter)
    case "all":
      return firstMs === null ? days(today) : { kind: "range", fromMs: Math.min(firstMs, nowMs), toMs: endMs }
  }
}

/** A date's first moment, `days` later; an instant as it is. The text has been checked. */
function momentOf(text: string, timeZone: string, days: number): number {
  if (DATE.test(text)) return startOf(Temporal.PlainDate.from(text).add({ days }), timeZone)
  return Temporal.Instant.from(text).epochMilliseconds
}

function daysBefore(ms: number, days: number, timeZone: string): number {
  return zoned(ms, timeZone).subtract({ days }).epochMilliseconds
}

function widened(fromMs: number, toMs: number): TimeRange {
  return { kind: "range", fromMs: quarterBefore(fromMs), toMs: quarterAfter(toMs) }
}

function startOf(date: Temporal.PlainDate, timeZone: string): number {
  return date.toZonedDateTime(timeZone).epochMilliseconds
}

function zoned(ms: number, timeZone: string): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO(timeZone)
}
