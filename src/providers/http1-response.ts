/**
 * Reads the answers of one connection: bytes in, facts out, however the network cuts them. It keeps no reference to
 * what is pushed: a body's bytes are handed on in memory of their own, those of one push in one piece.
 */
import { ChunkDecoder } from "./http1-chunks.ts"
import { parseHead, type ResponseHead } from "./http1-head.ts"

/** One head with its blank line. */
const HEAD_BYTES_MAX = 64 * 1024
/** Interim answers (1xx) before the real one. */
const INTERIM_MAX = 32
const HEAD_END = "\r\n\r\n"
const BEGINNING = Buffer.from("HTTP/1.", "latin1")
const NOTHING = Buffer.alloc(0)
const ASIDE_BYTES_MIN = 2 * 1024

/** What one push has brought. `isDone` and `violation` come after head and body. */
export type Progress = {
  head: ResponseHead | null
  body: Buffer | null
  isDone: boolean
  /** What the server did wrong: nothing after it can be trusted. */
  violation: string | null
}

export class ResponseParser {
  readonly #chunks = new ChunkDecoder()
  #isHeadRequest = false
  #head: ResponseHead | null = null
  #interims = 0
  #leftBytes = 0
  #hasExcess = false
  /** The beginning of a head whose end has not come yet. */
  #aside: Buffer = NOTHING
  #asideBytes = 0

  /** Begins with the next answer; that to a HEAD has no body, whatever it says. */
  start(isHeadRequest: boolean): void {
    this.#isHeadRequest = isHeadRequest
    this.#head = null
    this.#interims = 0
    this.#hasExcess = false
    this.#asideBytes = 0
  }

  /** Whether an answer that is done leaves its connection fit for another request. */
  get isReusable(): boolean {
    return this.#head?.isKeptAlive === true && !this.#hasExcess
  }

  get keepAliveMs(): number | null {
    return this.#head?.keepAliveMs ?? null
  }

  /** Whether the server's closing now is the end of the answer, and not a cut. */
  get isWholeAtClose(): boolean {
    return this.#head?.framing === "close"
  }

  /** Whether not one byte of the answer has come. */
  get isUntouched(): boolean {
    return this.#head === null && this.#asideBytes === 0 && this.#interims === 0
  }

  /** Takes the first `lengthBytes` of a buffer that will be read into again. */
  push(bytes: Buffer, lengthBytes: number): Progress {
    const progress: Progress = { head: null, body: null, isDone: false, violation: null }
    let at = 0
    while (this.#head === null && at < lengthBytes && progress.violation === null) {
      at = this.#takeHead(bytes, at, lengthBytes, progress)
    }
    const head = this.#head
    if (head === null || progress.violation !== null) return progress
    const end = this.#takeBody(head, bytes, at, lengthBytes, progress)
    this.#hasExcess = progress.isDone && end < lengthBytes
    return progress
  }

  /** Reads one head as far as it goes; returns where it stopped. */
  #takeHead(bytes: Buffer, from: number, to: number, progress: Progress): number {
    let end: number
    let text: string
    if (this.#asideBytes === 0) {
      const found = bytes.indexOf(HEAD_END, from, "latin1")
      end = found < 0 || found + 4 > to ? -1 : found + 4
      if (end < 0) this.#setAside(bytes, from, to)
      text = end < 0 ? "" : bytes.toString("latin1", from, end - 2)
    } else {
      const before = this.#asideBytes
      this.#setAside(bytes, from, to)
      const found = this.#aside.indexOf(HEAD_END, Math.max(0, before - 3), "latin1")
      end = found < 0 || found + 4 > this.#asideBytes ? -1 : from + found + 4 - before
      text = end < 0 ? "" : this.#aside.toString("latin1", 0, found + 2)
    }
    if (end < 0) {
      if (!this.#isHttpSoFar()) progress.violation = "this is not HTTP/1"
      else if (this.#asideBytes > HEAD_BYTES_MAX) progress.violation = "the head is too long"
      return to
    }
    this.#asideBytes = 0
    this.#aside = NOTHING
    this.#endHead(text, progress)
    return end
  }

  #endHead(text: string, progress: Progress): void {
    if (text.length + 2 > HEAD_BYTES_MAX) {
      progress.violation = "the head is too long"
      return
    }
    const head = parseHead(text, this.#isHeadRequest)
    if (head.kind === "violation") progress.violation = head.detail
    else if (head.status === 101) progress.violation = "it switches protocols, which nobody asked for"
    else if (head.status >= 200) {
      this.#head = head
      this.#leftBytes = head.lengthBytes
      if (head.framing === "chunked") this.#chunks.start()
      progress.head = head
    } else if (++this.#interims > INTERIM_MAX) progress.violation = "too many interim answers"
  }

  #takeBody(head: ResponseHead, bytes: Buffer, from: number, to: number, progress: Progress): number {
    if (head.framing === "none") {
      progress.isDone = true
      return from
    }
    if (from === to) return to
    if (head.framing === "chunked") {
      const end = this.#chunks.push(bytes, from, to)
      progress.body = this.#chunks.takePayload()
      progress.isDone = this.#chunks.isDone
      progress.violation = this.#chunks.detail
      return end
    }
    const end = head.framing === "close" ? to : Math.min(to, from + this.#leftBytes)
    progress.body = Buffer.allocUnsafe(end - from)
    bytes.copy(progress.body, 0, from, end)
    if (head.framing === "length") {
      this.#leftBytes -= end - from
      progress.isDone = this.#leftBytes === 0
    }
    return end
  }

  /** Grows by doubling, so that a head that comes byte by byte costs no more than its length. */
  #setAside(bytes: Buffer, from: number, to: number): void {
    const neededBytes = this.#asideBytes + to - from
    if (neededBytes > this.#aside.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(ASIDE_BYTES_MIN, neededBytes * 2))
      this.#aside.copy(larger, 0, 0, this.#asideBytes)
      this.#aside = larger
    }
    bytes.copy(this.#aside, this.#asideBytes, from, to)
    this.#asideBytes = neededBytes
  }

  /** Another protocol is told by its first bytes, and need not be waited for. */
  #isHttpSoFar(): boolean {
    const known = Math.min(BEGINNING.length, this.#asideBytes)
    return this.#aside.compare(BEGINNING, 0, known, 0, known) === 0
  }
}
