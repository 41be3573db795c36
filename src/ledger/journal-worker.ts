/**
 * The journal's thread: holds the file and its lock, and commits whenever its queue is drained. There is no timer: while a
 * commit runs the next batches gather, so batches grow with the load by themselves.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads"
import { journalPaths, lockJournal, openJournalFile, removeJournal } from "./journal-file.ts"
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

function run(main: MessagePort, data: JournalWorkerData): void {
  const paths = journalPaths(data.directory, data.journalId)
  const lock = lockJournal(paths)
  if (lock === null) throw new Error(`the journal ${paths.data} is in use`)
  const database = openJournalFile(paths, data.sync)
  const writer = new JournalWriter(database)
  let shipper: MessagePort | null = null
  /** What the shipper has read when it went to sleep; null while it is awake. */
  let shipperIdleAt: number | null = null
  let isClosing = false
  let retryTimer: NodeJS.Timeout | undefined
  let batchesAnswered = 0
  let waiting: JournalActs[] = []

  const tell = (message: JournalToMain) => main.postMessage(message)

  function onMain(message: MainToJournal): void {
    if (!("kind" in message)) waiting.push(message)
    else if (message.kind === "shipper") attachShipper(message.port)
    else isClosing = true
  }

  function drain(): void {
    for (let next = receiveMessageOnPort(main); next !== undefined; next = receiveMessageOnPort(main)) {
      onMain(next.message)
    }
    if (waiting.length > 0) commit()
    if (isClosing) close()
  }

  function commit(): void {
    const batches = waiting
    waiting = []
    batchesAnswered += batches.length
    const answer = writer.commit(batches)
    if (answer.kind === "failed") {
      tell({ kind: "failed", batches: batchesAnswered, error: answer.error })
      retryTimer ??= setTimeout(retry, RETRY_MS)
      return
    }
    tell({ kind: "committed", batches: batchesAnswered })
    if (answer.dropped > 0) tell({ kind: "removed", rows: answer.dropped })
    wakeShipper()
  }

  function retry(): void {
    retryTimer = undefined
    const answer = writer.retry()
    if (answer.kind === "failed") {
      retryTimer = setTimeout(retry, RETRY_MS)
      return
    }
    if (answer.dropped > 0) tell({ kind: "removed", rows: answer.dropped })
    tell({ kind: "writable" })
    wakeShipper()
  }

  function attachShipper(port: MessagePort): void {
    shipper?.close()
    shipper = port
    shipperIdleAt = null
    port.on("message", onShipper)
  }

  function onShipper(message: ShipperToJournal): void {
    if (message.kind === "idle") {
      shipperIdleAt = message.seq
      wakeShipper()
    } else {
      const rows = writer.purge(message.seq)
      if (rows > 0) tell({ kind: "removed", rows })
    }
  }

  function wakeShipper(): void {
    if (shipper === null || shipperIdleAt === null || writer.lastEndSeq <= shipperIdleAt) return
    shipperIdleAt = null
    shipper.postMessage({ kind: "wake" } satisfies JournalToShipper)
  }

  /** The shipper has stopped before: what it said last is read, then the file goes if nothing is left in it. */
  function close(): void {
    if (shipper !== null) {
      for (let next = receiveMessageOnPort(shipper); next !== undefined; next = receiveMessageOnPort(shipper)) {
        onShipper(next.message)
      }
      shipper.close()
    }
    clearTimeout(retryTimer)
    if (writer.keptActs > 0) writer.retry()
    const isEmpty = writer.isEmpty()
    database.close()
    if (isEmpty) removeJournal(paths, lock as NonNullable<typeof lock>)
    else lock?.release()
    main.close()
  }

  main.on("message", (message: MainToJournal) => {
    onMain(message)
    drain()
  })
  tell({ kind: "opened" })
}

if (parentPort !== null) run(parentPort, workerData as JournalWorkerData)
