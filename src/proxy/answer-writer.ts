/**
 * Writes a relayed answer to the caller. In chunked coding (RFC 9112, section 7.1) it frames each piece itself, in one
 * buffer: Node hands the kernel four parts for it, at 5.9 instead of 4.9 µs of CPU for an SSE event. Everything else
 * about the coding, which answers have it and how they end, is left to Node.
 */
import type { ServerResponse } from "node:http"

/** Above this, copying a piece costs more than four parts do. */
const FRAMED_BYTES_MAX = 16 * 1024
/** So much with its head is written without Node's taking memory for it. */
const WHOLE_BYTES_MAX = 12 * 1024
const CR = 0x0d
const LF = 0x0a

export class AnswerWriter {
  readonly #response: ServerResponse
  #isHeadSent = false

  constructor(response: ServerResponse) {
    this.#response = response
  }

  /**
   * Prepares the head: it leaves with the first bytes, or in this turn of the event loop if there are none. So a
   * stream's head does not wait for its first event, but shares a packet with it where both are there.
   */
  begin(status: number, headers: readonly string[], isPrompt: boolean): void {
    this.#response.writeHead(status, headers as string[])
    if (isPrompt) setImmediate(() => this.#sendHead())
  }

  /**
   * The whole answer at once. A short body goes as the text of its bytes, each of them one character of Latin-1: Node puts
   * such a text behind the head and hands the kernel one piece, where head and buffer are two and cost a fifth more.
   */
  whole(status: number, headers: readonly string[], body: Buffer): void {
    this.#response.writeHead(status, headers as string[])
    if (body.length > WHOLE_BYTES_MAX) this.#response.end(body)
    else this.#response.end(body.toString("latin1"), "latin1")
  }

  /** Returns false where the caller is slow; `drain` of the response says when it is not any more. */
  write(bytes: Buffer): boolean {
    const response = this.#response
    this.#isHeadSent = true
    if (!response.chunkedEncoding || bytes.length > FRAMED_BYTES_MAX) return response.write(bytes)
    response.chunkedEncoding = false
    const isTaken = response.write(framed(bytes))
    response.chunkedEncoding = true
    return isTaken
  }

  #sendHead(): void {
    if (!this.#isHeadSent && !this.#response.destroyed) this.#response.flushHeaders()
  }
}

function framed(bytes: Buffer): Buffer {
  const size = bytes.length.toString(16)
  const from = size.length + 2
  const end = from + bytes.length
  const frame = Buffer.allocUnsafe(end + 2)
  frame.write(size, 0, "latin1")
  frame[from - 2] = CR
  frame[from - 1] = LF
  frame.set(bytes, from)
  frame[end] = CR
  frame[end + 1] = LF
  return frame
}
