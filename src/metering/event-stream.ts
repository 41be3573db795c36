/**
 * Reads Amazon's event stream encoding (`application/vnd.amazon.eventstream`): binary messages of headers and a payload,
 * each with two checksums. It only looks on while the bytes are relayed, so a message that is broken ends the reading
 * and nothing else. (AWS, "Event stream encoding"; Smithy, "Amazon Event Stream specification".)
 *
 * A message: total length (4 bytes), length of the headers (4), CRC-32 of these eight (4), headers, payload, CRC-32 of
 * all before (4). A header: length of its name (1), name, type of its value (1), value; of type 7, a text: its length
 * (2) and its bytes.
 */
import { crc32 } from "node:zlib"

export type EventMessage = {
  /** Headers that are texts, by name: `:message-type`, `:event-type`, `:exception-type`. */
  readonly headers: ReadonlyMap<string, string>
  readonly payload: Buffer
}

const PRELUDE_BYTES = 12
const CRC_BYTES = 4
/** The specification's own bound of a message. */
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024
const TYPE_TEXT = 7
const TYPE_BYTES = 6
/** Bytes of a value, by its type: true, false, byte, short, integer, long, bytes, text, timestamp, UUID. */
const VALUE_BYTES: readonly (number | null)[] = [0, 0, 1, 2, 4, 8, null, null, 8, 16]
const NO_BYTES = Buffer.alloc(0)

export class EventStreamReader {
  readonly #onMessage: (message: EventMessage) => void
  #parts: Buffer[] = []
  #bytes = 0
  /** So many bytes are needed before there is anything more to read. */
  #needed = PRELUDE_BYTES
  #isBroken = false

  constructor(onMessage: (message: EventMessage) => void) {
    this.#onMessage = onMessage
  }

  /** A message did not hold together: nothing after it is read. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  /** Takes the next bytes and tells of the messages that they complete. Never throws. */
  push(chunk: Buffer): void {
    if (this.#isBroken) return
    this.#bytes += chunk.length
    if (this.#bytes < this.#needed) {
      // A copy, here and below: a relay may reuse a chunk's memory, and a few bytes would keep all of it.
      this.#parts.push(Buffer.from(chunk))
      return
    }
    const bytes = this.#parts.length === 0 ? chunk : Buffer.concat([...this.#parts, chunk])
    const taken = this.#takeFrom(bytes)
    const rest = this.#isBroken || taken === bytes.length ? NO_BYTES : Buffer.from(bytes.subarray(taken))
    this.#parts = rest.length === 0 ? [] : [rest]
    this.#bytes = rest.length
  }

  /** How many bytes were whole messages. */
  #takeFrom(bytes: Buffer): number {
    let at = 0
    for (;;) {
      const left = bytes.length - at
      this.#needed = PRELUDE_BYTES
      if (left < PRELUDE_BYTES) return at
      const length = bytes.readUInt32BE(at)
      const headerBytes = bytes.readUInt32BE(at + 4)
      const isSound =
        length <= MESSAGE_BYTES_MAX &&
        headerBytes <= length - PRELUDE_BYTES - CRC_BYTES &&
        bytes.readUInt32BE(at + 8) === crc32(bytes.subarray(at, at + 8))
      if (!isSound) return this.#break(at)
      this.#needed = length
      if (left < length) return at
      const end = at + length - CRC_BYTES
      if (bytes.readUInt32BE(end) !== crc32(bytes.subarray(at, end))) return this.#break(at)
      const headersEnd = at + PRELUDE_BYTES + headerBytes
      const headers = textHeaders(bytes.subarray(at + PRELUDE_BYTES, headersEnd))
      this.#onMessage({ headers, payload: bytes.subarray(headersEnd, end) })
      at += length
    }
  }

  #break(at: number): number {
    this.#isBroken = true
    return at
  }
}

/** Those before the first that cannot be read. */
function textHeaders(bytes: Buffer): Map<string, string> {
  const headers = new Map<string, string>()
  for (let at = 0; at < bytes.length; ) {
    const nameEnd = at + 1 + (bytes[at] ?? 0)
    const type = bytes[nameEnd]
    const hasLength = type === TYPE_TEXT || type === TYPE_BYTES
    const fixed = type === undefined ? undefined : VALUE_BYTES[type]
    if (fixed === undefined || (hasLength && nameEnd + 3 > bytes.length)) break
    const start = nameEnd + (hasLength ? 3 : 1)
    const end = start + (fixed ?? bytes.readUInt16BE(nameEnd + 1))
    if (end > bytes.length) break
    if (type === TYPE_TEXT) headers.set(bytes.toString("utf8", at + 1, nameEnd), bytes.toString("utf8", start, end))
    at = end
  }
  return headers
}
