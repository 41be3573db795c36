/**
 * How rows travel from the main thread to the journal's: packed into one buffer whose memory is handed over, since
 * posting strings copies each of them twice. An act is its kind (one byte), the lengths of id and body (two and four
 * bytes, little-endian), the id and the body in UTF-8.
 */
import { ACT_FIELDS, ACTS, type JournalActs } from "./journal-protocol.ts"

const HEAD_BYTES = 7
const BATCH_BYTES = 64 * 1024
/** UTF-8 needs at most three bytes for a UTF-16 unit. */
const BYTES_PER_UNIT = 3

/** Packs acts into one batch until it is taken. */
export class ActPacker {
  #buffer: Buffer = Buffer.alloc(0)
  #used = 0

  get isEmpty(): boolean {
    return this.#used === 0
  }

  /** `id` has at most 21,845 characters. */
  add(act: string, id: string, body: string): void {
    this.#reserve(HEAD_BYTES + (id.length + body.length) * BYTES_PER_UNIT)
    const head = this.#used
    const idBytes = this.#buffer.write(id, head + HEAD_BYTES)
    const bodyBytes = this.#buffer.write(body, head + HEAD_BYTES + idBytes)
    this.#buffer[head] = ACTS.indexOf(act)
    this.#buffer.writeUInt16LE(idBytes, head + 1)
    this.#buffer.writeUInt32LE(bodyBytes, head + 3)
    this.#used = head + HEAD_BYTES + idBytes + bodyBytes
  }

  /** The batch so far; its memory is the caller's to hand over, and the next act begins a new batch. */
  take(): Uint8Array<ArrayBuffer> {
    const { buffer, byteOffset } = this.#buffer
    const batch = new Uint8Array(buffer as ArrayBuffer, byteOffset, this.#used)
    this.#buffer = Buffer.alloc(0)
    this.#used = 0
    return batch
  }

  #reserve(bytes: number): void {
    if (this.#buffer.length - this.#used >= bytes) return
    // Memory of its own, never of Node's shared pool: the whole of it is handed over.
    const larger = Buffer.allocUnsafeSlow(Math.max(BATCH_BYTES, (this.#used + bytes) * 2))
    this.#buffer.copy(larger, 0, 0, this.#used)
    this.#buffer = larger
  }
}

/** The acts of a batch, flat: kind, id, body, and so on. */
export function unpackActs(batch: Uint8Array): JournalActs {
  const bytes = Buffer.from(batch.buffer, batch.byteOffset, batch.byteLength)
  const acts: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const idAt = at + HEAD_BYTES
    const bodyAt = idAt + bytes.readUInt16LE(at + 1)
    const end = bodyAt + bytes.readUInt32LE(at + 3)
    acts.push(ACTS[bytes[at] ?? 0] ?? "", bytes.toString("utf8", idAt, bodyAt), bytes.toString("utf8", bodyAt, end))
    at = end
  }
  if (acts.length % ACT_FIELDS !== 0) throw new Error("A batch of the journal ends within an act.")
  return acts
}
