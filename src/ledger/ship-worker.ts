/**
 * The shipper's thread: first it adopts the journals of dead processes, then it brings the ends of its own journal to
 * Postgres in their order. It is told by the main thread when there is something to read, and sleeps otherwise.
 */
import { setTimeout as wait } from "node:timers/promises"
import { type MessagePort, parentPort, workerData } from "node:worker_threads"
import type { Adopted } from "../admission/adopted-calls.ts"
import { BoundedPostgres } from "../platform/bounded-postgres.ts"
import { openPostgres, type Sql } from "../platform/postgres.ts"
import { adoptJournals } from "./adopt-journals.ts"
import { listEnded } from "./charged-calls.ts"
import { acknowledgedSeq, ingest, type LedgerRow } from "./ingest.ts"
import { END_ROW, type JournalRow } from "./journal-batch.ts"
import { type JournalLock, removeJournal } from "./journal-file.ts"
import type { MainToShipper, ShipperToMain, ShipWorkerData } from "./journal-protocol.ts"
import { JournalReader } from "./journal-reader.ts"
import { ensureMonths } from "./partitions.ts"
import { forgetProxy } from "./proxy-instances.ts"
import { Quarantine } from "./quarantine.ts"
import { type Shipping, shipRows } from "./ship-rows.ts"

const BACK_OFF_MS_MIN = 100
const BACK_OFF_MS_MAX = 5_000
const BATCH_UNITS_MAX = 8 * 1024 * 1024

/** Thrown out of waiting for Postgres when the process closes: what is unshipped stays in the journal. */
class Stopped extends Error {}

class ShipThread {
  readonly #main: MessagePort
  readonly #data: ShipWorkerData
  readonly #reader: JournalReader
  /** Ends that were read and are not shipped yet. */
  #read: JournalRow[] = []
  readonly #postgres: BoundedPostgres
  readonly #shipping: Shipping
  readonly #stopping = new AbortController()
  readonly #alarm = new Alarm()
  readonly #adoptTimer: NodeJS.Timeout
  #adoptionDue = false
  #isAway = false
  #shippedSeq: number
  /** Journals that are in the ledger and not yet counted. */
  readonly #adopted = new Map<string, JournalLock>()

  constructor(main: MessagePort, data: ShipWorkerData) {
    this.#main = main
    this.#data = data
    this.#shippedSeq = data.shippedSeq
    this.#reader = new JournalReader(data.directory, data.journalId, data.shippedSeq)
    this.#postgres = new BoundedPostgres(() =>
      openPostgres(data.databaseUrl, { max: 1, applicationName: "tallygate-shipper" }),
    )
    this.#shipping = this.#shippingWith(new Quarantine(data.directory))
    this.#adoptTimer = setInterval(() => {
      this.#adoptionDue = true
      this.#alarm.ring()
    }, data.adoptEveryMs)
    main.on("message", (message: MainToShipper) => this.#onMessage(message))
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
      clearInterval(this.#adoptTimer)
      await this.#postgres.close()
      this.#reader.close()
      // What is not counted yet is adopted once more by the next process.
      for (const lock of this.#adopted.values()) lock.release()
      this.#main.close()
    }
  }

  #onMessage(message: MainToShipper): void {
    if (message.kind === "list ended") {
      const { directory, journalId } = this.#data
      const answer = listEnded({ directory, journalId }, message.organizationId, message.afterSeq, message.seeds)
      this.#tell({ kind: "ended", question: message.question, answer })
      return
    }
    if (message.kind === "stop") this.#stopping.abort()
    if (message.kind === "adopt") this.#adoptionDue = true
    if (message.kind === "adoption counted") void this.#removeAdopted(message.journalId)
    this.#alarm.ring()
  }

  /** One batch, or a sleep until there is one. */
  async #shipNext(): Promise<void> {
    const { rowsPerBatchMax, lingerMs, journalId } = this.#data
    this.#readEnds()
    if (this.#read.length > 0 && this.#read.length < rowsPerBatchMax) {
      await this.#wait(lingerMs)
      this.#readEnds()
    }
    const rows = this.#takeBatch()
    const last = rows.at(-1)
    if (last === undefined) {
      this.#tell({ kind: "idle", seq: this.#shippedSeq })
      return this.#alarm.rung()
    }
    await shipRows(this.#shipping, journalId, rows)
    this.#shippedSeq = last.seq
    this.#tell({ kind: "shipped", seq: last.seq, ends: rows.length })
  }

  /** Reads until there are ends for a full batch, or until there is nothing more to read. */
  #readEnds(): void {
    const { rowsPerBatchMax } = this.#data
    while (this.#read.length < rowsPerBatchMax) {
      const rows = this.#reader.read(rowsPerBatchMax)
      if (rows.length === 0) return
      this.#read.push(...rows.filter(({ kind }) => kind === END_ROW))
    }
  }

  #takeBatch(): LedgerRow[] {
    let units = 0
    let count = 0
    for (const { body } of this.#read) {
      units += body.length
      if (count === this.#data.rowsPerBatchMax || (count > 0 && units > BATCH_UNITS_MAX)) break
      count++
    }
    return this.#read.splice(0, count)
  }

  async #adopt(): Promise<void> {
    this.#adoptionDue = false
    const { directory, journalId, rowsPerBatchMax } = this.#data
    const acknowledged = (id: string) => this.#untilAnswered(() => this.#ask((sql) => acknowledgedSeq(sql, id)))
    const ship = (id: string, rows: readonly LedgerRow[]) => shipRows(this.#shipping, id, rows)
    const inLedger = (id: string, adopted: Adopted) => this.#tell({ kind: "adopted calls", journalId: id, adopted })
    const told = (message: ShipperToMain) => this.#tell(message)
    const finished = (id: string, lock: JournalLock) => {
      this.#adopted.set(id, lock)
      if (!this.#data.isAdoptionCounted) void this.#removeAdopted(id)
    }
    const acts = { acknowledged, ship, inLedger, told, finished }
    await adoptJournals({ directory, ownId: journalId, rowsPerBatchMax, ...acts }, Date.now())
  }

  /** Until then its process is waited for where counters are filled, since what it knew is in none of them. */
  async #removeAdopted(id: string): Promise<void> {
    await this.#untilAnswered(() => this.#ask((sql) => forgetProxy(sql, id)))
    const lock = this.#adopted.get(id)
    if (lock !== undefined) removeJournal(this.#data.directory, id, lock)
    this.#adopted.delete(id)
  }

  #ask<T>(act: (sql: Sql) => Promise<T>): Promise<T> {
    return this.#postgres.run(act, this.#data.statementMsMax)
  }

  /** Asks again for as long as Postgres is away. */
  async #untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await ask()
      } catch (error) {
        await this.#pause(attempt, error)
      }
    }
  }

  #shippingWith(quarantine: Quarantine): Shipping {
    this.#tell({ kind: "counted", quarantined: quarantine.count() })
    return {
      ingest: (journalId, rows) => this.#ask((sql) => ingest(sql, journalId, rows)),
      makeMonths: (months) => this.#ask((sql) => ensureMonths(sql, months)),
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
