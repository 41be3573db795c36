/** What an entry of a public catalog comes to here. */
import type { PriceText } from "./price-registry.ts"

export type CatalogPrice = {
  /** As the catalog names it. */
  readonly entry: string
  readonly provider: string
  readonly model: string
  readonly price: PriceText
  /** What the entry says beside its price that is not taken over. */
  readonly leftOut: readonly string[]
}

export type Skipped = { readonly entry: string; readonly reason: string }

/** What an entry comes to: its price, why it is not taken, or why its catalog cannot be believed. */
export type ReadEntry =
  | { readonly kind: "price"; readonly price: Omit<CatalogPrice, "entry"> }
  | { readonly kind: "skipped"; readonly reason: string }
  | { readonly kind: "invalid"; readonly message: string }
