/** Which thresholds of its cap a limit has crossed. */

/** Percent of the cap at which someone should know. */
export const THRESHOLDS_PERCENT = [50, 80, 100] as const

/** The thresholds that `settled` has reached, lowest first. A cap of nothing is crossed by the first use. */
export function crossedThresholds(settled: bigint, cap: bigint): number[] {
  if (settled <= 0n) return []
  return THRESHOLDS_PERCENT.filter((percent) => settled * 100n >= cap * BigInt(percent))
}
