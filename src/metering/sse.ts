/**
 * Splits a byte stream of server-sent events into event blocks, for a relay that forwards the bytes it received: every
 * byte belongs to exactly one block, whatever the chunks were, and a block is delivered with its own last byte.
 * Format: WHATWG HTML, section 9.2.6. Other than a browser it delivers blocks without data and an unfinished last one,
 * since their bytes count.
 *
 * A blank line ends a block. Its CR is followed by an LF of its own only if the line before ended in CRLF: then the LF
 * is awaited, and in such a stream it is on its way. After any other line the block ends with the CR at once; should an
 * LF follow, it opens the next block and is passed over. So offsets never depend on where a chunk was cut.
 */

export type SseEvent = {
  /** The data lines joined by LF; '' if there are none. */
  readonly data: string
  /** The event's name, or ''. */
  readonly event: string
  /** Offset in the stream of the block's first byte. */
  readonly start: number
  /** Offset in the stream after the block's last byte, its blank line included. */
  readonly end: number
  /** The block was longer than `eventBytesMax`: its bytes are counted, data and event are ''. */
  readonly isSkipped: boolean
}

const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const BOM = [0xef, 0xbb, 0xbf] as const
const DATA_COLON = [0x64, 0x61, 0x74, 0x61, 0x3a] as const
const EVENT_BYTES_MAX = 8 * 1024 * 1024
/** Memory that outlives the event it was needed for; a larger piece is given back. */
const HELD_BYTES_KEPT_MAX = 64 * 1024
const NO_BYTES = Buffer.alloc(0)
const NO_EVENTS: readonly SseEvent[] = Object.freeze([])

export class SseSplitter {
  readonly #eventBytesMax: number
  /** A copy of the unfinished block's bytes from earlier chunks, since a relay may reuse a chunk's memory. */
  #held: Buffer = NO_BYTES
  #heldBytes = 0
  /** Stream offsets: bytes received, first byte of the block, first byte of the line. */
  #received = 0
  #blockStart = 0
  #lineStart = 0
  /** Lines that are not blank in the current block. */
  #lines = 0
  #isBegun = false
  /** The last byte was a CR, and an LF after it would belong to it. */
  #isAfterCr = false
  /** The line before ended in CRLF; so does, we expect, a first line. */
  #isCrlf = true
  /** A blank line's CR was seen, its LF is awaited. */
  #isAwaitingLf = false

  constructor(options: { eventBytesMax?: number } = {}) {
    this.#eventBytesMax = options.eventBytesMax ?? EVENT_BYTES_MAX
  }

  /** Bytes received that belong to no delivered event yet. */
  get pendingBytes(): number {
    return this.#received - this.#blockStart
  }

  /** Takes the next bytes and returns the events that they complete. Never throws; keeps no reference to the chunk. */
  push(chunk: Uint8Array): readonly SseEvent[] {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    if (bytes.length === 0) return NO_EVENTS
    return this.#isBegun ? this.#split(bytes) : this.#begin(bytes)
  }

  /** The stream is over: returns the last event if its blank line never came. */
  end(): readonly SseEvent[] {
    const events: SseEvent[] = []
    this.#isBegun = true
    if (this.pendingBytes > 0) {
      if (this.#received > this.#lineStart) this.#lines++
      events.push(this.#closeBlock(NO_BYTES, this.#received, this.#received))
    }
    this.#isAwaitingLf = false
    return events
  }

  /** A byte order mark may stand before the first line; it can arrive in pieces. */
  #begin(chunk: Buffer): readonly SseEvent[] {
    const bytes = Buffer.concat([this.#held.subarray(0, this.#heldBytes), chunk])
    const isMark = BOM.every((byte, index) => index >= bytes.length || bytes[index] === byte)
    this.#heldBytes = 0
    this.#received = 0
    if (isMark && bytes.length < BOM.length) {
      this.#hold(bytes)
      this.#received = bytes.length
      return NO_EVENTS
    }
    this.#isBegun = true
    if (isMark) this.#lineStart = BOM.length
    return this.#split(bytes)
  }

  #split(bytes: Buffer): readonly SseEvent[] {
    const events: SseEvent[] = []
    const base = this.#received
    const length = bytes.length
    this.#received += length
    let at = Math.max(0, this.#lineStart - base)
    let lf = bytes.indexOf(LF, at)
    let cr = bytes.indexOf(CR, at)
    for (;;) {
      if ((this.#isAfterCr || this.#isAwaitingLf) && at < length) {
        const isLf = bytes[at] === LF
        if (isLf) at++
        if (this.#isAwaitingLf) events.push(this.#closeBlock(bytes, base, base + at))
        this.#isAwaitingLf = false
        this.#isAfterCr = false
        this.#isCrlf = isLf
        this.#lineStart = base + at
      }
      if (lf !== -1 && lf < at) lf = nextOf(LF, bytes, at)
      if (cr !== -1 && cr < at) cr = nextOf(CR, bytes, at)
      const isCr = cr !== -1 && (lf === -1 || cr < lf)
      const lineEnd = isCr ? cr : lf
      if (lineEnd === -1) break
      at = lineEnd + 1
      const isBlank = base + lineEnd === this.#lineStart
      if (isBlank && isCr && this.#isCrlf) {
        this.#isAwaitingLf = true
        continue
      }
      if (isBlank) events.push(this.#closeBlock(bytes, base, base + at))
      else this.#lines++
      this.#isAfterCr = isCr
      this.#isCrlf = false
      this.#lineStart = base + at
    }
    if (this.#blockStart < this.#received) this.#hold(bytes.subarray(Math.max(0, this.#blockStart - base)))
    return events
  }

  /** Keeps a copy of an unfinished block's bytes; a block that has grown too long is only counted. */
  #hold(bytes: Buffer): void {
    const needed = this.#heldBytes + bytes.length
    if (needed > this.#eventBytesMax) {
      this.#held = NO_BYTES
    } else {
      if (needed > this.#held.length) {
        // Doubling keeps the copying linear, also when a large event comes byte by byte.
        const grown = Buffer.allocUnsafe(Math.max(needed, Math.min(this.#eventBytesMax, 2 * this.#held.length)))
        this.#held.copy(grown, 0, 0, this.#heldBytes)
        this.#held = grown
      }
      bytes.copy(this.#held, this.#heldBytes)
    }
    this.#heldBytes = needed
  }

  /** Delivers the block that ends at the stream offset `end`; `bytes` begin at the stream offset `base`. */
  #closeBlock(bytes: Buffer, base: number, end: number): SseEvent {
    const start = this.#blockStart
    const lines = this.#lines
    this.#blockStart = end
    this.#lines = 0
    const isSkipped = end - start > this.#eventBytesMax
    const isWhole = this.#heldBytes === 0
    const isRead = lines > 0 && !isSkipped
    if (!isWhole && isRead) this.#hold(bytes.subarray(0, end - base))
    const block = isWhole ? bytes : this.#held
    this.#heldBytes = 0
    if (this.#held.length > HELD_BYTES_KEPT_MAX) this.#held = NO_BYTES
    if (!isRead) return { data: "", event: "", start, end, isSkipped }
    const from = isWhole ? start - base : 0
    const to = from + end - start
    if (lines === 1 && isDataLine(block, from)) {
      return { data: singleDataLine(block, from, to), event: "", start, end, isSkipped }
    }
    const text = block.toString("utf8", from, to)
    const { data, event } = readFields(start === 0 && text.charCodeAt(0) === 0xfeff ? text.slice(1) : text)
    return { data, event, start, end, isSkipped }
  }
}

/** As indexOf, without the native call where the next byte is the one looked for, or the last was. */
function nextOf(byte: number, bytes: Buffer, at: number): number {
  if (at >= bytes.length) return -1
  return bytes[at] === byte ? at : bytes.indexOf(byte, at)
}

function isDataLine(block: Buffer, from: number): boolean {
  for (let index = 0; index < DATA_COLON.length; index++) {
    if (block[from + index] !== DATA_COLON[index]) return false
  }
  return true
}

/** The common case, one `data:` line, needs no text of its field name. */
function singleDataLine(block: Buffer, from: number, to: number): string {
  let end = to
  while (end > from && (block[end - 1] === LF || block[end - 1] === CR)) end--
  const start = from + DATA_COLON.length
  return block.toString("utf8", block[start] === SPACE ? start + 1 : start, end)
}

function readFields(block: string): { data: string; event: string } {
  const text = block.includes("\r") ? block.replace(/\r\n?/g, "\n") : block
  let data: string | null = null
  let event = ""
  for (let at = 0, end = 0; at < text.length; at = end + 1) {
    const lf = text.indexOf("\n", at)
    end = lf < 0 ? text.length : lf
    if (text.startsWith("data:", at)) {
      const value = text.slice(text.charCodeAt(at + 5) === SPACE ? at + 6 : at + 5, end)
      data = data === null ? value : `${data}\n${value}`
    } else if (text.startsWith("event:", at)) {
      event = text.slice(text.charCodeAt(at + 6) === SPACE ? at + 7 : at + 6, end)
    } else if (end === at + 4 && text.startsWith("data", at)) {
      data = data === null ? "" : `${data}\n`
    } else if (end === at + 5 && text.startsWith("event", at)) {
      event = ""
    }
  }
  return { data: data ?? "", event }
}
