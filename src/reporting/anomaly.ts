/**
 * Whether a day's spending is out of the usual, by the days before it: the median of all of them or of its own weekday,
 * whichever is more, so that a job of each Monday is usual on Mondays; and how far days lie from it, by the median of their
 * distances. Neither moves with the days that are out of the usual themselves (Leys and others, "Detecting outliers: Do not
 * use standard deviation around the mean, use absolute deviation around the median", 2013). Pure, in whole units of money.
 */

/** Fewer days than these say nothing. */
const USUAL_DAYS_MIN = 7
/** Days before the one that is judged: four of each weekday. */
export const USUAL_DAYS_MAX = 28
/** Fewer of a weekday say nothing about it. */
const SAME_WEEKDAY_MIN = 2

/** A median distance of values around a normal's middle as its standard deviation, in ten-thousandths. */
const TO_DEVIATION = 14_826n
const TEN_THOUSAND = 10_000n
/** Days that are all alike are taken to differ by a tenth. */
const DEVIATION_PARTS = 10n

export type SpentDay = {
  /** 1 Monday to 7 Sunday. */
  readonly weekday: number
  readonly amount: bigint
}

export type Usual = { readonly amount: bigint; readonly deviation: bigint }

/** What is usual on a weekday, by the days since the first use. Null where they are too few. */
export function usualOf(days: readonly SpentDay[], weekday: number): Usual | null {
  if (days.length < USUAL_DAYS_MIN) return null
  const all = spreadOf(days)
  const same = days.filter((day) => day.weekday === weekday)
  if (same.length < SAME_WEEKDAY_MIN) return all
  const own = spreadOf(same)
  return { amount: larger(all.amount, own.amount), deviation: larger(all.deviation, own.deviation) }
}

/** What a day may come to before it is out of the usual: so many deviations more, and at least `leastMore` more. */
export function usualUpTo({ amount, deviation }: Usual, deviations: number, leastMore: bigint): bigint {
  return amount + larger(deviation * BigInt(deviations), leastMore)
}

function spreadOf(days: readonly SpentDay[]): Usual {
  const amount = median(days.map((day) => day.amount))
  const distance = median(days.map((day) => (day.amount > amount ? day.amount - amount : amount - day.amount)))
  return { amount, deviation: larger((distance * TO_DEVIATION) / TEN_THOUSAND, amount / DEVIATION_PARTS) }
}

function median(values: readonly bigint[]): bigint {
  const rising = values.toSorted((one, other) => (one < other ? -1 : one > other ? 1 : 0))
  const upper = rising[Math.floor(rising.length / 2)] ?? 0n
  const lower = rising[Math.floor((rising.length - 1) / 2)] ?? 0n
  return (lower + upper) / 2n
}

function larger(one: bigint, other: bigint): bigint {
  return one > other ? one : other
}
