/**
 * Takes the chunked coding off a body, byte by byte where it must and range by range where it can. Strict CR LF, sizes
 * in plain hexadecimal; extensions are ignored and trailers dropped, both bounded, since neither is for anybody here.
 */
import { LENGTH_BYTES_MAX } from "./http1-head.ts"

/** Digits of a size, leading zeros included. */
const SIZE_DIGITS_MAX = 16
/** All extensions of one body, so that a body of small chunks cannot hide a flood. */
const EXTENSION_BYTES_MAX = 16 * 1024
const TRAILER_BYTES_MAX = 16 * 1024

const CR = 0x0d
const LF = 0x0a
const STATE = {
  size: 0,
  extension: 1,
  sizeLf: 2,
  data: 3,
  dataCr: 4,
  dataLf: 5,
  lineStart: 6,
  trailerName: 7,
  trailerValue: 8,
  trailerLf: 9,
  endLf: 10,
  done: 11,
} as const
type State = (typeof STATE)[keyof typeof STATE]

export class ChunkDecoder {
  #state: State = STATE.size
  #leftBytes = 0
  #digits = 0
  #extensionBytes = 0
  #trailerBytes = 0
  #out: Buffer | null = null
  #outBytes = 0
  /** What broke the coding; null while it is right. */
  detail: string | null = null

  get isDone(): boolean {
    return this.#state === STATE.done
  }

  start(): void {
    this.#state = STATE.size
    this.#leftBytes = 0
    this.#digits = 0
    this.#extensionBytes = 0
    this.#trailerBytes = 0
    this.detail = null
  }

  /** Reads on from `from`; returns where it stopped, short of `to` when the body ended or broke. */
  push(bytes: Uint8Array, from: number, to: number): number {
    let at = from
    while (at < to && this.#state !== STATE.done) {
      if (this.#state === STATE.data) {
        at = this.#takeData(bytes, at, to)
        continue
      }
      this.detail = this.#takeByte(bytes[at] ?? 0)
      if (this.detail !== null) return at
      at++
    }
    return at
  }

  /** The payload of the pushes since the last call, in memory of its own; null where there was none. */
  takePayload(): Buffer | null {
    const out = this.#out
    this.#out = null
    return out === null || out.length === this.#outBytes ? out : out.subarray(0, this.#outBytes)
  }

  #takeData(bytes: Uint8Array, at: number, to: number): number {
    const end = Math.min(to, at + this.#leftBytes)
    if (this.#out === null) {
      // Most reads hold one chunk and its CR LF, or a part of one; where more is left, more chunks may follow.
      this.#out = Buffer.allocUnsafe(to - end <= 2 ? end - at : to - at)
      this.#outBytes = 0
    }
    this.#out.set(bytes.subarray(at, end), this.#outBytes)
    this.#outBytes += end - at
    this.#leftBytes -= end - at
    if (this.#leftBytes === 0) this.#state = STATE.dataCr
    return end
  }

  /** One byte of the coding itself; returns what is wrong with it. */
  #takeByte(byte: number): string | null {
    switch (this.#state) {
      case STATE.size:
        return this.#takeSizeByte(byte)
      case STATE.extension:
        return this.#takeExtensionByte(byte)
      case STATE.sizeLf:
        this.#state = this.#leftBytes > 0 ? STATE.data : STATE.lineStart
        this.#digits = 0
        return byte === LF ? null : "a chunk's size does not end in CR LF"
      case STATE.dataCr:
        this.#state = STATE.dataLf
        return byte === CR ? null : "a chunk is longer than its size"
      case STATE.dataLf:
        this.#state = STATE.size
        return byte === LF ? null : "a chunk does not end in CR LF"
      case STATE.endLf:
        this.#state = STATE.done
        return byte === LF ? null : "the last chunk does not end in CR LF"
      default:
        return this.#takeTrailerByte(byte)
    }
  }

  #takeSizeByte(byte: number): string | null {
    const digit = hexDigit(byte)
    if (digit >= 0) {
      this.#leftBytes = this.#leftBytes * 16 + digit
      this.#digits++
      return this.#digits > SIZE_DIGITS_MAX || this.#leftBytes > LENGTH_BYTES_MAX ? "a chunk's size is too large" : null
    }
    if (this.#digits === 0) return "a chunk has no size"
    if (byte === CR) this.#state = STATE.sizeLf
    else if (byte === 0x3b) this.#state = STATE.extension
    else return "a chunk's size is not hexadecimal"
    return null
  }

  #takeExtensionByte(byte: number): string | null {
    if (byte === CR) {
      this.#state = STATE.sizeLf
      return null
    }
    if (!isText(byte)) return "a chunk's extension is malformed"
    return ++this.#extensionBytes > EXTENSION_BYTES_MAX ? "chunk extensions are too long" : null
  }

  #takeTrailerByte(byte: number): string | null {
    if (++this.#trailerBytes > TRAILER_BYTES_MAX) return "the trailers are too long"
    const isLineStart = this.#state === STATE.lineStart
    if (isLineStart && byte === CR) {
      this.#state = STATE.endLf
      return null
    }
    if (isLineStart || this.#state === STATE.trailerName) {
      if (!isLineStart && byte === 0x3a) this.#state = STATE.trailerValue
      else if (!isTokenByte(byte)) return "a trailer is malformed"
      else this.#state = STATE.trailerName
      return null
    }
    if (this.#state === STATE.trailerValue) {
      if (byte === CR) this.#state = STATE.trailerLf
      else if (!isText(byte)) return "a trailer is malformed"
      return null
    }
    this.#state = STATE.lineStart
    return byte === LF ? null : "a trailer does not end in CR LF"
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

function isText(byte: number): boolean {
  return byte === 0x09 || (byte >= 0x20 && byte !== 0x7f)
}

function isTokenByte(byte: number): boolean {
  return /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(byte))
}
