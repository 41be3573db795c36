/**
 * The main thread's side of shipping: starts the ship worker, hears how it fares, and starts another when one dies, since
 * all that a shipper knows is in the journal. Logs speak on change of state only.
 */
import type { Worker } from "node:worker_threads"
import type { Adopted } from "../admission/adopted-calls.ts"
import type { EndedCalls } from "../admission/recovery.ts"
import type { Log } from "../platform/log.ts"
import type { JournalOptions } from "./journal.ts"
import type { MainToShipper, ShipperToMain } from "./journal-protocol.ts"
import type { LimitSeed } from "./seed-match.ts"
import { exitOf, startShipWorker } from "./ship-thread.ts"

const RESTART_MS = 1_000
/** Longer than a healthy statement; one that hangs is cut, which costs nothing but sending it again. */
const CLOSE_MS_MAX = 5_000

/** What the journal hears of shipping. */
export type ShipperListener = {
  /** Everything up to this row was read; `wake` when there is an end after it. */
  readonly idle: (seq: number) => void
  /** Ends up to this row are in the ledger or in quarantine. */
  readonly shipped: (seq: number, ends: number) => void
}

export class Shipper {
  readonly #options: JournalOptions
  readonly #journalId: string
  readonly #log: Log
  readonly #listener: ShipperListener
  readonly #isReady: Promise<void>
  #becomeReady: () => void = () => undefined
  #worker: Worker
  #restartTimer: NodeJS.Timeout | undefined
  #isClosing = false
  #error: string | null = null
  #quarantined = 0
  #shippedSeq = 0
  /** By adopted journal: what is still being counted of it. */
  readonly #counting = new Map<string, Promise<void>[]>()
  readonly #questions = new Map<number, { resolve(answer: EndedCalls): void }>()
  #lastQuestion = 0

  constructor(options: JournalOptions, journalId: string, listener: ShipperListener) {
    this.#options = options
    this.#journalId = journalId
    this.#log = options.log
    this.#listener = listener
    this.#isReady = new Promise((resolve) => {
      this.#becomeReady = resolve
    })
    this.#worker = this.#startWorker()
  }

  /** Why nothing is shipped at the moment; null where nothing is wrong. */
  get error(): string | null {
    return this.#error
  }

  /** Records in the directory's quarantine, of every process. */
  get quarantined(): number {
    return this.#quarantined
  }

  /** Waits until journals of dead processes are shipped; goes on without after `withinMs`, and says so. */
  async ready(withinMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#log.warn(
          { error: this.#error },
          "records of an earlier process are not in the ledger yet; shipping goes on",
        )
        resolve()
      }, withinMs)
    })
    await Promise.race([this.#isReady, late])
    clearTimeout(timer)
  }

  /** There is an end after the row at which the shipper went to sleep. */
  wake(): void {
    this.#say({ kind: "wake" })
  }

  /** Looks for journals of dead processes now, and not only when it is time. */
  adopt(): void {
    this.#say({ kind: "adopt" })
  }

  /** The calls that ended after a row, read from the files; `gap` where they are gone, or where the shipper has died. */
  endedAfter(organizationId: string, afterSeq: number, seeds: readonly LimitSeed[]): Promise<EndedCalls> {
    const question = ++this.#lastQuestion
    return new Promise((resolve) => {
      this.#questions.set(question, { resolve })
      this.#say({ kind: "list ended", question, organizationId, afterSeq, seeds })
    })
  }

  async close(): Promise<void> {
    this.#isClosing = true
    clearTimeout(this.#restartTimer)
    const exit = exitOf(this.#worker, CLOSE_MS_MAX)
    this.#say({ kind: "stop" })
    await exit
  }

  #say(message: MainToShipper): void {
    this.#worker.postMessage(message)
  }

  #startWorker(): Worker {
    const { directory, databaseUrl, rowsPerBatchMax, lingerMs, statementMsMax, adoptEveryMs } = this.#options
    const worker = startShipWorker({
      directory,
      journalId: this.#journalId,
      databaseUrl,
      shippedSeq: this.#shippedSeq,
      rowsPerBatchMax: rowsPerBatchMax ?? 500,
      lingerMs: lingerMs ?? 100,
      statementMsMax: statementMsMax ?? 30_000,
      adoptEveryMs: adoptEveryMs ?? 30_000,
      isAdoptionCounted: this.#options.onAdopted !== undefined,
    })
    worker.on("message", (message: ShipperToMain) => this.#onMessage(message))
    worker.on("error", (error) => {
      this.#error = `the shipper died: ${error instanceof Error ? error.message : String(error)}`
      this.#log.error({ err: error }, "shipper died; another one is started")
    })
    worker.on("exit", () => this.#restart())
    return worker
  }

  #restart(): void {
    for (const { resolve } of this.#questions.values()) resolve({ kind: "gap" })
    this.#questions.clear()
    if (this.#isClosing) return
    this.#restartTimer = setTimeout(() => {
      this.#worker = this.#startWorker()
    }, RESTART_MS)
  }

  #count(journalId: string, adopted: Adopted): void {
    const counting = this.#options.onAdopted?.(adopted)
    if (counting === undefined) return
    this.#counting.set(journalId, [...(this.#counting.get(journalId) ?? []), counting])
  }

  #sayCounted(journalId: string): void {
    const counting = this.#counting.get(journalId) ?? []
    this.#counting.delete(journalId)
    Promise.all(counting).then(
      () => this.#say({ kind: "adoption counted", journalId }),
      (error) => this.#log.error({ err: error, journal: journalId }, "adopted calls could not be counted"),
    )
  }

  #onMessage(message: ShipperToMain): void {
    switch (message.kind) {
      case "idle":
        this.#listener.idle(message.seq)
        break
      case "shipped":
        this.#shippedSeq = message.seq
        this.#listener.shipped(message.seq, message.ends)
        break
      case "ended":
        this.#questions.get(message.question)?.resolve(message.answer)
        this.#questions.delete(message.question)
        break
      case "adopted calls":
        this.#count(message.journalId, message.adopted)
        break
      case "ready":
        if (this.#error?.startsWith("the shipper died")) this.#error = null
        this.#becomeReady()
        break
      case "away":
        this.#error = message.error
        this.#log.warn({ error: message.error }, "ledger is away; records wait in the journal")
        break
      case "back":
        this.#error = null
        this.#log.info("ledger is back")
        break
      case "counted":
        this.#quarantined = message.quarantined
        break
      case "quarantined":
        this.#quarantined = message.total
        this.#log.error({ error: message.error, quarantined: message.total }, "a record was refused by the ledger")
        break
      case "adopted": {
        const { journalId, ended, interrupted } = message
        this.#log.info({ journal: journalId, ended, interrupted }, "records of an earlier process shipped")
        this.#sayCounted(journalId)
        break
      }
      case "damaged":
        this.#log.error({ journal: message.journalId, bytes: message.bytes }, "a damaged journal was set aside")
        break
    }
  }
}
