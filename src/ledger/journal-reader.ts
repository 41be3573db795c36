/**
 * Reads a journal forward, from segment to segment, while its process may still write it: rows come in the order of
 * their sequences, and what is not complete yet is read again later.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs"
import { type JournalRow, readBatches } from "./journal-batch.ts"
import { listSegments, type SegmentFile } from "./journal-file.ts"

const CHUNK_BYTES = 1024 * 1024

type OpenSegment = {
  readonly fd: number
  readonly firstSeq: number
  at: number
  /** A later segment was seen, so nothing is added to this one any more. */
  isFinished: boolean
}

export class JournalReader {
  readonly #directory: string
  readonly #journalId: string
  /** Rows up to this one are of no interest. */
  readonly #afterSeq: number
  /** Read into again and again: rows are texts of their own. */
  readonly #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  #segment: OpenSegment | null = null
  #firstSeq: number | null = null
  #damagedBytes = 0

  /** Reads the rows after a sequence; 0 for all there are. */
  constructor(directory: string, journalId: string, afterSeq: number) {
    this.#directory = directory
    this.#journalId = journalId
    this.#afterSeq = afterSeq
  }

  /** Sequence at which the oldest segment begins that was there; null where none was. */
  get firstSeq(): number | null {
    return this.#firstSeq
  }

  /** Bytes so far that could not be read although rows follow them. */
  get damagedBytes(): number {
    return this.#damagedBytes
  }

  /** The next rows, about `rowsMax` of them; none where there is no more for now. */
  read(rowsMax: number): JournalRow[] {
    const rows: JournalRow[] = []
    while (rows.length < rowsMax) {
      const segment = this.#segment ?? this.#open(this.#firstFile())
      if (segment === null) break
      const read = this.#readSegment(segment, rowsMax - rows.length)
      if (read !== null) rows.push(...read)
      else if (!this.#advance(segment)) break
    }
    return rows
  }

  close(): void {
    if (this.#segment !== null) closeSync(this.#segment.fd)
    this.#segment = null
  }

  /** Rows of the next whole batches; null where there is none for now. */
  #readSegment(segment: OpenSegment, rowsMax: number): JournalRow[] | null {
    const size = fstatSync(segment.fd).size
    for (let length = CHUNK_BYTES; segment.at < size; length *= 4) {
      const wanted = Math.min(length, size - segment.at)
      const chunk = wanted <= CHUNK_BYTES ? this.#chunk : Buffer.allocUnsafeSlow(wanted)
      const bytes = chunk.subarray(0, readSync(segment.fd, chunk, 0, wanted, segment.at))
      const { batches, used, damagedBytes } = readBatches(bytes, rowsMax)
      this.#damagedBytes += damagedBytes
      segment.at += used
      if (batches.length > 0) return batches.flatMap(({ rows }) => rows.filter(({ seq }) => seq > this.#afterSeq))
      // A batch may be longer than the chunk; where everything was read, what is left is no whole batch.
      if (segment.at + bytes.length >= size) break
    }
    return null
  }

  /** Goes on to the next segment where there is one. A segment is followed by another only once it is finished. */
  #advance(segment: OpenSegment): boolean {
    const next = this.#files().find(({ firstSeq }) => firstSeq > segment.firstSeq)
    if (next === undefined) return false
    // What was written between the last look at this segment and the making of the next one.
    if (!segment.isFinished) {
      segment.isFinished = true
      return true
    }
    this.#damagedBytes += fstatSync(segment.fd).size - segment.at
    return this.#open(next) !== null
  }

  #firstFile(): SegmentFile | undefined {
    const files = this.#files()
    this.#firstSeq ??= files[0]?.firstSeq ?? null
    // The newest one that begins no later than what is looked for.
    return files.findLast(({ firstSeq }) => firstSeq <= this.#afterSeq + 1) ?? files[0]
  }

  #files(): SegmentFile[] {
    return listSegments(this.#directory, this.#journalId)
  }

  #open(file: SegmentFile | undefined): OpenSegment | null {
    if (file === undefined) return null
    this.close()
    this.#segment = { fd: openSync(file.path, "r"), firstSeq: file.firstSeq, at: 0, isFinished: false }
    return this.#segment
  }
}
