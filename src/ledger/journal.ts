/**
 * The journal as the rest of the process sees it. A call's start is awaited before its upstream is called; its end is
 * not. Rows of one event-loop tick are posted together to a worker thread, since a message costs more than a row.
 * When the file cannot be written the journal says that it is full: no call may go on without its start.
 */
import { mkdir } from "node:fs/promises"
import type { Worker } from "node:worker_threads"
import { uuidv7Mint } from "../platform/ids.ts"
import type { Log } from "../platform/log.ts"
import { Backlog } from "./backlog.ts"
import { ActPacker } from "./journal-acts.ts"
import { type JournalPaths, type JournalSync, journalBytes, journalPaths } from "./journal-file.ts"
import { DROP_ACT, END_ACT, type JournalToMain, type MainToJournal, START_ACT } from "./journal-protocol.ts"
import { exitOf, startJournalWorker } from "./journal-threads.ts"
import { Shipper } from "./shipper.ts"

export type JournalOptions = {
  /** Made when missing; processes of one machine may share it. */
  readonly directory: string
  readonly sync: JournalSync
  /** Rows (starts and ends) in the file at which no more calls are taken. */
  readonly rowsMax: number
  readonly databaseUrl: string
  readonly log: Log
  /** Rows of one statement; 500 by default. */
  readonly rowsPerBatchMax?: number
  /** How long the shipper lets a batch that is not full grow; 100 by default. */
  readonly lingerMs?: number
  /** After this a statement counts as lost and is sent again; 30,000 by default. */
  readonly statementMsMax?: number
  /** How long opening waits for journals of dead processes to be shipped; 30,000 by default. They go on after that. */
  readonly adoptMsMax?: number
  /** How often journals of processes that died meanwhile are looked for; 30,000 by default. */
  readonly adoptEveryMs?: number
}

export type JournalStats = {
  /** Ended calls that are not in the ledger yet. */
  readonly backlogRows: number
  /** Rows in the file, open calls included: what `rowsMax` bounds. */
  readonly rows: number
  readonly bytes: number
  /** Age of the oldest ended call that is not in the ledger; 0 where there is none. */
  readonly oldestAgeS: number
  /** How long the newest shipped call waited. */
  readonly ingestLagS: number
  readonly shippedTotal: number
  readonly quarantined: number
  /** What keeps rows from being written or shipped at the moment; null where nothing does. */
  readonly lastError: string | null
}

/** The start was not written: the call must not be forwarded. */
export class JournalUnavailable extends Error {}

type Waiting = { readonly batch: number; resolve(): void; reject(error: Error): void }

const CLOSE_MS_MAX = 10_000
/** How long an end may wait for a start to share its message: a message costs more than the two rows of a call. */
const END_WAIT_MS = 4

/** Opens this process's journal and ships what dead processes left, so that the ledger is complete before the first call. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  await mkdir(options.directory, { recursive: true, mode: 0o700 })
  const paths = journalPaths(options.directory, uuidv7Mint()(Date.now()))
  const worker = await startJournalWorker({ directory: options.directory, journalId: paths.id, sync: options.sync })
  const journal = new Journal(options, paths, worker)
  await journal.shipper.ready(options.adoptMsMax ?? 30_000)
  return journal
}

export class Journal {
  /** Id of the file: `journal_id` of the records that come from it. */
  readonly id: string
  readonly shipper: Shipper
  readonly #paths: JournalPaths
  readonly #worker: Worker
  readonly #log: Log
  readonly #rowsMax: number
  readonly #backlog = new Backlog()
  readonly #acts = new ActPacker()
  /** Whether the batch holds a start. */
  #hasStart = false
  #isPostDue = false
  /** Posted starts are not answered yet. */
  #isCommitting = false
  #endTimer: NodeJS.Timeout | undefined
  #batchesPosted = 0
  #batchesAnswered = 0
  #waiting: Waiting[] = []
  #rows = 0
  #writeError: string | null = null
  #isClosing = false

  constructor(options: JournalOptions, paths: JournalPaths, worker: Worker) {
    this.id = paths.id
    this.#paths = paths
    this.#worker = worker
    this.#log = options.log
    this.#rowsMax = options.rowsMax
    worker.on("message", (message: JournalToMain) => this.#onMessage(message))
    worker.on("error", (error) => this.#onDeath(error))
    worker.on("exit", () => this.#onDeath(new Error("the journal's thread has ended")))
    this.shipper = new Shipper(options, paths.id, (port) => this.#post({ kind: "shipper", port }))
  }

  /** Resolves when the row is committed. `body` is the record (JSON) that the call becomes if this process dies. @throws JournalUnavailable */
  start(id: string, body: string): Promise<void> {
    if (this.#isClosing) return Promise.reject(new JournalUnavailable("the journal is closing"))
    if (this.isFull()) return Promise.reject(new JournalUnavailable(this.#writeError ?? "the journal is full"))
    this.#add(START_ACT, id, body)
    this.#rows++
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch: this.#batchesPosted + 1, resolve, reject })
    })
  }

  /** Writes the final record (JSON) of a call. Not awaited: until it is committed, the start stands for the call. */
  end(id: string, body: string): void {
    this.#add(END_ACT, id, body)
    this.#rows++
    this.#backlog.ended(Date.now())
  }

  /** Takes a start back: the call was refused after it, and nothing was forwarded. */
  drop(id: string): void {
    this.#add(DROP_ACT, id, "")
  }

  /** Ended calls that are not in the ledger yet. */
  backlogRows(): number {
    return this.#backlog.rows
  }

  /** True while no call may begin: too many rows wait, the disk refuses, or the journal's thread has died. */
  isFull(): boolean {
    return this.#rows >= this.#rowsMax || this.#writeError !== null
  }

  stats(): JournalStats {
    return {
      backlogRows: this.#backlog.rows,
      rows: this.#rows,
      bytes: journalBytes(this.#paths),
      oldestAgeS: this.#backlog.oldestAgeMs(Date.now()) / 1000,
      ingestLagS: this.#backlog.lagMs / 1000,
      shippedTotal: this.#backlog.shippedTotal,
      quarantined: this.shipper.quarantined,
      lastError: this.#writeError ?? this.shipper.error,
    }
  }

  /** Waits until every call that has ended so far is in the ledger; false where that took longer. */
  async flush(timeoutMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs)
    })
    try {
      return await Promise.race([this.#backlog.emptied().then(() => true), late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Commits what was added, stops shipping and frees the file. What is not shipped by then stays in it for the next process. */
  async close(): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#postActs()
    await this.shipper.close()
    const exit = exitOf(this.#worker, CLOSE_MS_MAX)
    this.#post({ kind: "close" })
    await exit
  }

  /**
   * A start leaves with its tick, or when the commit under way is answered, since by then more have gathered; an end or
   * a drop leaves with the next start, or alone a moment later.
   */
  #add(act: string, id: string, body: string): void {
    this.#acts.add(act, id, body)
    if (act === START_ACT) this.#hasStart = true
    if (this.#isPostDue || this.#isCommitting) return
    if (act === START_ACT) {
      this.#isPostDue = true
      setImmediate(() => this.#postActs())
    } else this.#endTimer ??= setTimeout(() => this.#postActs(), END_WAIT_MS)
  }

  #postActs(): void {
    this.#isPostDue = false
    clearTimeout(this.#endTimer)
    this.#endTimer = undefined
    if (this.#acts.isEmpty) return
    this.#isCommitting = this.#hasStart
    this.#hasStart = false
    this.#batchesPosted++
    this.#post(this.#acts.take())
  }

  #post(message: MainToJournal): void {
    if (message instanceof Uint8Array) this.#worker.postMessage(message, [message.buffer])
    else this.#worker.postMessage(message, message.kind === "shipper" ? [message.port] : [])
  }

  #onMessage(message: JournalToMain): void {
    switch (message.kind) {
      case "committed":
        for (const waiting of this.#answered(message.batches)) waiting.resolve()
        break
      case "failed": {
        const error = new JournalUnavailable(`the journal could not be written: ${message.error}`)
        if (this.#writeError === null) this.#log.error({ error: message.error }, "journal cannot be written")
        this.#writeError = error.message
        for (const waiting of this.#answered(message.batches)) {
          this.#rows--
          waiting.reject(error)
        }
        break
      }
      case "writable":
        this.#writeError = null
        this.#log.info("journal can be written again")
        break
      case "removed":
        this.#rows -= message.rows
        this.#backlog.shipped(message.ends, Date.now())
        break
      case "opened":
        break
    }
  }

  #answered(batches: number): Waiting[] {
    this.#batchesAnswered = batches
    this.#isCommitting = false
    this.#postActs()
    const open = this.#waiting.findIndex((waiting) => waiting.batch > this.#batchesAnswered)
    return this.#waiting.splice(0, open === -1 ? this.#waiting.length : open)
  }

  #onDeath(error: unknown): void {
    const cause = error instanceof Error ? error : new Error(String(error))
    if (!this.#isClosing && this.#writeError === null) this.#log.fatal({ err: cause }, "journal's thread died")
    this.#writeError = `the journal's thread died: ${cause.message}`
    for (const waiting of this.#waiting.splice(0)) waiting.reject(new JournalUnavailable(this.#writeError, { cause }))
  }
}
