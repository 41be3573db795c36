/**
 * The journal's thread: holds the file and its lock, and commits whenever its queue is drained. There is no timer: while a
 * commit runs the next batches gather, so batches grow with the load by themselves.
 */
import type { DatabaseSync } from "node:sqlite"
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads"
import { unpackActs } from "./journal-acts.ts"
import {
  type JournalLock,
  type JournalPaths,
  journalPaths,
  lockJournal,
  openJournalFile,
  removeJournal,
} from "./journal-file.ts"
import type {
  JournalActs,
  JournalToMain,
  JournalToShipper,
  JournalWorkerData,
  MainToJournal,
  ShipperToJournal,
} from "./journal-protocol.ts"
import { JournalWriter } from "./journal-writer.ts"

const RETRY_MS = 200

class JournalThread {
  readonly #main: MessagePort
  readonly #paths: JournalPaths
  readonly #lock: JournalLock
  readonly #database: DatabaseSync
  readonly #writer: JournalWriter
  #shipper: MessagePort | null = null
  /** What the shipper has read when it went to sleep; null while it is awake. */
  #shipperIdleAt: number | null = null
  #shippedSeq = 0
  #waiting: JournalActs[] = []
  #batchesAnswered = 0
  #retryTimer: NodeJS.Timeout | undefined
  #isClosing = false

  constructor(main: MessagePort, data: JournalWorkerData) {
    this.#main = main
    this.#paths = journalPaths(data.directory, data.journalId)
    const lock = lockJournal(this.#paths)
    if (lock === null) throw new Error(`the journal ${this.#paths.data} is in use`)
    this.#lock = lock
    this.#database = openJournalFile(this.#paths, data.sync)
    this.#writer = new JournalWriter(this.#database)
    main.on("message", (message: MainToJournal) => {
      this.#onMain(message)
      this.#drain()
    })
    this.#tell({ kind: "opened" })
  }

  #onMain(message: MainToJournal): void {
    if (message instanceof Uint8Array) this.#waiting.push(unpackActs(message))
    else if (message.kind === "shipper") this.#attachShipper(message.port)
    else this.#isClosing = true
  }

  /** Takes everything that was posted by now into one commit. */
  #drain(): void {
    for (const message of takeAll<MainToJournal>(this.#main)) this.#onMain(message)
    if (this.#waiting.length > 0) this.#commit()
    if (this.#isClosing) this.#close()
  }

  #commit(): void {
    const batches = this.#waiting
    this.#waiting = []
    this.#batchesAnswered += batches.length
    const answer = this.#writer.commit(batches)
    if (answer.kind === "failed") {
      this.#tell({ kind: "failed", batches: this.#batchesAnswered, error: answer.error })
      this.#retryLater()
      return
    }
    // Only starts are waited for, and a message costs the main thread more than the row did.
    if (answer.starts > 0) this.#tell({ kind: "committed", batches: this.#batchesAnswered })
    if (answer.dropped > 0) this.#tell({ kind: "removed", rows: answer.dropped, ends: 0 })
    this.#wakeShipper()
  }

  #retry(): void {
    const answer = this.#writer.retry()
    if (answer.kind === "failed") {
      this.#retryLater()
      return
    }
    if (answer.dropped > 0) this.#tell({ kind: "removed", rows: answer.dropped, ends: 0 })
    this.#tell({ kind: "writable" })
    this.#purge()
    this.#wakeShipper()
  }

  #retryLater(): void {
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined
      this.#retry()
    }, RETRY_MS)
  }

  #attachShipper(port: MessagePort): void {
    this.#shipper?.close()
    this.#shipper = port
    this.#shipperIdleAt = null
    port.on("message", (message: ShipperToJournal) => this.#onShipper(message))
  }

  #onShipper(message: ShipperToJournal): void {
    if (message.kind === "idle") {
      this.#shipperIdleAt = message.seq
      this.#wakeShipper()
    } else {
      this.#shippedSeq = message.seq
      this.#purge()
    }
  }

  /** A full disk may refuse even this: deleting needs room in the write-ahead log. */
  #purge(): void {
    const answer = this.#writer.purge(this.#shippedSeq)
    if (answer.kind === "failed") this.#retryLater()
    else if (answer.rows > 0) this.#tell({ kind: "removed", rows: answer.rows, ends: answer.ends })
  }

  #wakeShipper(): void {
    if (this.#shipper === null || this.#shipperIdleAt === null) return
    if (this.#writer.lastEndSeq <= this.#shipperIdleAt) return
    this.#shipperIdleAt = null
    this.#shipper.postMessage({ kind: "wake" } satisfies JournalToShipper)
  }

  /** The shipper has stopped before: what it said last is read, then the file goes if nothing is left in it. */
  #close(): void {
    clearTimeout(this.#retryTimer)
    if (this.#shipper !== null) {
      for (const message of takeAll<ShipperToJournal>(this.#shipper)) this.#onShipper(message)
      this.#shipper.close()
    }
    clearTimeout(this.#retryTimer)
    if (this.#writer.keptActs > 0) this.#writer.retry()
    const isEmpty = this.#writer.isEmpty()
    this.#database.close()
    if (isEmpty) removeJournal(this.#paths, this.#lock)
    else this.#lock.release()
    this.#main.close()
  }

  #tell(message: JournalToMain): void {
    this.#main.postMessage(message)
  }
}

function takeAll<Message>(port: MessagePort): Message[] {
  const messages: Message[] = []
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
    messages.push(next.message)
  }
  return messages
}

if (parentPort !== null) new JournalThread(parentPort, workerData)
