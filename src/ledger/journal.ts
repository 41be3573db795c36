/**
 * The journal as the rest of the process sees it. A call's start is awaited before its upstream is called; its end is
 * not. Rows of one event-loop tick are one batch and one write. When the file cannot be written the journal says that it
 * is full: no call may go on without its start, and ends wait here until the disk takes them.
 */
import { mkdir } from "node:fs/promises"
import type { Adopted } from "../admission/adopted-calls.ts"
import type { EndedCalls } from "../admission/recovery.ts"
import { uuidv7Mint } from "../platform/ids.ts"
import type { Log } from "../platform/log.ts"
import { Backlog } from "./backlog.ts"
import { BatchPacker, DROP_ROW, END_ROW, readBatches, START_ROW } from "./journal-batch.ts"
import { type JournalLock, type JournalSync, lockJournal, removeJournal } from "./journal-file.ts"
import { JournalSegments, type Segment } from "./journal-segments.ts"
import type { LimitSeed } from "./seed-match.ts"
import { Shipper } from "./shipper.ts"

export type JournalOptions = {
  /** Made when missing; processes of one machine may share it. */
  readonly directory: string
  readonly sync: JournalSync
  /** Calls that may be open or wait for the ledger; at that many no more are taken. */
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
  /** At this size the next segment is begun; 16 MiB by default. */
  readonly segmentBytesMax?: number
  /** How long a segment stays after it was shipped, so that counters can be rebuilt from it; 30,000 by default. */
  readonly keepShippedMs?: number
  /** Told of calls of dead processes once they are in the ledger; their journals are kept until it has resolved. */
  readonly onAdopted?: (adopted: Adopted) => Promise<void>
}

export type JournalStats = {
  /** Ended calls that are not in the ledger yet. */
  readonly backlogRows: number
  /** Calls that are open or not in the ledger yet: what `rowsMax` bounds. */
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

/** A call whose end is not written; it keeps the start's text, in case its segment has to go before the call does. */
type OpenCall = { readonly id: string; readonly body: string; segment: Segment | null }
type ClosingRow = {
  readonly kind: typeof END_ROW | typeof DROP_ROW
  readonly id: string
  readonly body: string
  readonly call: OpenCall | undefined
}
type Batch = {
  readonly starts: OpenCall[]
  /** Calls whose end or drop is in it. */
  readonly closed: OpenCall[]
  /** Place of its newest end among its rows, counted from 1; 0 where it has none. */
  lastEndRow: number
  /** What the starts wait for. */
  readonly written: PromiseWithResolvers<void>
}

/** How long an end may wait for a start to share its write. */
const END_WAIT_MS = 4
const RETRY_MS = 200
const TIDY_EVERY_MS = 1_000
const KEEP_SHIPPED_MS = 30_000
/** Segments before those that only long calls hold back have their starts copied forward. */
const SEGMENTS_HELD_MAX = 8

/** Opens this process's journal and ships what dead processes left, so that the ledger is complete before the first call. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  await mkdir(options.directory, { recursive: true, mode: 0o700 })
  const journalId = uuidv7Mint()(Date.now())
  const lock = lockJournal(options.directory, journalId)
  if (lock === null) throw new Error(`the journal ${journalId} is in use`)
  const journal = new Journal(options, journalId, lock)
  await journal.shipper.ready(options.adoptMsMax ?? 30_000)
  return journal
}

export class Journal {
  /** Name of the file: `journal_id` of the records that come from it. */
  readonly id: string
  readonly shipper: Shipper
  readonly #options: JournalOptions
  readonly #lock: JournalLock
  readonly #log: Log
  readonly #segments: JournalSegments
  readonly #backlog = new Backlog()
  readonly #open = new Map<string, OpenCall>()
  /** The batch that gathers, and the packer to use while the other one's bytes are being written. */
  #packer = new BatchPacker()
  #otherPacker = new BatchPacker()
  #batch = newBatch()
  #isFlushDue = false
  #isWriting = false
  #isSegmentDue = false
  #endTimer: NodeJS.Timeout | undefined
  #retryTimer: NodeJS.Timeout | undefined
  readonly #tidyTimer: NodeJS.Timeout
  /** Ends and drops that the disk has refused. */
  #kept: ClosingRow[] = []
  #nextSeq = 1
  #lastEndSeq = 0
  #shippedSeq = 0
  /** What the shipper has read when it went to sleep; null while it is awake. */
  #shipperIdleAt: number | null = null
  #writeError: string | null = null
  #isClosing = false
  #batchesTaken = 0
  #batchesDone = 0
  #whenDone: { readonly batches: number; resolve(): void }[] = []

  constructor(options: JournalOptions, journalId: string, lock: JournalLock) {
    const { directory, sync, segmentBytesMax } = options
    this.id = journalId
    this.#options = options
    this.#lock = lock
    this.#log = options.log
    const bytesMax = segmentBytesMax === undefined ? {} : { segmentBytesMax }
    this.#segments = new JournalSegments({ directory, journalId, sync, ...bytesMax })
    this.shipper = new Shipper(options, journalId, {
      idle: (seq) => this.#onIdle(seq),
      shipped: (seq, ends) => this.#onShipped(seq, ends),
    })
    this.#tidyTimer = setInterval(() => this.#tidy(Date.now()), TIDY_EVERY_MS).unref()
  }

  /** Resolves when the row is written. `body` is the record (JSON) that the call becomes if this process dies. @throws JournalUnavailable */
  start(id: string, body: string): Promise<void> {
    if (this.#isClosing) return Promise.reject(new JournalUnavailable("the journal is closing"))
    if (this.isFull()) return Promise.reject(new JournalUnavailable(this.#writeError ?? "the journal is full"))
    const call: OpenCall = { id, body, segment: null }
    this.#open.set(id, call)
    this.#batch.starts.push(call)
    this.#packer.add(START_ROW, id, body)
    if (!this.#isFlushDue) {
      this.#isFlushDue = true
      setImmediate(this.#flush)
    }
    return this.#batch.written.promise
  }

  /** Writes the final record (JSON) of a call. Not awaited: until it is written, the start stands for the call. */
  end(id: string, body: string): void {
    this.#backlog.ended(Date.now())
    this.#close({ kind: END_ROW, id, body, call: this.#open.get(id) })
  }

  /** Takes a start back: the call was refused after it, and nothing was forwarded. */
  drop(id: string): void {
    const call = this.#open.get(id)
    if (call !== undefined) this.#close({ kind: DROP_ROW, id, body: "", call })
  }

  /** Ended calls that are not in the ledger yet. */
  backlogRows(): number {
    return this.#backlog.rows
  }

  /** True while no call may begin: too many rows wait, or the disk refuses. */
  isFull(): boolean {
    return this.#open.size + this.#backlog.rows >= this.#options.rowsMax || this.#writeError !== null
  }

  stats(): JournalStats {
    return {
      backlogRows: this.#backlog.rows,
      rows: this.#open.size + this.#backlog.rows,
      bytes: this.#segments.bytes,
      oldestAgeS: this.#backlog.oldestAgeMs(Date.now()) / 1000,
      ingestLagS: this.#backlog.lagMs / 1000,
      shippedTotal: this.#backlog.shippedTotal,
      quarantined: this.shipper.quarantined,
      lastError: this.#writeError ?? this.shipper.error,
    }
  }

  /** An organization's calls that ended after a row of this journal, read back from its files. */
  async endedAfter(organizationId: string, afterSeq: number, seeds: readonly LimitSeed[] = []): Promise<EndedCalls> {
    await this.#allWritten()
    return this.shipper.endedAfter(organizationId, afterSeq, seeds)
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

  /** Writes what was added, stops shipping and frees the files. What is not shipped by then stays in them for the next process. */
  async close(): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    if (this.#kept.length > 0) this.#retry()
    await this.#allWritten()
    await this.shipper.close()
    clearInterval(this.#tidyTimer)
    clearTimeout(this.#retryTimer)
    clearTimeout(this.#endTimer)
    this.#segments.close()
    if (this.#open.size === 0 && this.#backlog.rows === 0) removeJournal(this.#options.directory, this.id, this.#lock)
    else this.#lock.release()
  }

  #close({ kind, id, body, call }: ClosingRow): void {
    this.#packer.add(kind, id, body)
    if (kind === END_ROW) this.#batch.lastEndRow = this.#packer.rows
    if (call !== undefined) {
      this.#open.delete(id)
      this.#batch.closed.push(call)
    }
    if (!this.#isFlushDue) this.#endTimer ??= setTimeout(this.#flush, END_WAIT_MS)
  }

  /** Writes the batch that has gathered, unless one is being written: then it leaves right after it. */
  readonly #flush = (): void => {
    this.#isFlushDue = false
    if (this.#isWriting) return
    clearTimeout(this.#endTimer)
    this.#endTimer = undefined
    if (this.#packer.rows === 0) return
    const batch = this.#batch
    const rows = this.#packer.rows
    const bytes = this.#packer.take(this.#nextSeq)
    this.#batch = newBatch()
    ;[this.#packer, this.#otherPacker] = [this.#otherPacker, this.#packer]
    this.#isWriting = true
    this.#batchesTaken++
    this.#segments.write(bytes, Date.now(), (error) => {
      this.#isWriting = false
      this.#batchesDone++
      if (error === null) this.#onWritten(batch, rows)
      else this.#onRefused(batch, bytes, error)
      for (const waiting of this.#whenDone) if (waiting.batches <= this.#batchesDone) waiting.resolve()
      if (this.#packer.rows > 0 && this.#writeError === null) this.#flush()
    })
  }

  #onWritten(batch: Batch, rows: number): void {
    const segment = this.#segments.current
    for (const call of batch.starts) {
      // A start that was dropped meanwhile is none any more.
      if (this.#open.get(call.id) !== call) continue
      if (call.segment !== null) call.segment.openStarts--
      call.segment = segment
      segment.openStarts++
    }
    // Where a start was still unwritten when it was dropped, no segment counts it.
    for (const call of batch.closed) if (call.segment !== null) call.segment.openStarts--
    if (batch.lastEndRow > 0) {
      this.#lastEndSeq = this.#nextSeq + batch.lastEndRow - 1
      segment.lastEndSeq = this.#lastEndSeq
    }
    this.#nextSeq += rows
    if (this.#writeError !== null) {
      this.#writeError = null
      this.#log.info("journal can be written again")
    }
    batch.written.resolve()
    this.#segments.rotate(this.#nextSeq, this.#isSegmentDue)
    this.#isSegmentDue = false
    if (batch.lastEndRow > 0) this.#wakeShipper()
  }

  /** Nothing of the batch counts: its starts are refused, its ends and drops wait. */
  #onRefused(batch: Batch, bytes: Buffer, cause: Error): void {
    const error = new JournalUnavailable(`the journal could not be written: ${cause.message}`)
    if (this.#writeError === null) this.#log.error({ error: cause.message }, "journal cannot be written")
    this.#writeError = error.message
    const closed = new Map(batch.closed.map((call) => [call.id, call]))
    for (const { kind, id, body } of readBatches(bytes).batches.flatMap(({ rows }) => rows)) {
      if (kind === END_ROW || kind === DROP_ROW) this.#kept.push({ kind, id, body, call: closed.get(id) })
    }
    for (const call of batch.starts) if (call.segment === null) this.#open.delete(call.id)
    batch.written.reject(error)
    this.#retryTimer ??= setTimeout(() => this.#retry(), RETRY_MS)
  }

  /** Tries the disk again with what it has refused. */
  #retry(): void {
    this.#retryTimer = undefined
    for (const row of this.#kept.splice(0)) this.#close(row)
    // A disk that refused nothing but starts has nothing to try with: a row that changes nothing will do.
    if (this.#packer.rows === 0) this.#packer.add(DROP_ROW, "-", "")
    this.#flush()
  }

  /** Resolves when everything that was added by now is written, or was refused. */
  async #allWritten(): Promise<void> {
    this.#flush()
    const batches = this.#batchesTaken + (this.#packer.rows > 0 ? 1 : 0)
    if (batches <= this.#batchesDone) return
    await new Promise<void>((resolve) => this.#whenDone.push({ batches, resolve }))
    this.#whenDone = this.#whenDone.filter((waiting) => waiting.batches > this.#batchesDone)
  }

  #onIdle(seq: number): void {
    this.#shipperIdleAt = seq
    this.#wakeShipper()
  }

  #wakeShipper(): void {
    if (this.#shipperIdleAt === null || this.#lastEndSeq <= this.#shipperIdleAt) return
    this.#shipperIdleAt = null
    this.shipper.wake()
  }

  #onShipped(seq: number, ends: number): void {
    this.#shippedSeq = seq
    this.#backlog.shipped(ends, Date.now())
    this.#tidy(Date.now())
  }

  /** Begins another segment, so that what stands in this one is gone from the disk soon after it was shipped. */
  beginSegment(): void {
    if (this.#isWriting) this.#isSegmentDue = true
    else this.#segments.rotate(this.#nextSeq, true)
  }

  /** Removes segments that nothing needs any more, oldest first, so that no crash leaves a start whose end is gone. */
  #tidy(nowMs: number): void {
    for (const segment of this.#segments.all()) {
      if (segment.shippedAtMs === null && segment.lastEndSeq <= this.#shippedSeq) segment.shippedAtMs = nowMs
      if (segment.lastEndSeq > this.#shippedSeq) segment.shippedAtMs = null
    }
    const keepMs = this.#options.keepShippedMs ?? KEEP_SHIPPED_MS
    const isShipped = ({ shippedAtMs }: Segment) => shippedAtMs !== null && nowMs - shippedAtMs >= keepMs
    while (this.#segments.count > 1 && isShipped(this.#segments.oldest)) {
      const { oldest } = this.#segments
      if (oldest.openStarts > 0) {
        if (this.#segments.count > SEGMENTS_HELD_MAX) this.#copyForward(oldest)
        return
      }
      this.#segments.removeOldest()
    }
  }

  /** Writes the starts of a segment's open calls once more, so that the segment can go before they end. */
  #copyForward(segment: Segment): void {
    if (this.#isWriting || this.#writeError !== null) return
    for (const call of this.#open.values()) {
      if (call.segment !== segment) continue
      this.#packer.add(START_ROW, call.id, call.body)
      this.#batch.starts.push(call)
    }
    this.#flush()
  }
}

function newBatch(): Batch {
  const written = Promise.withResolvers<void>()
  // Who waits hears of a failure; a batch of ends alone has nobody waiting.
  written.promise.catch(() => undefined)
  return { starts: [], closed: [], lastEndRow: 0, written }
}
