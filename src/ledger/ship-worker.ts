/**
 * The shipper's thread: first it adopts the journals of dead processes, then it brings the ends of its own journal to
 * Postgres in their order. It is told by the journal worker when there is something to read, and sleeps otherwise.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { setTimeout as wait } from "node:timers/promises"
import { type MessagePort, parentPort, workerData } from "node:worker_threads"
import { isConnectionLost } from "../platform/postgres.ts"
import { adoptJournals } from "./adopt-journals.ts"
import { ingest, type LedgerRow } from "./ingest.ts"
import { END_ROW, type JournalPaths, journalBytes, journalPaths, openJournalReader } from "./journal-file.ts"
import type { ShipperToJournal, ShipperToMain, ShipWorkerData } from "./journal-protocol.ts"
import { LedgerConnection } from "./ledger-connection.ts"
import { ensureMonths } from "./partitions.ts"
import { Quarantine } from "./quarantine.ts"
import { type Shipping, shipRows } from "./ship-rows.ts"

const BACK_OFF_MS_MIN = 100
const BACK_OFF_MS_MAX = 5_000
const BATCH_BYTES_MAX = 8 * 1024 * 1024
/** Checkpoints run here and passively, so that the journal's commits never wait for one. */
const CHECKPOINT_EVERY_MS = 1_000
const CHECKPOINT_BYTES_MIN = 4 * 1024 * 1024

/** Thrown out of waiting for Postgres when the process closes: what is unshipped stays in the journal. */
class Stopped extends Error {}

class ShipThread {
  readonly #main: MessagePort
  readonly #data: ShipWorkerData
  readonly #paths: JournalPaths
  readonly #journal: DatabaseSync
  readonly #read: StatementSync
  readonly #connection: LedgerConnection
  readonly #shipping: Shipping
  readonly #stopping = new AbortController()
  readonly #alarm = new Alarm()
  readonly #timers: NodeJS.Timeout[]
  #adoptionDue = false
  #isAway = false
  #readSeq = 0

  constructor(main: MessagePort, data: ShipWorkerData) {
    this.#main = main
    this.#data = data
    this.#paths = journalPaths(data.directory, data.journalId)
    this.#journal = openJournalReader(this.#paths)
    this.#read = this.#journal.prepare("SELECT seq, body FROM journal WHERE seq > ? AND kind = ? ORDER BY seq LIMIT ?")
    this.#connection = new LedgerConnection(data.databaseUrl, data.statementMsMax)
    this.#shipping = this.#shippingWith(new Quarantine(data.directory))
    this.#timers = [
      setInterval(() => this.#checkpoint(), CHECKPOINT_EVERY_MS),
      setInterval(() => {
        this.#adoptionDue = true
        this.#alarm.ring()
      }, data.adoptEveryMs),
    ]
    data.journalPort.on("message", () => this.#alarm.ring())
    // All that the main thread ever says is to stop.
    main.on("message", () => {
      this.#stopping.abort()
      this.#alarm.ring()
    })
  }

  async run(): Promise<void> {
    try {
      await this.#adopt()
      this.#tell({ kind: "ready" })
      while (!this.#stopping.signal.aborted) {
        if (this.#adoptionDue) await this.#adopt()
        await this.#shipNext()
      }
    } catch (error) {
      if (!(error instanceof Stopped)) throw error
    } finally {
      for (const timer of this.#timers) clearInterval(timer)
      await this.#connection.close()
      this.#journal.close()
      this.#data.journalPort.close()
      this.#main.close()
    }
  }

  /** One batch, or a sleep until there is one. */
  async #shipNext(): Promise<void> {
    const { rowsPerBatchMax, lingerMs, journalPort, journalId } = this.#data
    let rows = this.#readRows()
    if (rows.length > 0 && rows.length < rowsPerBatchMax) {
      await this.#wait(lingerMs)
      rows = this.#readRows()
    }
    const last = rows.at(-1)
    if (last === undefined) {
      journalPort.postMessage({ kind: "idle", seq: this.#readSeq } satisfies ShipperToJournal)
      return this.#alarm.rung()
    }
    await shipRows(this.#shipping, journalId, rows)
    this.#readSeq = last.seq
    journalPort.postMessage({ kind: "shipped", seq: last.seq } satisfies ShipperToJournal)
  }

  #readRows(): LedgerRow[] {
    const fitting: LedgerRow[] = []
    let bytes = 0
    for (const { seq, body } of this.#read.iterate(this.#readSeq, END_ROW, this.#data.rowsPerBatchMax)) {
      const row = { seq: Number(seq), body: String(body) }
      bytes += row.body.length
      if (fitting.length > 0 && bytes > BATCH_BYTES_MAX) break
      fitting.push(row)
    }
    return fitting
  }

  async #adopt(): Promise<void> {
    this.#adoptionDue = false
    const { directory, journalId, rowsPerBatchMax } = this.#data
    const ship = (id: string, rows: readonly LedgerRow[]) => shipRows(this.#shipping, id, rows)
    const told = (message: ShipperToMain) => this.#tell(message)
    await adoptJournals({ directory, ownId: journalId, rowsPerBatchMax, ship, told }, Date.now())
  }

  #shippingWith(quarantine: Quarantine): Shipping {
    this.#tell({ kind: "counted", quarantined: quarantine.count() })
    return {
      ingest: (journalId, rows) => this.#connection.run((sql) => ingest(sql, journalId, rows), isConnectionLost),
      makeMonths: (months) => this.#connection.run((sql) => ensureMonths(sql, months), isConnectionLost),
      setAside: (journalId, row, reason) => {
        const total = quarantine.add(journalId, row, reason)
        this.#tell({ kind: "quarantined", total, error: `${reason.sqlState} ${reason.message}` })
      },
      pause: (attempt, error) => this.#pause(attempt, error),
      answered: () => {
        if (this.#isAway) this.#tell({ kind: "back" })
        this.#isAway = false
      },
    }
  }

  async #pause(attempt: number, error: unknown): Promise<void> {
    if (!this.#isAway) this.#tell({ kind: "away", error: String(error) })
    this.#isAway = true
    const fullMs = Math.min(BACK_OFF_MS_MAX, BACK_OFF_MS_MIN * 2 ** Math.min(attempt, 10))
    await this.#wait(fullMs * (0.5 + Math.random() / 2))
    if (this.#stopping.signal.aborted) throw new Stopped("the journal is closing")
  }

  async #wait(ms: number): Promise<void> {
    const { signal } = this.#stopping
    await wait(ms, undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }

  #checkpoint(): void {
    if (journalBytes(this.#paths) <= CHECKPOINT_BYTES_MIN) return
    try {
      this.#journal.exec("PRAGMA wal_checkpoint(PASSIVE)")
    } catch {
      // Nothing is lost: rows stay in the write-ahead log. A disk that refuses is reported by the commit that it refuses.
    }
  }

  #tell(message: ShipperToMain): void {
    this.#main.postMessage(message)
  }
}

/** A bell that remembers one ring. */
class Alarm {
  #hasRung = false
  #wake: (() => void) | null = null

  ring(): void {
    this.#hasRung = true
    this.#wake?.()
  }

  async rung(): Promise<void> {
    if (!this.#hasRung) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    this.#hasRung = false
    this.#wake = null
  }
}

if (parentPort !== null) await new ShipThread(parentPort, workerData).run()
