/** A price as JSON, in the words of a price file: every figure is text, `"0.15"`, so that none has been a float. */
import { type PeriodOfModel, periodOfModel } from "./price-book-schema.ts"
import { type Leaf, leafIssues } from "./price-catalog.ts"

export type ReadPeriod =
  | { readonly kind: "read"; readonly period: PeriodOfModel }
  | { readonly kind: "invalid"; readonly issues: readonly [Leaf, ...Leaf[]] }

/** Reads `{ rates, units, fees, aliases, prefixes }` by the schema of price files. */
export function readPeriod(value: unknown): ReadPeriod {
  const parsed = periodOfModel.safeParse(value)
  if (parsed.success) return { kind: "read", period: parsed.data }
  const [first = { path: [], message: "a price" }, ...rest] = leafIssues(parsed.error.issues)
  return { kind: "invalid", issues: [first, ...rest] }
}
