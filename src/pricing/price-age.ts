/** How long ago somebody last compared the prices of a file with their source: providers change prices without a word. */
import type { CatalogModel } from "./price-catalog.ts"

/** Prices that nobody has looked at for longer than this are told as old. */
export const PRICES_OLD_DAYS = 60
const DAY_MS = 86_400_000

export type PriceAge = {
  /** The day of the newest check, `2026-08-21`; that of the oldest. */
  readonly newest: string
  readonly oldest: string
  /** Whole days since the newest check; 0 where it lies ahead. */
  readonly days: number
  readonly isOld: boolean
}

/** The age of a file's prices: that of its newest check, since old models stay listed. Null where it lists none. */
export function priceAge(models: readonly CatalogModel[], nowMs: number): PriceAge | null {
  const checked = models.flatMap(({ periods }) =>
    periods.flatMap(({ rows }) => [...rows.values()].map((row) => row.checked)),
  )
  const [oldest] = checked.sort()
  const newest = checked.at(-1)
  if (oldest === undefined || newest === undefined) return null
  const days = Math.max(0, Math.floor((nowMs - Date.parse(newest)) / DAY_MS))
  return { newest, oldest, days, isOld: days > PRICES_OLD_DAYS }
}
