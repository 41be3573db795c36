/**
 * Some servers of OpenAI's shape refuse a stream that is asked for its usage, because they do not know the question. It was
 * asked on the caller's behalf, so the refusal is not for the caller: the stream is asked for once more as it was written.
 * The refused request did no work and was billed to nobody. Every other refusal is the caller's.
 */
import type { Http1Call, Http1Handler } from "../providers/http1-call.ts"

/** Malformed, or (in servers that check a schema) well-formed and not to be processed. */
const REFUSALS: ReadonlySet<number> = new Set([400, 422])
const SAYS_WHY = /stream_options|include_usage/
/** Longest refusal that is held to be read. */
const HELD_BYTES_MAX = 64 * 1024

/** Stands before the handler of an answer, and holds an answer back only as long as it may be such a refusal. */
export class UsageQuestion implements Http1Handler {
  readonly #handler: Http1Handler
  readonly #askAgain: () => boolean
  #head: { readonly status: number; readonly headers: string[] } | null = null
  #held: Buffer[] = []
  #heldBytes = 0

  /** `askAgain` sends the request without the question, if anybody still waits for it; false where nobody does. */
  constructor(handler: Http1Handler, askAgain: () => boolean) {
    this.#handler = handler
    this.#askAgain = askAgain
  }

  onConnect(call: Http1Call): void {
    this.#handler.onConnect(call)
  }

  onHead(status: number, headers: string[]): void {
    if (REFUSALS.has(status)) this.#head = { status, headers }
    else this.#handler.onHead(status, headers)
  }

  onData(chunk: Buffer): boolean {
    if (this.#head === null) return this.#handler.onData(chunk)
    this.#held.push(chunk)
    this.#heldBytes += chunk.length
    return this.#heldBytes <= HELD_BYTES_MAX || this.#release()
  }

  onComplete(): void {
    const isRefusal = this.#head !== null && SAYS_WHY.test(Buffer.concat(this.#held).toString("latin1"))
    if (isRefusal && this.#askAgain()) return
    this.#release()
    this.#handler.onComplete()
  }

  onError(error: Error): void {
    this.#release()
    this.#handler.onError(error)
  }

  /** False where the handler has enough for now. */
  #release(): boolean {
    if (this.#head === null) return true
    const { status, headers } = this.#head
    this.#head = null
    this.#handler.onHead(status, headers)
    const body = Buffer.concat(this.#held.splice(0))
    return body.length === 0 || this.#handler.onData(body)
  }
}
