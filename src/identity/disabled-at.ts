/** What a row's `disabled_at` becomes in an UPDATE: disabling twice keeps the first instant. */
import type { Transaction } from "../platform/postgres.ts"

export function disabledAt(transaction: Transaction, isDisabled: boolean | undefined) {
  if (isDisabled === undefined) return transaction`disabled_at`
  return isDisabled ? transaction`coalesce(disabled_at, now())` : transaction`NULL`
}
