/** When the seeded calls are made: a year that grows, with working hours, weekends and quiet nights. */

export type SeedHour = { readonly startsAtMs: number; readonly calls: number }

const HOUR_MS = 3_600_000
/** Calls grow by so much from the first to the last hour. */
const GROWTH = 2.5
/** By hour of the day; the organizations' zones spread over the globe, so that UTC stands for all. */
const HOURS = [2, 2, 2, 2, 3, 4, 6, 10, 14, 16, 16, 14, 13, 15, 16, 15, 13, 10, 7, 5, 4, 3, 3, 2]
const WEEKEND = 0.3

/** Exactly `records` calls over the hours of `[fromMs, toMs)`, both full hours. */
export function seedHours(records: number, fromMs: number, toMs: number): SeedHour[] {
  const starts = Array.from({ length: (toMs - fromMs) / HOUR_MS }, (_, index) => fromMs + index * HOUR_MS)
  const weights = starts.map((startsAtMs) => {
    const at = new Date(startsAtMs)
    const isWeekend = at.getUTCDay() % 6 === 0
    const grown = 1 + ((GROWTH - 1) * (startsAtMs - fromMs)) / (toMs - fromMs)
    return (HOURS[at.getUTCHours()] ?? 1) * (isWeekend ? WEEKEND : 1) * grown
  })
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  let sum = 0
  let placed = 0
  return starts.map((startsAtMs, index) => {
    sum += weights[index] ?? 0
    const upTo = index === starts.length - 1 ? records : Math.round((records * sum) / total)
    const calls = upTo - placed
    placed = upTo
    return { startsAtMs, calls }
  })
}
