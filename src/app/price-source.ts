/**
 * Prices and terms that are set by API, as this process knows them: read again whenever the directory sees that they
 * changed, and handed on. While Postgres is away those read last go on.
 */
import { BoundedPostgres } from "../platform/bounded-postgres.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { readStoredPrices } from "../pricing/price-registry.ts"
import { NO_STORED_PRICES, type StoredPrice, StoredPrices } from "../pricing/stored-prices.ts"
import { readStoredTerms } from "../pricing/terms-registry.ts"

const READ_MS_MAX = 5_000
/** Nothing was ever set. */
const NEVER = "0"

export type PriceSourceOptions = {
  /** Opens a pool of its own, of one connection: it drops one that does not answer. */
  readonly openPostgres: () => Sql
  readonly log: Log
}

export class PriceSource {
  readonly #postgres: BoundedPostgres
  readonly #log: Log
  #stored: StoredPrices = NO_STORED_PRICES
  /** By id: a price that is known need not be read again by its next call. */
  #known = new Map<string, StoredPrice>()
  /** Of the directory, and of what it says of prices. */
  #version = ""
  #pricesVersion = NEVER
  /** Reads are counted as they begin; an earlier one must not undo a later one. */
  #readsBegun = 0
  #readAnswered = 0
  #isReadable = true
  #isStopped = false
  #onChange: () => void = () => undefined

  constructor(options: PriceSourceOptions) {
    this.#postgres = new BoundedPostgres(options.openPostgres)
    this.#log = options.log
  }

  get stored(): StoredPrices {
    return this.#stored
  }

  /** From now on told of each change; one listener. */
  onChange(listener: () => void): void {
    this.#onChange = listener
  }

  /** Reads again where prices changed since the version that is known; tried again at the next look where it fails. */
  async follow(version: string): Promise<void> {
    if (version === this.#version) return
    const turn = ++this.#readsBegun
    try {
      const read = await this.#postgres.run((sql) => readSince(sql, this.#pricesVersion), READ_MS_MAX)
      if (turn < this.#readAnswered) return
      this.#readAnswered = turn
      this.#version = version
      if (!this.#isReadable) this.#log.info("prices can be read again")
      this.#isReadable = true
      if (read !== null) this.#take(read)
    } catch (error) {
      if (this.#isStopped) return
      if (this.#isReadable) this.#log.warn({ err: error }, "prices cannot be read; those read last go on")
      this.#isReadable = false
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#postgres.close()
  }

  #take({ version, prices, terms }: ReadPrices): void {
    const known = prices.map((price) => {
      const before = this.#known.get(price.id)
      return before !== undefined && before.untilMs === price.untilMs ? before : price
    })
    this.#known = new Map(known.map((price) => [price.id, price]))
    this.#pricesVersion = version
    this.#stored = new StoredPrices(known, terms)
    this.#onChange()
  }
}

type ReadPrices = {
  readonly version: string
  readonly prices: Awaited<ReturnType<typeof readStoredPrices>>
  readonly terms: Awaited<ReturnType<typeof readStoredTerms>>
}

/** Null where nothing has changed. The version is read first, so that what is read is at least as new. */
async function readSince(sql: Sql, known: string): Promise<ReadPrices | null> {
  const [row] = await sql<{ version: string }[]>`SELECT prices_version::text AS version FROM directory_version`
  if (row === undefined || row.version === known) return null
  return { version: row.version, prices: await readStoredPrices(sql), terms: await readStoredTerms(sql) }
}
