/**
 * Where usage is going: what a day of each weekday is expected to use, from whole days that are over, and with it the sum
 * at the end of a period, an interval around it, and when a cap will be reached. Pure, in whole units of whatever is
 * counted (nano-dollars, tokens); fractions only weigh.
 *
 * The shape of a week is the mean of each weekday over the last eight weeks at the most, its highest and lowest value drawn
 * in to the next ones (a winsorized mean), so that one runaway loop does not bend it. How much is used at present is how
 * the last two weeks compare with that shape. The interval is that of a sum of days that scatter independently around a
 * mean which is itself estimated: a sum of H days from m days with the standard deviation s has s·√(H + H²/m), times
 * Student's t (Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 3rd edition, section 5.5, for one day).
 * Each day's deviation is from what the other days say of it.
 */

/** Fewer whole days than these say nothing. */
const DAYS_SEEN_MIN = 3
/** Whole days that are looked at: eight of each weekday. */
export const DAYS_SEEN_MAX = 56
/** Those that say how much is used at present. */
export const RECENT_DAYS = 14

/** Units are divided this far, so that a token a week is not nothing a day. */
const SCALE = 1_000_000n
const SATURDAY = 6
const WEEKDAYS = [1, 2, 3, 4, 5, 6, 7] as const

/** One whole day that is over. */
export type DayUse = {
  /** 1 Monday to 7 Sunday. */
  readonly weekday: number
  readonly amount: bigint
  /** What of it came after the present time of day; null where nobody looked. */
  readonly later: bigint | null
}

/** What is expected of the days to come. */
export type Pace = {
  readonly daysSeen: number
  /** A Monday's to a Sunday's use, in millionths of the unit. */
  readonly rates: readonly bigint[]
  /** Variance of one day's use, in millionths squared, and how many days it was taken from. */
  readonly variance: bigint
  readonly recentDays: number
  /** How much of a day comes after the present time of day; null where that cannot be told. */
  readonly laterShare: { readonly part: bigint; readonly of: bigint } | null
}

/** A stretch of time that is still to come: the rest of today, or a day or the beginning of one. */
export type StretchAhead = {
  readonly weekday: number
  readonly fromMs: number
  readonly toMs: number
  /** How much of the day it is, from 0 to 1; of today what is left of it by the clock. */
  readonly share: number
  readonly isToday: boolean
}

export type Projection = { readonly projected: bigint; readonly low: bigint; readonly high: bigint }

/** `days`: the whole days since the first use, without a gap, oldest first. Null where they are fewer than `DAYS_SEEN_MIN`. */
export function paceOf(days: readonly DayUse[]): Pace | null {
  const seen = days.slice(-DAYS_SEEN_MAX)
  if (seen.length < DAYS_SEEN_MIN) return null
  const recent = seen.slice(-RECENT_DAYS)
  const shapes = WEEKDAYS.map((weekday) => shapeOf(seen, weekday))
  const rates = atPresentLevel(shapes, recent)
  const squares = recent.map((day) => {
    const deviation = day.amount * SCALE - at(rates, day.weekday)
    const { madeOf } = at(shapes, day.weekday)
    // A mean that the day itself is part of is too close to it.
    const fromOthers = (deviation * BigInt(madeOf)) / BigInt(madeOf - 1)
    return fromOthers * fromOthers
  })
  return {
    daysSeen: seen.length,
    rates,
    variance: sum(squares) / BigInt(recent.length - 1),
    recentDays: recent.length,
    laterShare: laterShareOf(recent),
  }
}

/** The sum at the end of what is ahead, with its 80 % interval: `spent <= low <= projected <= high`. */
export function projectionOf(pace: Pace, spent: bigint, ahead: readonly StretchAhead[]): Projection {
  const expected = sum(ahead.map((stretch) => expectedIn(pace, stretch)))
  const days = ahead.reduce((all, stretch) => all + shareIn(pace, stretch), 0)
  const times = tOf(pace.recentDays - 1) ** 2 * (days + days ** 2 / pace.recentDays)
  const width = squareRoot((pace.variance * millionths(times)) / SCALE)
  const least = expected > width ? expected - width : 0n
  return {
    projected: spent + rounded(expected),
    low: spent + rounded(least),
    high: spent + rounded(expected + width),
  }
}

/**
 * When the cap is reached, epoch milliseconds; null where it is not within what is ahead, or was before. `earlier`: of a
 * rolling window what its days before today have used, the oldest first; each midnight one of them is no longer counted.
 */
export function reachedAtMs(
  pace: Pace,
  used: bigint,
  cap: bigint,
  ahead: readonly StretchAhead[],
  earlier: readonly bigint[] = [],
): number | null {
  let left = (cap - used) * SCALE
  if (left <= 0n) return null
  const counted = earlier.map((amount) => amount * SCALE)
  const usedToday = used * SCALE - sum(counted)
  for (const [index, stretch] of ahead.entries()) {
    const expected = expectedIn(pace, stretch)
    if (earlier.length > 0) {
      if (index > 0) left += counted.shift() ?? 0n
      counted.push(index === 0 ? usedToday + expected : expected)
    }
    if (expected >= left) {
      const partOfIt = Number((left * SCALE) / expected) / Number(SCALE)
      return Math.round(stretch.fromMs + (stretch.toMs - stretch.fromMs) * partOfIt)
    }
    left -= expected
  }
  return null
}

/** What is used in an average day of a week, in whole units. */
export function dailyAverage({ rates }: Pace): bigint {
  return rounded(sum(rates) / BigInt(WEEKDAYS.length))
}

/** In millionths of the unit. */
function expectedIn(pace: Pace, stretch: StretchAhead): bigint {
  const rate = at(pace.rates, stretch.weekday)
  if (stretch.isToday && pace.laterShare !== null) return (rate * pace.laterShare.part) / pace.laterShare.of
  return (rate * millionths(stretch.share)) / SCALE
}

function shareIn(pace: Pace, { isToday, share }: StretchAhead): number {
  if (!isToday || pace.laterShare === null) return share
  return Number((pace.laterShare.part * SCALE) / pace.laterShare.of) / Number(SCALE)
}

type Shape = { readonly mean: bigint; readonly madeOf: number }

/** Of the weekday itself; where it was seen only once, of working days or weekends; else of all days. */
function shapeOf(seen: readonly DayUse[], weekday: number): Shape {
  const isWeekend = (day: number) => day >= SATURDAY
  const alike = [
    seen.filter((day) => day.weekday === weekday),
    seen.filter((day) => isWeekend(day.weekday) === isWeekend(weekday)),
    seen,
  ]
  const days = alike.find(({ length }) => length >= 2) ?? seen
  const values = winsorized(days.map(({ amount }) => amount * SCALE))
  return { mean: nonNegative(sum(values) / BigInt(values.length)), madeOf: values.length }
}

/** The shape moved up or down to what the last days were, their furthest deviations drawn in. */
function atPresentLevel(shapes: readonly Shape[], recent: readonly DayUse[]): readonly bigint[] {
  const shaped = sum(recent.map(({ weekday }) => at(shapes, weekday).mean))
  const deviations = winsorized(recent.map((day) => day.amount * SCALE - at(shapes, day.weekday).mean))
  const present = nonNegative(shaped + sum(deviations))
  if (shaped === 0n) return shapes.map(() => present / BigInt(recent.length))
  return shapes.map(({ mean }) => (mean * present) / shaped)
}

/** Null where nothing was used, or the parts do not add up to a day (corrections may be negative). */
function laterShareOf(recent: readonly DayUse[]): Pace["laterShare"] {
  const looked = recent.flatMap(({ amount, later }) => (later === null ? [] : [{ amount, later }]))
  const of = sum(looked.map(({ amount }) => amount))
  const part = sum(looked.map(({ later }) => later))
  return of > 0n && part >= 0n && part <= of ? { part, of } : null
}

/** The highest and the lowest value drawn in to the next ones, where there are more than two. */
function winsorized(values: readonly bigint[]): readonly bigint[] {
  if (values.length < 3) return values
  const rising = values.toSorted((one, other) => (one < other ? -1 : one > other ? 1 : 0))
  const [lowest, highest] = [rising[1] ?? 0n, rising.at(-2) ?? 0n]
  return values.map((value) => (value < lowest ? lowest : value > highest ? highest : value))
}

/** Student's t that 80 % of values lie within on both sides, for 1 to 13 degrees of freedom. */
const T_80 = [3.078, 1.886, 1.638, 1.533, 1.476, 1.44, 1.415, 1.397, 1.383, 1.372, 1.363, 1.356, 1.35] as const

function tOf(degrees: number): number {
  return T_80[degrees - 1] ?? T_80[T_80.length - 1] ?? 0
}

/** The whole part. Newton's way, from above. */
function squareRoot(value: bigint): bigint {
  if (value < 2n) return value
  let root = 1n << BigInt(Math.ceil(value.toString(2).length / 2))
  for (;;) {
    const next = (root + value / root) / 2n
    if (next >= root) return root
    root = next
  }
}

function at<Value>(values: readonly Value[], weekday: number): Value {
  const value = values[weekday - 1]
  if (value === undefined) throw new Error(`There is no weekday ${weekday}.`)
  return value
}

function sum(values: readonly bigint[]): bigint {
  return values.reduce((all, value) => all + value, 0n)
}

function millionths(value: number): bigint {
  return BigInt(Math.round(value * Number(SCALE)))
}

/** Millionths as whole units, halves up. */
function rounded(value: bigint): bigint {
  return (value + SCALE / 2n) / SCALE
}

function nonNegative(value: bigint): bigint {
  return value > 0n ? value : 0n
}
