/**
 * The bytes of the journal: batches of rows, each batch one write. A batch is a header line of fixed length and one line
 * a row, so that a person can read a journal with `grep`. A batch counts as a whole or not at all: the header says its
 * length and its CRC-32, and one that was torn by a kill or a power cut was never acknowledged.
 *
 * Header: `tg1 <sequence of its first row> <rows> <bytes of the rows> <CRC-32 of the header up to here and the rows>`.
 * Row: its kind, the call's id, a space, the record's JSON.
 */
import { crc32 } from "node:zlib"

/** Kinds of rows: a call that began, with the record it becomes if the process dies; its final record; a start taken back. */
export const START_ROW = "s"
export const END_ROW = "e"
export const DROP_ROW = "d"
export type RowKind = typeof START_ROW | typeof END_ROW | typeof DROP_ROW

export type JournalRow = {
  readonly seq: number
  readonly kind: string
  readonly id: string
  /** The record as JSON; '' for a drop. */
  readonly body: string
}

export type JournalBatch = {
  readonly firstSeq: number
  readonly rows: readonly JournalRow[]
}

const MAGIC = "tg1 "
/** Magic, 16 + 1 + 8 + 1 + 10 + 1 + 8 characters and a line feed. */
const HEAD_BYTES = 50
const HEAD = /^(tg1 (\d{16}) (\d{8}) (\d{10}) )([0-9a-f]{8})\n$/
const NEXT_HEAD = Buffer.from(MAGIC)
const PACKED_BYTES_MIN = 64 * 1024
/** A batch's memory is kept for the next one up to this. */
const PACKED_BYTES_KEPT_MAX = 4 * 1024 * 1024
/** Kind, space and line feed. */
const FRAME_UNITS = 3
const LINE_FEED = 0x0a
const SPACE = 0x20
/** UTF-8 needs at most three bytes for a UTF-16 unit. */
const BYTES_PER_UNIT = 3

/** Packs rows into one batch after the other, in memory of its own that is used again. */
export class BatchPacker {
  #buffer = Buffer.allocUnsafeSlow(PACKED_BYTES_MIN)
  #used = HEAD_BYTES
  #rows = 0

  get rows(): number {
    return this.#rows
  }

  add(kind: RowKind, id: string, body: string): void {
    this.#reserve((id.length + body.length + FRAME_UNITS) * BYTES_PER_UNIT)
    // Not joined to one string first: that would be copied once more.
    const bodyAt = this.#used + this.#buffer.write(`${kind}${id} `, this.#used)
    const end = bodyAt + this.#buffer.write(body, bodyAt)
    this.#buffer[end] = LINE_FEED
    // Between JSON's tokens a line feed is as good as a space, and inside them there is none.
    for (let at = this.#buffer.indexOf(LINE_FEED, bodyAt); at < end; at = this.#buffer.indexOf(LINE_FEED, at)) {
      this.#buffer[at] = SPACE
    }
    this.#used = end + 1
    this.#rows++
  }

  /** The batch of what was added; its bytes are good until the next `add`, which begins a new batch. */
  take(firstSeq: number): Buffer {
    const rows = this.#buffer.subarray(HEAD_BYTES, this.#used)
    const digits = (value: number, length: number) => String(value).padStart(length, "0")
    const told = `${MAGIC}${digits(firstSeq, 16)} ${digits(this.#rows, 8)} ${digits(rows.length, 10)} `
    const checksum = crc32(rows, crc32(told)).toString(16).padStart(8, "0")
    this.#buffer.write(`${told}${checksum}\n`, 0, HEAD_BYTES, "latin1")
    const batch = this.#buffer.subarray(0, this.#used)
    this.#used = HEAD_BYTES
    this.#rows = 0
    if (this.#buffer.length > PACKED_BYTES_KEPT_MAX) this.#buffer = Buffer.allocUnsafeSlow(PACKED_BYTES_MIN)
    return batch
  }

  #reserve(bytes: number): void {
    if (this.#buffer.length - this.#used >= bytes) return
    const larger = Buffer.allocUnsafeSlow((this.#used + bytes) * 2)
    this.#buffer.copy(larger, 0, 0, this.#used)
    this.#buffer = larger
  }
}

export type ReadBatches = {
  readonly batches: readonly JournalBatch[]
  /** Bytes after which the next batch begins; what follows is not complete yet, or was torn. */
  readonly used: number
  /** Bytes that belong to no batch although whole batches follow them. */
  readonly damagedBytes: number
}

/** Reads the whole batches at the beginning of these bytes, `rowsMax` rows or a little more. Never throws: damaged bytes are passed over. */
export function readBatches(bytes: Buffer, rowsMax = Number.POSITIVE_INFINITY): ReadBatches {
  const batches: JournalBatch[] = []
  let rows = 0
  let at = 0
  let damagedBytes = 0
  while (rows < rowsMax && at < bytes.length) {
    const read = readBatch(bytes, at)
    if (read.kind === "batch") {
      batches.push(read.batch)
      rows += read.batch.rows.length
      at = read.end
      continue
    }
    const next = wholeBatchAfter(bytes, at)
    if (next === -1) break
    damagedBytes += next - at
    at = next
  }
  return { batches, used: at, damagedBytes }
}

type ReadOne =
  | { readonly kind: "batch"; readonly batch: JournalBatch; readonly end: number }
  | { readonly kind: "incomplete" | "damaged" }

function readBatch(bytes: Buffer, at: number): ReadOne {
  const head = HEAD.exec(bytes.toString("latin1", at, Math.min(bytes.length, at + HEAD_BYTES)))
  if (head === null) return { kind: bytes.length - at < HEAD_BYTES ? "incomplete" : "damaged" }
  const [firstSeq, count, length] = [Number(head[2]), Number(head[3]), Number(head[4])]
  const end = at + HEAD_BYTES + length
  if (end > bytes.length) return { kind: "incomplete" }
  const lines = bytes.subarray(at + HEAD_BYTES, end)
  if (crc32(lines, crc32(head[1] ?? "")) !== Number.parseInt(head[5] ?? "", 16)) return { kind: "damaged" }
  const rows = readRows(lines, firstSeq)
  return rows.length === count ? { kind: "batch", batch: { firstSeq, rows }, end } : { kind: "damaged" }
}

function readRows(lines: Buffer, firstSeq: number): JournalRow[] {
  const texts = lines.toString("utf8").split("\n")
  // The last line ends in a line feed as well.
  texts.pop()
  return texts.map((text, index) => {
    const space = text.indexOf(" ")
    return { seq: firstSeq + index, kind: text[0] ?? "", id: text.slice(1, space), body: text.slice(space + 1) }
  })
}

/** Where the next whole batch begins after damaged bytes; -1 where none does. */
function wholeBatchAfter(bytes: Buffer, from: number): number {
  // The line feed before it may be what is damaged; the checksum tells a header from a text that looks like one.
  for (let at = bytes.indexOf(NEXT_HEAD, from + 1); at !== -1; at = bytes.indexOf(NEXT_HEAD, at + 1)) {
    if (readBatch(bytes, at).kind === "batch") return at
  }
  return -1
}
