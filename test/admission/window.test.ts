import fc from "fast-check"
import { Temporal } from "temporal-polyfill"
import { describe, expect, it } from "vitest"
import {
  cachedWindowAt,
  earlierWindows,
  lastReadMs,
  spanOf,
  type WindowSpan,
  windowAt,
  windowMsMax,
} from "../../src/admission/window.ts"
import { anchorDayMax, LIMIT_WINDOWS, type LimitWindow } from "../../src/identity/limit.ts"

const HOUR_MS = 3_600_000
/** Zones with half-hour changes, midnight changes, skipped days, far offsets; and the dull ones. */
const ZONES = [
  "UTC",
  "Europe/Berlin",
  "America/New_York",
  "America/Sao_Paulo",
  "America/Havana",
  "America/Asuncion",
  "America/Santiago",
  "America/Nuuk",
  "Asia/Beirut",
  "Asia/Kathmandu",
  "Asia/Tehran",
  "Africa/Cairo",
  "Africa/Casablanca",
  "Atlantic/Azores",
  "Australia/Lord_Howe",
  "Pacific/Apia",
  "Pacific/Chatham",
  "Pacific/Kiritimati",
]

type LocalDate = { year: number; month: number; day: number }

const formats = new Map<string, Intl.DateTimeFormat>()

/** The oracle: what the platform's calendar says, by another way than the code under test. */
function localDateAt(timeZone: string, atMs: number): LocalDate {
  let format = formats.get(timeZone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-US", { timeZone, year: "numeric", month: "numeric", day: "numeric" })
    formats.set(timeZone, format)
  }
  const part = (type: string, parts: Intl.DateTimeFormatPart[]) => Number(parts.find((p) => p.type === type)?.value)
  const parts = format.formatToParts(atMs)
  return { year: part("year", parts), month: part("month", parts), day: part("day", parts) }
}

const twoDigits = (value: number) => String(value).padStart(2, "0")
const dayIdOf = ({ year, month, day }: LocalDate) => `${year}-${twoDigits(month)}-${twoDigits(day)}`

function monthIdOf({ year, month, day }: LocalDate, anchorDay: number): string {
  const length = new Date(Date.UTC(year, month, 0)).getUTCDate()
  const begun =
    day >= Math.min(anchorDay, length)
      ? { year, month }
      : { year: year - Number(month === 1), month: month === 1 ? 12 : month - 1 }
  const id = `${begun.year}-${twoDigits(begun.month)}`
  return anchorDay === 1 ? id : `${id}@${anchorDay}`
}

/** Which week holds the date, where weeks begin on a weekday: the ISO week of the day on which it begins. */
function weekIdOf(date: LocalDate, anchorDay: number): string {
  const day = Temporal.PlainDate.from(date)
  const first = day.subtract({ days: (day.dayOfWeek - anchorDay + 7) % 7 })
  const id = `${first.yearOfWeek}-W${twoDigits(first.weekOfYear ?? 0)}`
  return anchorDay === 1 ? id : `${id}@${anchorDay}`
}

/** Which quarter or year holds the date, from the month in which a window anchored like it would begin. */
function monthsIdOf(date: LocalDate, anchorDay: number, window: "quarter" | "year"): string {
  const [begun = ""] = monthIdOf(date, anchorDay).split("@")
  const year = begun.slice(0, 4)
  const id = window === "year" ? year : `${year}-Q${Math.ceil(Number(begun.slice(5)) / 3)}`
  return anchorDay === 1 ? id : `${id}@${anchorDay}`
}

function ends(span: WindowSpan): [startsAtMs: number, endsAtMs: number] {
  if (span.startsAtMs === null || span.endsAtMs === null) throw new Error(`window ${span.id} has no ends`)
  return [span.startsAtMs, span.endsAtMs]
}

const zone = fc.constantFrom(...ZONES)
/** A third of the moments lie within hours of the turn of a month, where windows meet. */
const moment = fc.oneof(
  fc.integer({ min: Date.UTC(2008, 0, 1), max: Date.UTC(2040, 0, 1) }),
  fc
    .tuple(fc.integer({ min: 0, max: 32 * 12 }), fc.integer({ min: -30 * HOUR_MS, max: 30 * HOUR_MS }))
    .map(([month, off]) => Date.UTC(2008, month, 1) + off),
)
const anchor = fc.oneof(fc.constantFrom(1, 28, 29, 30, 31), fc.integer({ min: 1, max: 31 }))

function checkAgainstOracle(span: WindowSpan, atMs: number, share: number, idOf: (atMs: number) => string): void {
  const [startsAtMs, endsAtMs] = ends(span)
  expect(startsAtMs).toBeLessThanOrEqual(atMs)
  expect(endsAtMs).toBeGreaterThan(atMs)
  const inside = startsAtMs + Math.floor(share * (endsAtMs - startsAtMs))
  const ids = [startsAtMs, atMs, inside, endsAtMs - 1].map(idOf)
  expect(ids).toEqual([span.id, span.id, span.id, span.id])
  expect(idOf(startsAtMs - 1)).not.toBe(span.id)
  expect(idOf(endsAtMs)).not.toBe(span.id)
}

const calendarWindow = fc.constantFrom<LimitWindow>("day", "week", "month", "quarter", "year")

/** An anchor that the window may have. */
function anchorFor(window: LimitWindow, day: number): number {
  return window === "rolling" ? Math.max(2, day) : window === "day" ? 1 : ((day - 1) % (anchorDayMax(window) || 31)) + 1
}

const share = fc.double({ min: 0, max: 0.999, noNaN: true })

describe("a window", () => {
  it("of a day holds exactly the moments that the zone's calendar gives that date", () => {
    fc.assert(
      fc.property(zone, moment, share, (timeZone, atMs, part) => {
        const span = windowAt("day", timeZone, 1, atMs)
        checkAgainstOracle(span, atMs, part, (at) => dayIdOf(localDateAt(timeZone, at)))
      }),
      { numRuns: 1_500 },
    )
  })

  it("of a month holds exactly the moments from one anchor day to the next, clamped in short months", () => {
    fc.assert(
      fc.property(zone, moment, anchor, share, (timeZone, atMs, anchorDay, part) => {
        const span = windowAt("month", timeZone, anchorDay, atMs)
        checkAgainstOracle(span, atMs, part, (at) => monthIdOf(localDateAt(timeZone, at), anchorDay))
      }),
      { numRuns: 1_500 },
    )
  })

  it("of a week holds exactly the moments from one such weekday to the next, named by the ISO week it begins in", () => {
    const weekday = fc.integer({ min: 1, max: 7 })
    fc.assert(
      fc.property(zone, moment, weekday, share, (timeZone, atMs, anchorDay, part) => {
        const span = windowAt("week", timeZone, anchorDay, atMs)
        checkAgainstOracle(span, atMs, part, (at) => weekIdOf(localDateAt(timeZone, at), anchorDay))
      }),
      { numRuns: 1_000 },
    )
  })

  it("of a quarter or a year begins on the anchor day of its first month, clamped", () => {
    const kind = fc.constantFrom("quarter" as const, "year" as const)
    fc.assert(
      fc.property(zone, kind, moment, anchor, share, (timeZone, window, atMs, anchorDay, part) => {
        const span = windowAt(window, timeZone, anchorDay, atMs)
        checkAgainstOracle(span, atMs, part, (at) => monthsIdOf(localDateAt(timeZone, at), anchorDay, window))
      }),
      { numRuns: 1_000 },
    )
  })

  it("is never longer than what a store assumes that knows only its name", () => {
    fc.assert(
      fc.property(zone, calendarWindow, anchor, moment, (timeZone, window, day, atMs) => {
        const { id, startsAtMs, endsAtMs } = windowAt(window, timeZone, anchorFor(window, day), atMs)
        expect((endsAtMs ?? 0) - (startsAtMs ?? 0)).toBeLessThan(windowMsMax(id) ?? 0)
      }),
      { numRuns: 500 },
    )
    expect(windowMsMax("lifetime")).toBeNull()
  })

  it("begins where the one before ends: windows tile time, in every zone the platform knows", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Intl.supportedValuesOf("timeZone")),
        calendarWindow,
        moment,
        anchor,
        (timeZone, window, atMs, day) => {
          const anchorDay = anchorFor(window, day)
          const span = windowAt(window, timeZone, anchorDay, atMs)
          const [startsAtMs, endsAtMs] = ends(span)
          expect(windowAt(window, timeZone, anchorDay, startsAtMs)).toEqual(span)
          expect(windowAt(window, timeZone, anchorDay, endsAtMs - 1)).toEqual(span)
          const next = windowAt(window, timeZone, anchorDay, endsAtMs)
          expect(next.startsAtMs).toBe(endsAtMs)
          expect(next.id > span.id).toBe(true)
        },
      ),
      { numRuns: 1_000 },
    )
  })
})

describe("the window of an id", () => {
  it("is the one that has it, in every zone the platform knows", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Intl.supportedValuesOf("timeZone")),
        fc.constantFrom(...LIMIT_WINDOWS),
        anchor,
        moment,
        (timeZone, window, day, atMs) => {
          const anchorDay = anchorFor(window, day)
          const span = windowAt(window, timeZone, anchorDay, atMs)
          expect(spanOf(window, timeZone, anchorDay, span.id)).toEqual(span)
        },
      ),
      { numRuns: 1_000 },
    )
  })

  it("is none where a limit that is counted so has no such id", () => {
    for (const [window, anchorDay, id] of [
      ["day", 1, "2026-11"],
      ["week", 3, "2026-W48"],
      ["week", 1, "2026-W54"],
      ["month", 1, "2026-11@15"],
      ["month", 1, "rate"],
      ["quarter", 1, "2026-11"],
      ["year", 1, "2026-Q4"],
      ["rolling", 7, "2026-11-24~8"],
      ["lifetime", 1, "2026"],
    ] as const) {
      expect([id, spanOf(window, "UTC", anchorDay, id)]).toEqual([id, null])
    }
    // Samoa's skipped day.
    expect(spanOf("day", "Pacific/Apia", 1, "2011-12-30")).toBeNull()
  })
})

describe("a rolling window", () => {
  const days = fc.integer({ min: 2, max: 31 })

  it("is today and the dates before it, by the zone's calendar, each a counter of its own", () => {
    fc.assert(
      fc.property(zone, moment, days, share, (timeZone, atMs, count, part) => {
        const span = windowAt("rolling", timeZone, count, atMs)
        const today = windowAt("day", timeZone, 1, atMs)
        expect(span).toEqual({ ...today, id: `${today.id}~${count}` })
        checkAgainstOracle(span, atMs, part, (at) => `${dayIdOf(localDateAt(timeZone, at))}~${count}`)
        const dates = Array.from({ length: count - 1 }, (_, index) => {
          return `${Temporal.PlainDate.from(today.id).subtract({ days: index + 1 })}~${count}`
        })
        expect(earlierWindows(span.id)).toEqual(dates)
      }),
      { numRuns: 500 },
    )
  })

  it("reads a day's counter until the last window that holds it has ended, and stores keep it as long", () => {
    fc.assert(
      fc.property(zone, moment, days, (timeZone, atMs, count) => {
        const first = windowAt("rolling", timeZone, count, atMs)
        let last = first
        for (let next = first; ; last = next) {
          next = windowAt("rolling", timeZone, count, last.endsAtMs ?? 0)
          if (!earlierWindows(next.id).includes(first.id)) break
        }
        // Two days are what every counter is kept beyond this, and more than clocks are ever set by.
        expect((last.endsAtMs ?? 0) - (lastReadMs(first.id, first.endsAtMs) ?? 0)).toBeLessThan(48 * HOUR_MS)
        expect((last.endsAtMs ?? 0) - (first.startsAtMs ?? 0)).toBeLessThan((windowMsMax(first.id) ?? 0) + 48 * HOUR_MS)
      }),
      { numRuns: 200 },
    )
  })

  it("alone has earlier windows", () => {
    for (const id of ["2026-11-23", "2026-W48@3", "2026-11@15", "2026", "lifetime", "rate", "now"]) {
      expect([id, earlierWindows(id), lastReadMs(id, 5)]).toEqual([id, [], 5])
    }
  })
})

describe("where clocks do odd things", () => {
  const span = (timeZone: string, atIso: string) => {
    const window = windowAt("day", timeZone, 1, Date.parse(atIso))
    const [startsAtMs, endsAtMs] = ends(window)
    return { id: window.id, starts: new Date(startsAtMs).toISOString(), hours: (endsAtMs - startsAtMs) / HOUR_MS }
  }

  it("Samoa has no 30 December 2011: the 31st follows the 29th", () => {
    expect(span("Pacific/Apia", "2011-12-30T09:59:59.999Z")).toEqual({
      id: "2011-12-29",
      starts: "2011-12-29T10:00:00.000Z",
      hours: 24,
    })
    expect(span("Pacific/Apia", "2011-12-30T10:00:00Z").id).toBe("2011-12-31")
  })

  it("a month anchored on a day that does not exist begins with the next that does", () => {
    const month = windowAt("month", "Pacific/Apia", 30, Date.parse("2011-12-30T10:00:00Z"))
    expect(month).toMatchObject({ id: "2011-12@30", startsAtMs: Date.parse("2011-12-30T10:00:00Z") })
  })

  it("a week that would begin on the skipped day begins with the next", () => {
    const week = windowAt("week", "Pacific/Apia", 5, Date.parse("2011-12-30T10:00:00Z"))
    expect(week).toMatchObject({ id: "2011-W52@5", startsAtMs: Date.parse("2011-12-30T10:00:00Z") })
  })

  it("São Paulo's day without midnight begins at one o'clock", () => {
    expect(span("America/Sao_Paulo", "2018-11-04T12:00:00Z")).toEqual({
      id: "2018-11-04",
      starts: "2018-11-04T03:00:00.000Z",
      hours: 23,
    })
  })

  it("Lord Howe moves by half an hour", () => {
    expect(span("Australia/Lord_Howe", "2026-10-04T00:00:00Z")).toMatchObject({ id: "2026-10-04", hours: 23.5 })
    expect(span("Australia/Lord_Howe", "2026-04-05T00:00:00Z")).toMatchObject({ id: "2026-04-05", hours: 24.5 })
  })

  it("St John's went back from 00:01 to 23:01: the day that had begun goes on", () => {
    const firstMinute = Date.parse("2010-11-07T02:30:30Z")
    expect(dayIdOf(localDateAt("America/St_Johns", firstMinute))).toBe("2010-11-07")
    const repeated = Date.parse("2010-11-07T02:45:00Z")
    expect(dayIdOf(localDateAt("America/St_Johns", repeated))).toBe("2010-11-06")
    for (const atMs of [firstMinute, repeated])
      expect(windowAt("day", "America/St_Johns", 1, atMs).id).toBe("2010-11-07")
  })
})

describe("ids", () => {
  it("of rates, lifetimes and calls in flight are fixed and never end", () => {
    const id = (window: "minute" | "lifetime" | "none") => windowAt(window, "UTC", 1, 0)
    expect(id("minute")).toEqual({ id: "rate", startsAtMs: null, endsAtMs: null })
    expect(id("lifetime")).toEqual({ id: "lifetime", startsAtMs: null, endsAtMs: null })
    expect(id("none")).toEqual({ id: "now", startsAtMs: null, endsAtMs: null })
  })

  it("of months differ by anchor, even where windows begin on the same day", () => {
    const at = Date.UTC(2027, 2, 1)
    const months = [1, 28, 31].map((anchorDay) => windowAt("month", "UTC", anchorDay, at))
    expect(months.map(({ id }) => id)).toEqual(["2027-03", "2027-02@28", "2027-02@31"])
    expect(months.map(({ startsAtMs }) => startsAtMs)).toEqual([at, Date.UTC(2027, 1, 28), Date.UTC(2027, 1, 28)])
  })

  it("of weeks, quarters and years name where they begin", () => {
    const at = Date.UTC(2027, 0, 1)
    const ids = (window: "week" | "quarter" | "year", ...anchors: number[]) =>
      anchors.map((anchorDay) => windowAt(window, "UTC", anchorDay, at).id)
    // The first of January 2027 is a Friday of the ISO year 2026.
    expect(ids("week", 1, 5, 6)).toEqual(["2026-W53", "2026-W53@5", "2026-W52@6"])
    expect(ids("quarter", 1, 2, 31)).toEqual(["2027-Q1", "2026-Q4@2", "2026-Q4@31"])
    expect(ids("year", 1, 2, 31)).toEqual(["2027", "2026@2", "2026@31"])
  })

  it("need a zone that exists", () => {
    expect(() => windowAt("day", "Mars/Olympus", 1, 0)).toThrow(RangeError)
  })
})

it("the cache answers as the calendar does, whatever it was asked before", () => {
  const windowOf = cachedWindowAt()
  fc.assert(
    fc.property(zone, fc.constantFrom(...LIMIT_WINDOWS), anchor, moment, (timeZone, window, day, atMs) => {
      const anchorDay = anchorFor(window, day)
      const span = windowOf(window, timeZone, anchorDay, atMs)
      expect(span).toEqual(windowAt(window, timeZone, anchorDay, atMs))
      const sooner = windowOf(window, timeZone, anchorDay, atMs - 40 * HOUR_MS)
      expect(sooner).toEqual(windowAt(window, timeZone, anchorDay, atMs - 40 * HOUR_MS))
    }),
    { numRuns: 500 },
  )
  const today = windowOf("day", "Europe/Berlin", 1, Date.UTC(2026, 10, 23))
  expect(windowOf("day", "Europe/Berlin", 1, Date.UTC(2026, 10, 23, 5))).toBe(today)
})
