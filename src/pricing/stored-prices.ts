/**
 * Prices and terms that were set by API, as a process knows them: of the installation and of organizations. Immutable; a
 * change makes another. They stand on the request path, so which of them an id finds is decided once and remembered,
 * and what a price says is read when a call first needs it.
 *
 * Within a layer each tier is decided by itself: the price by exact id before the one by prefix, the longer prefix
 * before the shorter, the later beginning before the earlier, and what was made last of two that begin together.
 */
import { isSnapshotOf, spellings } from "./model-name.ts"
import type { FoundPrice } from "./price-book.ts"
import { rowsOfPeriod } from "./price-catalog.ts"
import { type PriceRow, tierName } from "./price-row.ts"
import type { PriceTerms } from "./price-terms.ts"
import { readPeriod } from "./read-period.ts"

export type StoredPrice = {
  readonly id: string
  /** '': of the installation. */
  readonly organizationId: string
  readonly provider: string
  readonly model: string
  readonly aliases: readonly string[]
  readonly prefixes: readonly string[]
  /** The whole price as it was stored, in the words of a price file. */
  readonly price: unknown
  readonly source: string
  /** Epoch milliseconds; `untilMs` exclusive, null: until another begins. */
  readonly fromMs: number
  readonly untilMs: number | null
  readonly createdMs: number
}

export type StoredQuestion = { readonly provider: string; readonly model: string; readonly atMs: number }

type Shelf = {
  readonly byId: ReadonlyMap<string, readonly StoredPrice[]>
  /** The longest first, of equal ones the newest. */
  readonly prefixes: readonly { readonly prefix: string; readonly price: StoredPrice }[]
  /** Which prices an asked id finds, in the order in which they are tried. */
  readonly remembered: Map<string, readonly StoredPrice[]>
}

const REMEMBERED_MAX = 4_096
const NONE: readonly StoredPrice[] = []

type Rows = ReadonlyMap<string, PriceRow>
/** What is wrong with a price that another version has stored: it prices nothing, and nothing takes its place. */
type Fault = { readonly kind: "unpriced"; readonly reason: string }
type Read = { readonly kind: "read"; readonly rows: Rows } | Fault

/** A price never changes, so it is read once for all that know it. */
const alreadyRead = new WeakMap<StoredPrice, Read>()

export class StoredPrices {
  /** By organization ('' for the installation), then by provider. */
  readonly #layers = new Map<string, Map<string, Shelf>>()
  readonly #byId: ReadonlyMap<string, StoredPrice>
  /** Of each organization, the newest first. */
  readonly #terms: ReadonlyMap<string, readonly PriceTerms[]>

  /** Both lists newest first: by their beginning, then by when they were made. */
  constructor(prices: readonly StoredPrice[], terms: readonly PriceTerms[]) {
    this.#byId = new Map(prices.map((price) => [price.id, price]))
    for (const [organizationId, some] of Map.groupBy(prices, (price) => price.organizationId)) {
      const shelves = Map.groupBy(some, ({ provider }) => provider)
      this.#layers.set(organizationId, new Map([...shelves].map(([provider, own]) => [provider, shelfOf(own)])))
    }
    this.#terms = Map.groupBy(terms, ({ organizationId }) => organizationId)
  }

  /** The price of a tier in one layer (`organizationId`, '' for the installation's); undefined where it says nothing of it. */
  find(organizationId: string, question: StoredQuestion & { readonly tier: string }): FoundPrice | undefined {
    const candidates = this.#candidates(organizationId, question)
    if (candidates.length === 0) return undefined
    const tier = tierName(question.tier)
    for (const price of candidates) {
      if (!isInForce(price, question.atMs)) continue
      const read = rowsOf(price)
      if (read.kind === "unpriced") return read
      const row = read.rows.get(tier)
      if (row !== undefined) return { kind: "found", row }
    }
    return undefined
  }

  /** The row of each tier that the layer prices, by tier; null where it prices none. */
  tiers(organizationId: string, question: StoredQuestion): Read | null {
    const candidates = this.#candidates(organizationId, question)
    if (candidates.length === 0) return null
    const rows = new Map<string, PriceRow>()
    for (const price of candidates) {
      if (!isInForce(price, question.atMs)) continue
      const read = rowsOf(price)
      if (read.kind === "unpriced") return read
      for (const [tier, row] of read.rows) if (!rows.has(tier)) rows.set(tier, row)
    }
    return rows.size === 0 ? null : { kind: "read", rows }
  }

  /** The terms of an organization: those for the provider, else those for all; null where there are none. */
  terms(organizationId: string, provider: string, atMs: number): PriceTerms | null {
    const own = this.#terms.get(organizationId)
    if (own === undefined) return null
    let general: PriceTerms | null = null
    for (const terms of own) {
      if (!isInForce(terms, atMs)) continue
      if (terms.provider === provider) return terms
      if (terms.provider === "") general ??= terms
    }
    return general
  }

  /** Terms that a record pins, also such that have ended. */
  termsOf(id: string): PriceTerms | undefined {
    return [...this.#terms.values()].flat().find((terms) => terms.id === id)
  }

  /** The row that a record pins, also of a price that has ended. */
  row(id: string, tier: string): PriceRow | undefined {
    const price = this.#byId.get(id)
    const read = price && rowsOf(price)
    return read?.kind === "read" ? read.rows.get(tier) : undefined
  }

  /** When prices of a model begin and end in one layer, epoch milliseconds. */
  changes(organizationId: string, question: Pick<StoredQuestion, "provider" | "model">): readonly number[] {
    const candidates = this.#candidates(organizationId, question)
    return candidates.flatMap(({ fromMs, untilMs }) => (untilMs === null ? [fromMs] : [fromMs, untilMs]))
  }

  /** Ids and aliases of the installation's prices at a provider that are in force. */
  models(provider: string, atMs: number): readonly string[] {
    const { byId } = this.#layers.get("")?.get(provider) ?? {}
    return [...(byId ?? [])].flatMap(([id, prices]) => (prices.some((one) => isInForce(one, atMs)) ? [id] : []))
  }

  #candidates(
    organizationId: string,
    { provider, model }: Pick<StoredQuestion, "provider" | "model">,
  ): readonly StoredPrice[] {
    const shelf = this.#layers.get(organizationId)?.get(provider)
    if (shelf === undefined) return NONE
    const known = shelf.remembered.get(model)
    if (known !== undefined) return known
    const found = search(shelf, model)
    if (shelf.remembered.size >= REMEMBERED_MAX) shelf.remembered.clear()
    shelf.remembered.set(model, found)
    return found
  }
}

export const NO_STORED_PRICES = new StoredPrices([], [])

function shelfOf(prices: readonly StoredPrice[]): Shelf {
  const named = prices.flatMap((price) => [...new Set([price.model, ...price.aliases])].map((id) => ({ id, price })))
  const byId = new Map(
    [...Map.groupBy(named, ({ id }) => id)].map(([id, some]) => [id, some.map(({ price }) => price)]),
  )
  const prefixes = prices.flatMap((price) => price.prefixes.map((prefix) => ({ prefix, price })))
  return { byId, prefixes: prefixes.sort((a, b) => b.prefix.length - a.prefix.length), remembered: new Map() }
}

function search({ byId, prefixes }: Shelf, model: string): readonly StoredPrice[] {
  const ids = spellings(model)
  const found = new Set(ids.flatMap((id) => byId.get(id) ?? NONE))
  for (const { prefix, price } of prefixes) if (ids.some((id) => isSnapshotOf(prefix, id))) found.add(price)
  return found.size === 0 ? NONE : [...found]
}

function isInForce({ fromMs, untilMs }: Pick<StoredPrice, "fromMs" | "untilMs">, atMs: number): boolean {
  return fromMs <= atMs && (untilMs === null || atMs < untilMs)
}

function rowsOf(price: StoredPrice): Read {
  const known = alreadyRead.get(price)
  if (known !== undefined) return known
  const read = readRows(price)
  alreadyRead.set(price, read)
  return read
}

function readRows({ id, provider, model, fromMs, source, createdMs, price }: StoredPrice): Read {
  const read = readPeriod(price)
  if (read.kind === "invalid") {
    const [{ path, message }] = read.issues
    return { kind: "unpriced", reason: `the price ${id} cannot be read: ${path.join(".")}: ${message}` }
  }
  const checked = new Date(createdMs).toISOString().slice(0, 10)
  const of = { provider, model, since: id, fromMs, source, checked }
  return { kind: "read", rows: rowsOfPeriod(of, read.period) }
}
