/**
 * Which window a moment falls in, in the limit's own zone. A window's id is part of its counter's name, so nothing is
 * ever reset: a new window is a new counter. Windows tile time: they follow one another without gap or overlap, even
 * where clocks skip a midnight or a whole day.
 */
import { Temporal } from "temporal-polyfill"
import type { LimitWindow } from "../identity/limit.ts"

/** One window: `[startsAtMs, endsAtMs)` in epoch milliseconds; null where there is no such end. */
export type WindowSpan = {
  readonly id: string
  readonly startsAtMs: number | null
  readonly endsAtMs: number | null
}

export type WindowAt = (window: LimitWindow, timeZone: string, anchorDay: number, atMs: number) => WindowSpan

const RATE: WindowSpan = Object.freeze({ id: "rate", startsAtMs: null, endsAtMs: null })
const LIFETIME: WindowSpan = Object.freeze({ id: "lifetime", startsAtMs: null, endsAtMs: null })
const NOW: WindowSpan = Object.freeze({ id: "now", startsAtMs: null, endsAtMs: null })

const DAY_MS = 86_400_000

/** Zones kept per kind of window; there are about 600 names, of which an installation uses a handful. */
const CACHED_ZONES_MAX = 512

/**
 * The window that `atMs` falls in. Ids: a day is `2026-11-23`; a month is `2026-11`; a month with another anchor day is
 * the month in which it begins and the anchor, `2026-02@31`, which no day and no other anchor can spell, though all of
 * 28-31 begin on the same day of that February. A week is the ISO week in which it begins, `2026-W48`, a quarter
 * `2026-Q4`, a year `2026`, each with its anchor where that is not 1: a weekday (1 Monday to 7 Sunday) of weeks, a day of
 * its first month of quarters and years. What a rolling window counts today is `2026-11-23~7`, by its number of days; the
 * window is the sum of that and of `earlierWindows`. `rate`, `lifetime` and `now` never end.
 *
 * A day that has begun does not end twice: where clocks are set back across midnight (St John's did so at 00:01), the
 * repeated hour belongs to the new day. Throws RangeError for a zone that is not in the IANA list.
 */
export function windowAt(window: LimitWindow, timeZone: string, anchorDay: number, atMs: number): WindowSpan {
  switch (window) {
    case "second":
    case "minute":
    case "hour":
    case "per_day":
      return RATE
    case "lifetime":
      return LIFETIME
    case "none":
      return NOW
    case "day":
      return dayAt(timeZone, atMs)
    case "week":
      return weekAt(timeZone, anchorDay, atMs)
    case "rolling":
      return rollingAt(timeZone, anchorDay, atMs)
    case "month":
      return monthsAt(timeZone, anchorDay, atMs, MONTH)
    case "quarter":
      return monthsAt(timeZone, anchorDay, atMs, QUARTER)
    case "year":
      return monthsAt(timeZone, anchorDay, atMs, YEAR)
  }
}

/** A `windowAt` that remembers the last window of each zone and anchor: reading a zone's clock takes microseconds. */
export function cachedWindowAt(): WindowAt {
  // Of each kind of window, index n holds those with the anchor n.
  const lastSpans = () => Array.from({ length: 32 }, () => new Map<string, WindowSpan>())
  const byWindow: Partial<Record<LimitWindow, Map<string, WindowSpan>[]>> = {
    day: lastSpans(),
    week: lastSpans(),
    month: lastSpans(),
    quarter: lastSpans(),
    year: lastSpans(),
    rolling: lastSpans(),
  }
  return (window, timeZone, anchorDay, atMs) => {
    const byZone = byWindow[window]?.[anchorDay]
    if (byZone === undefined) return windowAt(window, timeZone, anchorDay, atMs)
    const last = byZone.get(timeZone)
    if (last !== undefined && atMs >= (last.startsAtMs ?? 0) && atMs < (last.endsAtMs ?? 0)) return last
    const span = windowAt(window, timeZone, anchorDay, atMs)
    if (byZone.size >= CACHED_ZONES_MAX) byZone.clear()
    byZone.set(timeZone, span)
    return span
  }
}

function dayAt(timeZone: string, atMs: number): WindowSpan {
  const date = localDate(timeZone, atMs)
  const next = date.add({ days: 1 })
  const nextStartsAtMs = startOfDayMs(next, timeZone)
  if (atMs < nextStartsAtMs) {
    return { id: date.toString(), startsAtMs: startOfDayMs(date, timeZone), endsAtMs: nextStartsAtMs }
  }
  const endsAtMs = startOfDayMs(next.add({ days: 1 }), timeZone)
  return { id: next.toString(), startsAtMs: nextStartsAtMs, endsAtMs }
}

/** Today's part of a rolling window. */
function rollingAt(timeZone: string, days: number, atMs: number): WindowSpan {
  const today = dayAt(timeZone, atMs)
  return { ...today, id: `${today.id}~${days}` }
}

/** Of a kind of window whose length is a number of months. */
type Months = { readonly count: number; readonly idOf: (first: Temporal.PlainYearMonth) => string }

const MONTH: Months = { count: 1, idOf: (first) => first.toString() }
const QUARTER: Months = { count: 3, idOf: ({ year, month }) => `${fourDigits(year)}-Q${(month + 2) / 3}` }
const YEAR: Months = { count: 12, idOf: ({ year }) => fourDigits(year) }

function monthsAt(timeZone: string, anchorDay: number, atMs: number, { count, idOf }: Months): WindowSpan {
  const thisMonth = localDate(timeZone, atMs).toPlainYearMonth()
  const months = (thisMonth.month - 1) % count
  let first = thisMonth.subtract({ months: months + count })
  let startsAtMs = anchorMs(first, anchorDay, timeZone)
  for (;;) {
    const next = first.add({ months: count })
    const endsAtMs = anchorMs(next, anchorDay, timeZone)
    if (atMs < endsAtMs) return { id: anchored(idOf(first), anchorDay), startsAtMs, endsAtMs }
    first = next
    startsAtMs = endsAtMs
  }
}

/** Weeks begin on the weekday `anchorDay`, 1 Monday to 7 Sunday; where that day is skipped, with the next there is. */
function weekAt(timeZone: string, anchorDay: number, atMs: number): WindowSpan {
  const today = localDate(timeZone, atMs)
  let first = today.subtract({ days: ((today.dayOfWeek - anchorDay + 7) % 7) + 7 })
  let startsAtMs = startOfDayMs(first, timeZone)
  for (;;) {
    const next = first.add({ days: 7 })
    const endsAtMs = startOfDayMs(next, timeZone)
    if (atMs < endsAtMs) {
      const week = String(first.weekOfYear).padStart(2, "0")
      return { id: anchored(`${fourDigits(first.yearOfWeek ?? first.year)}-W${week}`, anchorDay), startsAtMs, endsAtMs }
    }
    first = next
    startsAtMs = endsAtMs
  }
}

function anchored(id: string, anchorDay: number): string {
  return anchorDay === 1 ? id : `${id}@${anchorDay}`
}

function fourDigits(year: number): string {
  return String(year).padStart(4, "0")
}

/**
 * The window with this id, of a limit that is counted so; `spanOf(windowAt(at).id)` is `windowAt(at)`. Null where no such
 * window has such an id. Throws RangeError for a zone that is not in the IANA list.
 */
export function spanOf(window: LimitWindow, timeZone: string, anchorDay: number, id: string): WindowSpan | null {
  const first = firstDateOf(window, anchorDay, id)
  const span = windowAt(window, timeZone, anchorDay, first === null ? 0 : startOfDayMs(first, timeZone))
  return span.id === id ? span : null
}

/** The date on which the window begins, where none is skipped; null where its id says none. Nonsense becomes another date. */
function firstDateOf(window: LimitWindow, anchorDay: number, id: string): Temporal.PlainDate | null {
  const parts = /^(\d{4})(?:-Q(\d)|-W(\d\d)|-(\d\d)(?:-(\d\d))?)?/.exec(id)
  if (parts === null) return null
  const [year = 0, quarter = 0, week = 0, month = 0, day = 0] = parts.slice(1).map((part) => Number(part ?? 0))
  const dateOf = (inYear: number, date: number) =>
    Temporal.PlainDate.from({ year, month: Math.max(1, inYear), day: Math.max(1, date) })
  if (window === "day" || window === "rolling") return dateOf(month, day)
  if (window === "week") {
    const inFirstWeek = dateOf(1, 4)
    return inFirstWeek.add({ days: (week - 1) * 7 + anchorDay - inFirstWeek.dayOfWeek })
  }
  return dateOf(quarter === 0 ? month : quarter * 3 - 2, anchorDay)
}

/**
 * How long a window with this id may last at the most, in milliseconds, for stores that learn of it from the ledger and
 * know no more than its name: longer than the longest of its kind. Null where it does not end.
 */
export function windowMsMax(id: string): number | null {
  if (id === LIFETIME.id) return null
  if (/^\d{4}(@|$)/.test(id)) return 367 * DAY_MS
  return (/^\d{4}-Q/.test(id) ? 93 : 32) * DAY_MS
}

/** The other counters that a rolling window is the sum of, yesterday's first; none for every other window. */
export function earlierWindows(id: string): readonly string[] {
  const tilde = id.indexOf("~")
  if (tilde === -1) return []
  const todayMs = Date.parse(id.slice(0, tilde))
  const days = id.slice(tilde + 1)
  return Array.from({ length: Number(days) - 1 }, (_, index) => {
    const day = new Date(todayMs - (index + 1) * DAY_MS)
    return `${day.toISOString().slice(0, 10)}~${days}`
  })
}

/** When a counter that is charged now is read for the last time: the end of its window, or later where others add it. */
export function lastReadMs(window: string, endsAtMs: number | null): number | null {
  return endsAtMs === null ? null : endsAtMs + earlierWindows(window).length * DAY_MS
}

/** When the window that begins in this month begins. Temporal takes an anchor beyond the month's end as its last day. */
function anchorMs(month: Temporal.PlainYearMonth, anchorDay: number, timeZone: string): number {
  return startOfDayMs(month.toPlainDate({ day: anchorDay }), timeZone)
}

function localDate(timeZone: string, atMs: number): Temporal.PlainDate {
  return Temporal.Instant.fromEpochMilliseconds(Math.floor(atMs)).toZonedDateTimeISO(timeZone).toPlainDate()
}

/** The first moment of a date; where its midnight or the whole date is skipped, the first moment after the skip. */
function startOfDayMs(date: Temporal.PlainDate, timeZone: string): number {
  return date.toZonedDateTime(timeZone).epochMilliseconds
}
