/** What books reported usage, put together by hand: a journal that a test ships when it likes, and limits in process. */
import { readdirSync, readFileSync } from "node:fs"
import path from "node:path"
import { Admission } from "../../src/admission/admit.ts"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import { ingest, type LedgerRow } from "../../src/ledger/ingest.ts"
import type { Prices } from "../../src/ledger/priced-record.ts"
import { ReportBook, type ReportBookOptions } from "../../src/ledger/report-book.ts"
import { Repricer } from "../../src/ledger/reprice.ts"
import { UsageHolds } from "../../src/ledger/usage-holds.ts"
import { BoundedPostgres } from "../../src/platform/bounded-postgres.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { loadPriceBook } from "../../src/pricing/price-book.ts"
import { NO_STORED_PRICES } from "../../src/pricing/stored-prices.ts"

/** Keeps rows until they are shipped, as a journal's file does: also those of a process that has died since. */
export class HeldJournal {
  readonly id = uuidv7Mint()(Date.now())
  readonly #rows = new Map<number, string>()
  #seq = 0
  #shipped = 0

  isFull(): boolean {
    return false
  }

  async start(_id: string, body: string): Promise<void> {
    this.#rows.set(++this.#seq, body)
  }

  /** The start says the same. */
  end(): void {}

  /** Ships what was written since the last time. */
  async ship(sql: Sql): Promise<void> {
    const rows: LedgerRow[] = [...this.#rows]
      .filter(([seq]) => seq > this.#shipped)
      .map(([seq, body]) => ({ seq, body }))
    await ingest(sql, this.id, rows)
    this.#shipped = rows.at(-1)?.seq ?? this.#shipped
  }
}

let shipped: Prices | undefined

/** The price book that is shipped, read once. */
export function shippedPrices(): Prices {
  shipped ??= readShippedPrices()
  return shipped
}

function readShippedPrices(): Prices {
  const folder = path.join(import.meta.dirname, "../../config/prices")
  const files = readdirSync(folder).filter((name) => name.endsWith(".yaml"))
  const loaded = loadPriceBook(files.map((name) => ({ name, text: readFileSync(path.join(folder, name), "utf8") })))
  if (loaded.kind === "invalid") throw new Error("the shipped prices cannot be read")
  return { router: { providers: new Map() }, priceBook: loaded.book, storedPrices: NO_STORED_PRICES }
}

export function reportParts(
  databaseUrl: string,
  options: { store?: MemoryLimitStore; nowMs?: () => number; prices?: Prices } = {},
) {
  const nowMs = options.nowMs ?? Date.now
  const store = options.store ?? new MemoryLimitStore(nowMs)
  const admission = new Admission({
    store,
    nowMs,
    owner: "test",
    onFault: () => undefined,
    readCounters: (charges) => store.read(charges),
  })
  const postgres = new BoundedPostgres(() => openPostgres(databaseUrl, { max: 3, applicationName: "test" }))
  const prices = options.prices ?? shippedPrices()
  const shared = {
    postgres,
    admission,
    prices: () => prices,
    mintId: uuidv7Mint(),
    nowMs,
    nameOf: (_: string, name: string) => name,
  }
  /** A process of its own: its journal, the same ledger and counters. */
  const process = (
    journal: ReportBookOptions["journal"],
    onBooked: ReportBookOptions["onBooked"] = () => undefined,
    counting: ReportBookOptions["admission"] = admission,
  ) => new ReportBook({ ...shared, admission: counting, journal, fold: (_owner, _kind, value) => value, onBooked })
  const repricer = (sql: Sql, book: ReportBook, pageRows = 1_000) => new Repricer({ ...shared, sql, book, pageRows })
  const holds = new UsageHolds({ ...shared, log: { warn: () => undefined } as never })
  return { store, admission, prices, process, repricer, holds, close: () => postgres.close() }
}
