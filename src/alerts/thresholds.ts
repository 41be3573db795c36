/** Which thresholds of its cap a limit has crossed. */

/** Percent of the cap at which someone should know, where nobody said otherwise. */
export const THRESHOLDS_PERCENT = [50, 80, 100] as const
/** The same of what will be used at the window's end. */
export const FORECAST_THRESHOLDS_PERCENT = [100] as const

/** The thresholds that `settled` has reached, lowest first. A cap of nothing is crossed by the first use. */
export function crossedThresholds(
  settled: bigint,
  cap: bigint,
  thresholds: readonly number[] = THRESHOLDS_PERCENT,
): number[] {
  if (settled <= 0n) return []
  const lowestFirst = [...new Set(thresholds)].sort((a, b) => a - b)
  return lowestFirst.filter((percent) => settled * 100n >= cap * BigInt(percent))
}
