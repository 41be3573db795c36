/** Where usage is going: what projections promise whatever was used, in every zone, and how often their interval holds. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { windowAt } from "../../src/admission/window.ts"
import {
  DAYS_SEEN_MAX,
  type DayUse,
  dailyAverage,
  type Pace,
  paceOf,
  projectionOf,
  reachedAtMs,
  type StretchAhead,
} from "../../src/reporting/projection.ts"
import { daysSinceFirstUse, pastDays, stretchesAhead } from "../../src/reporting/projection-days.ts"
import { randomFrom } from "./usage-database.ts"

const DAY_MS = 24 * 3_600_000
const MONDAY_MS = Date.UTC(2026, 10, 23)

/** Whole days up to a Monday at noon, half of each used in the afternoon unless told. */
function days(amounts: readonly bigint[], laterPercent = 50n): DayUse[] {
  return amounts.map((amount, index) => ({
    weekday: ((7 - ((amounts.length - index) % 7)) % 7) + 1,
    amount,
    later: (amount * laterPercent) / 100n,
  }))
}

function paced(seen: readonly DayUse[]): Pace {
  const pace = paceOf(seen)
  if (pace === null) throw new Error("too early")
  return pace
}

const NOON_MS = MONDAY_MS + DAY_MS / 2
/** The rest of a Monday from noon on, and so many days. */
const ahead = (count: number) => stretchesAhead("UTC", NOON_MS, MONDAY_MS + (count + 1) * DAY_MS)

const amounts = fc.array(fc.bigInt({ min: 0n, max: 10n ** 15n }), { minLength: 3, maxLength: 80 })
const zones = fc.constantFrom(
  ...["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"],
  ...["Pacific/Apia", "Asia/Kolkata", "America/Santiago", "Pacific/Chatham"],
)
const moments = fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2028, 0, 1) })

describe("whatever was used", () => {
  test("a projection is never below what is spent, and stands within its interval", () => {
    fc.assert(
      fc.property(amounts, fc.bigInt({ min: 0n, max: 10n ** 15n }), fc.nat(40), (used, spent, count) => {
        const { projected, low, high } = projectionOf(paced(days(used)), spent, ahead(count))
        expect(spent <= low && low <= projected && projected <= high).toBe(true)
      }),
    )
  })

  test("so many times the usage is so many times the projection, its interval and its daily average", () => {
    fc.assert(
      fc.property(amounts, fc.bigInt({ min: 2n, max: 1_000n }), (used, times) => {
        const one = paced(days(used.map((amount) => amount * 100n)))
        const more = paced(days(used.map((amount) => amount * 100n * times)))
        const pairs = [
          ...(["projected", "low", "high"] as const).map(
            (name) => [projectionOf(one, 0n, ahead(9))[name], projectionOf(more, 0n, ahead(9))[name]] as const,
          ),
          [dailyAverage(one), dailyAverage(more)] as const,
        ]
        for (const [small, large] of pairs) {
          // Either is rounded to whole units.
          const difference = large - small * times
          expect(difference <= times && -difference <= times).toBe(true)
        }
      }),
    )
  })

  test("what is spent already is added and nothing more", () => {
    fc.assert(
      fc.property(amounts, fc.bigInt({ min: 0n, max: 10n ** 15n }), (used, spent) => {
        const pace = paced(days(used))
        const [none, some] = [projectionOf(pace, 0n, ahead(5)), projectionOf(pace, spent, ahead(5))]
        expect(some).toEqual({ projected: none.projected + spent, low: none.low + spent, high: none.high + spent })
      }),
    )
  })

  test("at the end of the period nothing is added, and the interval is closed", () => {
    fc.assert(
      fc.property(amounts, (used) => {
        expect(projectionOf(paced(days(used)), 7n, [])).toEqual({ projected: 7n, low: 7n, high: 7n })
      }),
    )
  })
})

test("fewer than three whole days say nothing; nothing used says that nothing will be", () => {
  expect(paceOf([])).toBeNull()
  expect(paceOf(days([5n, 5n]))).toBeNull()
  const three = paced(days([0n, 0n, 0n]))
  expect(three.daysSeen).toBe(3)
  expect(projectionOf(three, 3n, ahead(30))).toEqual({ projected: 3n, low: 3n, high: 3n })
  expect(reachedAtMs(three, 3n, 4n, ahead(30))).toBeNull()
  expect(paced(days(Array(80).fill(1n))).daysSeen).toBe(DAYS_SEEN_MAX)
})

test("equal days go on exactly, whatever the time of day", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 3, max: 60 }),
      fc.bigInt({ min: 1n, max: 10n ** 12n }),
      fc.bigInt({ min: 0n, max: 100n }),
      fc.nat(30),
      (count, hundredth, laterPercent, more) => {
        const pace = paced(days(Array(count).fill(hundredth * 100n), laterPercent))
        const expected = hundredth * laterPercent + hundredth * 100n * BigInt(more)
        expect(projectionOf(pace, 0n, ahead(more))).toEqual({ projected: expected, low: expected, high: expected })
        expect(dailyAverage(pace)).toBe(hundredth * 100n)
      },
    ),
  )
})

test("a week's pattern is recovered from two weeks on: each weekday goes on as it was", () => {
  fc.assert(
    fc.property(
      fc.array(fc.bigInt({ min: 0n, max: 10n ** 9n }), { minLength: 7, maxLength: 7 }),
      fc.integer({ min: 2, max: 8 }),
      fc.nat(30),
      (pattern, weeks, more) => {
        fc.pre(pattern.some((amount) => amount > 0n))
        const pace = paced(days(Array(weeks).fill(pattern).flat(), 0n))
        const expected = Array.from({ length: more }, (_, index) => pattern[(index + 1) % 7] ?? 0n)
        const sum = expected.reduce((all, amount) => all + amount, 0n)
        expect(projectionOf(pace, 0n, ahead(more))).toEqual({ projected: sum, low: sum, high: sum })
      },
    ),
  )
})

test("after one week working days and weekends are told apart", () => {
  const pace = paced(days([100n, 100n, 100n, 100n, 100n, 10n, 10n], 0n))
  // From Tuesday to Sunday.
  expect(projectionOf(pace, 0n, ahead(6)).projected).toBe(420n)
})

describe("what is not usual", () => {
  const calm = Array<bigint>(56).fill(1_000n)

  test("one runaway day, however large, moves nothing but the interval", () => {
    for (const at of [0, 20, 41, 42, 55]) {
      const pace = paced(days(calm.with(at, 1_000_000n)))
      expect(projectionOf(pace, 0n, ahead(10)).projected).toBe(10_500n)
    }
    expect(projectionOf(paced(days(calm.with(55, 1_000_000n))), 0n, ahead(10)).high).toBeGreaterThan(20_000n)
  })

  test("a new level is followed after two weeks, and what has stopped is not projected", () => {
    const doubled = paced(days([...calm.slice(14), ...Array<bigint>(14).fill(2_000n)]))
    expect(projectionOf(doubled, 0n, ahead(10)).projected).toBe(21_000n)
    const stopped = paced(days([...calm.slice(14), ...Array<bigint>(14).fill(0n)]))
    expect(projectionOf(stopped, 5n, ahead(10)).projected).toBe(5n)
  })
})

describe("how often the interval holds", () => {
  /** Days of a week's pattern that scatter by the ratio, drawn for a seed; the last ones are those to be projected. */
  const drawn = (seed: number, count: number, draw: (random: () => number) => number) => {
    const random = randomFrom(seed)
    const pattern = [10, 11, 12, 11, 9, 2, 3]
    return Array.from({ length: count }, (_, index) =>
      BigInt(Math.round(1e6 * (pattern[index % 7] ?? 0) * draw(random))),
    )
  }
  const normal = (random: () => number) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  test.each([
    ["3 days of even noise", 3, (random: () => number) => Math.max(0, 1 + 0.25 * normal(random))],
    ["10 days of even noise", 10, (random: () => number) => Math.max(0, 1 + 0.25 * normal(random))],
    ["14 days of even noise", 14, (random: () => number) => Math.max(0, 1 + 0.25 * normal(random))],
    ["56 days of even noise", 56, (random: () => number) => Math.max(0, 1 + 0.25 * normal(random))],
    ["28 days of skewed noise", 28, (random: () => number) => Math.exp(0.5 * normal(random) - 0.125)],
    ["56 days of skewed noise", 56, (random: () => number) => Math.exp(0.5 * normal(random) - 0.125)],
  ])("%s: about 80 of 100 times", (_, seen, draw) => {
    const [runs, more] = [400, 15]
    let [below, above] = [0, 0]
    for (let seed = 1; seed <= runs; seed++) {
      const shift = seed % 7
      const all = drawn(seed * 7_919, seen + more + shift, draw).slice(shift)
      const weekdays = all.map((_, index) => ((index + shift) % 7) + 1)
      const past = all.slice(0, seen).map((amount, index) => ({ weekday: weekdays[index] ?? 1, amount, later: null }))
      const coming = all.slice(seen).reduce((sum, amount) => sum + amount, 0n)
      const stretches = weekdays.slice(seen).map((weekday, index): StretchAhead => {
        return { weekday, fromMs: index * DAY_MS, toMs: (index + 1) * DAY_MS, share: 1, isToday: false }
      })
      const { low, high } = projectionOf(paced(past), 0n, stretches)
      if (coming < low) below++
      if (coming > high) above++
    }
    expect(below).toBeLessThan(runs * 0.17)
    expect(above).toBeLessThan(runs * 0.17)
    expect(below + above).toBeGreaterThan(runs * 0.08)
    expect(below + above).toBeLessThan(runs * 0.25)
  })
})

describe("when a cap is reached", () => {
  test("is when what is expected adds up to what is left", () => {
    fc.assert(
      fc.property(amounts, fc.bigInt({ min: 1n, max: 10n ** 16n }), (used, cap) => {
        const pace = paced(days(used))
        const reached = reachedAtMs(pace, 0n, cap, ahead(30))
        const at = (count: number) => projectionOf(pace, 0n, ahead(30).slice(0, count)).projected
        if (reached === null) {
          expect(at(31)).toBeLessThanOrEqual(cap)
          return
        }
        // What is used within the millisecond to which the moment is rounded.
        const slack = at(31) / 3_600_000n + 1n
        const index = ahead(30).findIndex(({ fromMs, toMs }) => reached >= fromMs && reached <= toMs)
        expect(at(index)).toBeLessThanOrEqual(cap + slack)
        expect(at(index + 1)).toBeGreaterThanOrEqual(cap - slack)
      }),
    )
  })

  test("is within the day in proportion, and at once of no day that is over", () => {
    const pace = paced(days(Array(14).fill(1_000n)))
    expect(reachedAtMs(pace, 0n, 250n, ahead(3))).toBe(NOON_MS + DAY_MS / 4)
    expect(reachedAtMs(pace, 0n, 750n, ahead(3))).toBe(MONDAY_MS + DAY_MS * 1.25)
    expect(reachedAtMs(pace, 100n, 100n, ahead(3))).toBeNull()
    expect(reachedAtMs(pace, 0n, 4_000n, ahead(3))).toBeNull()
  })

  test("of the last seven days it takes into account what leaves them each midnight", () => {
    const pace = paced(days(Array(14).fill(1_000n)))
    const earlier = Array<bigint>(6).fill(1_000n)
    // As much leaves as comes.
    expect(reachedAtMs(pace, 6_500n, 7_001n, ahead(30), earlier)).toBeNull()
    expect(reachedAtMs(pace, 6_500n, 7_000n, ahead(30), earlier)).toBe(MONDAY_MS + DAY_MS)
    // Nothing leaves for five days: before, nothing was used.
    const risen = [0n, 0n, 0n, 0n, 0n, 1_000n]
    expect(reachedAtMs(pace, 1_500n, 6_500n, ahead(30), risen)).toBe(MONDAY_MS + DAY_MS * 5.5)
  })
})

describe("days of a calendar", () => {
  test("what is ahead tiles the time from now until the end, today first, and adds up to days", () => {
    fc.assert(
      fc.property(zones, moments, fc.constantFrom("day", "week", "month"), (zone, nowMs, window) => {
        const { endsAtMs } = windowAt(window, zone, 1, nowMs)
        const stretches = stretchesAhead(zone, nowMs, endsAtMs ?? 0)
        expect(stretches[0]?.fromMs).toBe(nowMs)
        expect(stretches.at(-1)?.toMs).toBe(endsAtMs)
        for (const [index, { fromMs, share, isToday }] of stretches.entries()) {
          if (index > 0) expect(fromMs).toBe(stretches[index - 1]?.toMs)
          expect(isToday).toBe(index === 0)
          if (index > 0) expect(share).toBe(1)
        }
      }),
      { numRuns: 60 },
    )
  })

  test("what is past tiles eight weeks up to today, on quarters of an hour, whatever the clocks did", () => {
    fc.assert(
      fc.property(zones, moments, (zone, nowMs) => {
        const { days: past, today, boundaries } = pastDays(zone, nowMs)
        expect(past).toHaveLength(DAYS_SEEN_MAX)
        expect(past.at(-1)?.toMs).toBe(today.fromMs)
        expect(today.fromMs <= nowMs && nowMs < today.toMs).toBe(true)
        expect(boundaries.at(-1)).toBe(today.fromMs)
        expect(boundaries.every((ms) => ms % (15 * 60_000) === 0)).toBe(true)
        expect(boundaries.toSorted((one, other) => one - other)).toEqual(boundaries)
        expect(past.map(({ fromMs }) => boundaries.includes(fromMs))).not.toContain(false)
      }),
      { numRuns: 60 },
    )
  })

  test("in the night that clocks are set back, a day is a day and its cut is at the same time on the wall", () => {
    // 09:30 in Berlin on the Monday after 2026-10-25, a day of 25 hours.
    const past = pastDays("Europe/Berlin", Date.parse("2026-10-26T08:30:00Z"))
    const [cut, end] = past.boundaries.slice(-2)
    expect(new Date(cut ?? 0).toISOString()).toBe("2026-10-25T08:30:00.000Z")
    expect(new Date(end ?? 0).toISOString()).toBe("2026-10-25T23:00:00.000Z")
    expect(past.days.slice(-2).map(({ fromMs, toMs }) => (toMs - fromMs) / 3_600_000)).toEqual([24, 25])
    const parts = past.boundaries.slice(1).map(() => ({ amount: 5n, isUsed: true }))
    const seen = daysSinceFirstUse(past, parts)
    expect(seen.map(({ amount, later }) => [amount, later])).toEqual([
      ...Array(42).fill([5n, null]),
      ...Array(14).fill([10n, 5n]),
    ])
  })

  test("days before the first call are no days without usage; a call that cost nothing is a call", () => {
    const past = pastDays("UTC", NOON_MS)
    const parts = past.boundaries.slice(1).map((_, index) => ({ amount: index === 50 ? 3n : 0n, isUsed: index >= 47 }))
    expect(daysSinceFirstUse(past, parts)).toHaveLength(12)
    expect(daysSinceFirstUse(past, [])).toEqual([])
  })
})
