/**
 * Takes the one usage event that we asked for out of a stream whose caller did not ask for it; every other byte leaves
 * as it came. Bytes of an event that is not complete yet wait for the rest, up to a bound: an event that grows beyond
 * it is too large to be a usage event and flows through.
 */
import type { SseEvent, SseSplitter } from "../metering/sse.ts"

/** A usage event has a few hundred bytes; this leaves room for providers that are generous with details. */
const WAITING_BYTES_MAX = 16 * 1024

const NO_BYTES = Buffer.alloc(0)

export class UsageFilter {
  readonly #splitter: SseSplitter
  readonly #isHidden: (event: SseEvent) => boolean
  #waiting: Buffer = NO_BYTES
  /** Absolute offset in the stream of the first waiting byte. */
  #offset = 0
  #isBetweenEvents = true

  constructor(splitter: SseSplitter, isHidden: (event: SseEvent) => boolean) {
    this.#splitter = splitter
    this.#isHidden = isHidden
  }

  /** Whether no part of an event has left that is not complete. */
  get isBetweenEvents(): boolean {
    return this.#isBetweenEvents
  }

  /** Takes a chunk in, returns the bytes that may leave now (possibly none). */
  push(chunk: Buffer): Buffer {
    const bytes = this.#waiting.length === 0 ? chunk : Buffer.concat([this.#waiting, chunk])
    return this.#release(bytes, this.#splitter.push(chunk))
  }

  /** The stream is over: returns what is left, an unfinished last event included. */
  end(): Buffer {
    const left = this.#release(this.#waiting, this.#splitter.end())
    return this.#waiting.length === 0 ? left : Buffer.concat([left, this.#waiting])
  }

  #release(bytes: Buffer, events: readonly SseEvent[]): Buffer {
    const shown: Buffer[] = []
    let from = this.#offset
    let end = this.#offset
    for (const event of events) {
      // An event whose beginning has already left cannot be taken back.
      if (this.#isHidden(event) && event.start >= this.#offset) {
        if (event.start > from) shown.push(bytes.subarray(from - this.#offset, event.start - this.#offset))
        from = event.end
      }
      end = event.end
    }
    const isOverfull = bytes.length - (end - this.#offset) > WAITING_BYTES_MAX
    const until = isOverfull ? this.#offset + bytes.length : end
    if (isOverfull) this.#isBetweenEvents = false
    else if (events.length > 0) this.#isBetweenEvents = true
    if (until > from) shown.push(bytes.subarray(from - this.#offset, until - this.#offset))
    // A copy, since a few bytes of an event would keep the whole read that they came with.
    this.#waiting = until === this.#offset + bytes.length ? NO_BYTES : Buffer.from(bytes.subarray(until - this.#offset))
    this.#offset = until
    if (shown.length > 1) return Buffer.concat(shown)
    return shown[0] ?? NO_BYTES
  }
}
