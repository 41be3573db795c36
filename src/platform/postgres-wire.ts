/**
 * Framing of the PostgreSQL protocol, version 3: cutting a byte stream into messages and writing the few messages the
 * embedded server's front speaks itself. Pure; the formats stand in the PostgreSQL manual, "Message Formats".
 */

/** What a client's first packet asks for; `minor` above 0 is negotiated down to 0. */
export type FirstPacket =
  | { kind: "encryption" }
  | { kind: "cancel" }
  | { kind: "startup"; minor: number; parameters: ReadonlyMap<string, string> }

/** The client broke the protocol; its connection is ended with `code` (an SQLSTATE), nobody else is touched. */
export class WireError extends Error {
  readonly code: string

  constructor(message: string, code = "08P01") {
    super(message)
    this.name = "WireError"
    this.code = code
  }
}

const SSL_REQUEST = 80877103
const GSS_REQUEST = 80877104
const CANCEL_REQUEST = 80877102
const STARTUP_BYTES_MAX = 10_000

/** Cuts what a socket delivers into packets. Chunks are joined only once a packet is complete: no quadratic copying. */
export class PacketReader {
  readonly #messageBytesMax: number
  #chunks: Buffer[] = []
  #bytes = 0
  #bytesNeeded = 0
  #isStarted = false

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
  }

  /** From now on packets begin with a type byte; before, with their length (startup, SSLRequest, CancelRequest). */
  switchToMessages(): void {
    this.#isStarted = true
    this.#bytesNeeded = 0
  }

  /** The next complete packet with its header, or undefined until more bytes have come. @throws WireError when its length is out of bounds. */
  next(): Buffer | undefined {
    const lengthAt = this.#isStarted ? 1 : 0
    if (this.#bytes < Math.max(this.#bytesNeeded, lengthAt + 4)) return undefined
    const joined = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks, this.#bytes)
    const length = joined.readInt32BE(lengthAt)
    const max = this.#isStarted ? this.#messageBytesMax : STARTUP_BYTES_MAX
    if (length < (this.#isStarted ? 4 : 8) || length > max) throw new WireError(`invalid message length ${length}`)
    const end = lengthAt + length
    if (joined.length < end) {
      this.#chunks = [joined]
      this.#bytesNeeded = end
      return undefined
    }
    this.#chunks = joined.length > end ? [joined.subarray(end)] : []
    this.#bytes = joined.length - end
    this.#bytesNeeded = 0
    return joined.subarray(0, end)
  }
}

/** Reads a packet that has no type byte. @throws WireError for an unknown protocol version. */
export function readFirstPacket(packet: Buffer): FirstPacket {
  const code = packet.readInt32BE(4)
  if (code === SSL_REQUEST || code === GSS_REQUEST) return { kind: "encryption" }
  if (code === CANCEL_REQUEST) return { kind: "cancel" }
  if (code >> 16 !== 3) throw new WireError(`unsupported protocol version ${code >> 16}.${code & 0xffff}`, "0A000")
  const fields = packet.toString("utf8", 8).split("\0")
  const parameters = new Map<string, string>()
  for (let at = 0; fields[at]; at += 2) parameters.set(fields[at] ?? "", fields[at + 1] ?? "")
  return { kind: "startup", minor: code & 0xffff, parameters }
}

/** Writes one message: type byte, length, body. */
export function message(type: string, ...parts: readonly (string | number | Uint8Array)[]): Buffer {
  const body = parts.map((part) =>
    typeof part === "string" ? cString(part) : typeof part === "number" ? int32(part) : part,
  )
  const length = body.reduce((sum, part) => sum + part.length, 4)
  return Buffer.concat([Buffer.from(type, "latin1"), int32(length), ...body])
}

/** A client's first packet, protocol 3.0. */
export function startupMessage(user: string, database: string): Buffer {
  const fields = ["user", user, "database", database, ""].map(cString)
  const length = fields.reduce((sum, field) => sum + field.length, 8)
  return Buffer.concat([int32(length), int32(3 << 16), ...fields])
}

/** An ErrorResponse; `severity` FATAL tells the client that its connection ends. */
export function errorMessage(severity: "ERROR" | "FATAL", code: string, text: string): Buffer {
  return message("E", `S${severity}`, `V${severity}`, `C${code}`, `M${text}`, Buffer.from([0]))
}

/** The zero-terminated text at `at`, and where the rest begins. @throws WireError when it does not end inside the message. */
export function readCString(packet: Buffer, at: number): { text: string; end: number } {
  const zero = packet.indexOf(0, at)
  if (zero < 0) throw new WireError("a text in the message has no end")
  return { text: packet.toString("utf8", at, zero), end: zero + 1 }
}

/** The same message with the zero-terminated text at `at` replaced. */
export function withCString(packet: Buffer, at: number, text: string): Buffer {
  const { end } = readCString(packet, at)
  return message(String.fromCharCode(packet[0] ?? 0), packet.subarray(5, at), text, packet.subarray(end))
}

/** Keeps only the messages whose type passes; `stream` must consist of whole messages. */
export function filterMessages(stream: Buffer, keep: (type: string) => boolean): Buffer {
  const kept: Buffer[] = []
  for (let at = 0; at < stream.length; ) {
    const end = at + 1 + stream.readInt32BE(at + 1)
    if (keep(String.fromCharCode(stream[at] ?? 0))) kept.push(stream.subarray(at, end))
    at = end
  }
  return Buffer.concat(kept)
}

/** The transaction state of the ReadyForQuery that ends `stream`: idle, in a transaction, in a failed one; undefined when none ends it. */
export function readyStatus(stream: Buffer): "I" | "T" | "E" | undefined {
  const at = stream.length - 6
  if (at < 0 || stream[at] !== 0x5a || stream.readInt32BE(at + 1) !== 5) return undefined
  const status = String.fromCharCode(stream[at + 5] ?? 0)
  return status === "I" || status === "T" || status === "E" ? status : undefined
}

function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`, "utf8")
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
