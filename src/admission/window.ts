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

/** Zones kept per kind of window; there are about 600 names, of which an installation uses a handful. */
const CACHED_ZONES_MAX = 512

/**
 * The window that `atMs` falls in. Ids: a day is `2026-11-23`; a month is `2026-11`; a month with another anchor day is
 * the month in which it begins and the anchor, `2026-02@31`, which no day and no other anchor can spell, though all of
 * 28-31 begin on the same day of that February. `rate`, `lifetime` and `now` never end.
 *
 * A day that has begun does not end twice: where clocks are set back across midnight (St John's did so at 00:01), the
 * repeated hour belongs to the new day. Throws RangeError for a zone that is not in the IANA list.
 */
export function windowAt(window: LimitWindow, timeZone: string, anchorDay: number, atMs: number): WindowSpan {
  switch (window) {
    case "minute":
      return RATE
    case "lifetime":
      return LIFETIME
    case "none":
      return NOW
    case "day":
      return dayAt(timeZone, atMs)
    case "month":
      return monthAt(timeZone, anchorDay, atMs)
  }
}

/** A `windowAt` that remembers the last window of each zone and anchor: reading a zone's clock takes microseconds. */
export function cachedWindowAt(): WindowAt {
  // Index 0 holds the days, 1 to 31 the months with that anchor day.
  const lastSpans = Array.from({ length: 32 }, () => new Map<string, WindowSpan>())
  return (window, timeZone, anchorDay, atMs) => {
    const byZone = window === "day" ? lastSpans[0] : window === "month" ? lastSpans[anchorDay] : undefined
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

function monthAt(timeZone: string, anchorDay: number, atMs: number): WindowSpan {
  let month = localDate(timeZone, atMs).toPlainYearMonth().subtract({ months: 1 })
  let startsAtMs = anchorMs(month, anchorDay, timeZone)
  for (;;) {
    const next = month.add({ months: 1 })
    const endsAtMs = anchorMs(next, anchorDay, timeZone)
    if (atMs < endsAtMs) {
      const id = anchorDay === 1 ? month.toString() : `${month.toString()}@${anchorDay}`
      return { id, startsAtMs, endsAtMs }
    }
    month = next
    startsAtMs = endsAtMs
  }
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
