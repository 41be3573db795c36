/**
 * Writes the segments of one journal. A batch is one write at a place of its own, so that a write which failed is
 * written over by the next one. Small writes go straight to the kernel, which takes some microseconds where a thread
 * would cost tens; a disk that has been slow once is written to from a thread for a while, and so is one that every
 * batch must have reached (`sync: power`).
 */
import { close, closeSync, fdatasync, fsyncSync, ftruncateSync, openSync, rmSync, write, writeSync } from "node:fs"
import { asError } from "../platform/as-error.ts"
import { type JournalSync, segmentPath } from "./journal-file.ts"

export type Segment = {
  readonly firstSeq: number
  readonly path: string
  bytes: number
  /** Newest end in it; 0 before the first. */
  lastEndSeq: number
  /** Starts in it whose calls are open. */
  openStarts: number
  /** When the last of its ends was shipped; null before. */
  shippedAtMs: number | null
}

const SEGMENT_BYTES_MAX = 16 * 1024 * 1024
/** A write that takes longer than this holds up every stream of the process. */
const SLOW_WRITE_MS = 20
const WARY_MS = 10_000

export type JournalSegmentsOptions = {
  readonly directory: string
  readonly journalId: string
  readonly sync: JournalSync
  readonly segmentBytesMax?: number
}

export class JournalSegments {
  readonly #options: JournalSegmentsOptions
  /** Oldest first; the last one is written. */
  readonly #segments: Segment[] = []
  #fd: number
  #waryUntilMs = 0

  constructor(options: JournalSegmentsOptions) {
    this.#options = options
    this.#fd = this.#openSegment(1)
  }

  get current(): Segment {
    const segment = this.#segments.at(-1)
    if (segment === undefined) throw new Error("a journal has no segment")
    return segment
  }

  get oldest(): Segment {
    return this.#segments[0] ?? this.current
  }

  get count(): number {
    return this.#segments.length
  }

  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** All segments, oldest first. */
  all(): readonly Segment[] {
    return this.#segments
  }

  /** Writes a batch; `done` is called when it is written, with what kept it from being so otherwise; perhaps at once. */
  write(batch: Buffer, nowMs: number, done: (error: Error | null) => void): void {
    const segment = this.current
    const written = (error: Error | null) => {
      if (error === null) segment.bytes += batch.length
      done(error)
    }
    if (this.#options.sync === "power" || nowMs < this.#waryUntilMs) this.#writeOnThread(batch, segment.bytes, written)
    else this.#writeNow(batch, segment.bytes, nowMs, written)
  }

  /** Begins the next segment where this one is large enough, or `isDue` and not empty. */
  rotate(nextSeq: number, isDue = false): void {
    const bytesMin = isDue ? 1 : (this.#options.segmentBytesMax ?? SEGMENT_BYTES_MAX)
    if (this.current.bytes < bytesMin) return
    const full = this.#fd
    // A write that failed may have left bytes behind the last batch.
    ftruncateSync(full, this.current.bytes)
    this.#fd = this.#openSegment(nextSeq)
    close(full)
  }

  /** Deletes the oldest segment, which is not the one that is written. */
  removeOldest(): void {
    if (this.#segments.length < 2) return
    const oldest = this.#segments.shift()
    if (oldest !== undefined) rmSync(oldest.path, { force: true })
  }

  close(): void {
    closeSync(this.#fd)
  }

  #writeNow(batch: Buffer, position: number, nowMs: number, done: (error: Error | null) => void): void {
    try {
      const count = writeSync(this.#fd, batch, 0, batch.length, position)
      const tookMs = Date.now() - nowMs
      if (tookMs > SLOW_WRITE_MS) this.#waryUntilMs = nowMs + WARY_MS
      done(count === batch.length ? null : shortWrite(count, batch.length))
    } catch (error) {
      done(asError(error))
    }
  }

  #writeOnThread(batch: Buffer, position: number, done: (error: Error | null) => void): void {
    const fd = this.#fd
    write(fd, batch, 0, batch.length, position, (error, count) => {
      if (error !== null || count < batch.length) done(error ?? shortWrite(count, batch.length))
      else if (this.#options.sync === "power") fdatasync(fd, done)
      else done(null)
    })
  }

  #openSegment(firstSeq: number): number {
    const { directory, journalId, sync } = this.#options
    const path = segmentPath(directory, journalId, firstSeq)
    const fd = openSync(path, "w", 0o600)
    // A file that a power cut takes out of its folder takes its rows along.
    if (sync === "power") syncFolder(directory)
    this.#segments.push({ firstSeq, path, bytes: 0, lastEndSeq: 0, openStarts: 0, shippedAtMs: null })
    return fd
  }
}

function syncFolder(directory: string): void {
  const fd = openSync(directory, "r")
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function shortWrite(count: number, wanted: number): Error {
  return new Error(`the disk took ${count} of ${wanted} bytes`)
}
