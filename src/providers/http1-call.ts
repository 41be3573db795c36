/**
 * One request and its answer on the way. Whoever asked holds it to abort or to resume; it ends exactly once, with
 * `onComplete` or `onError`, and after that neither method does anything.
 */
import { asError } from "../platform/as-error.ts"
import type { RequestLine } from "./http1-request.ts"

export type Http1Request = RequestLine & {
  readonly connectMs: number
  /** From the request's sending to the head of its answer; 0 waits for ever, as below. */
  readonly headMs: number
  /** Longest silence within the body; while the handler has paused the answer, it does not run. */
  readonly idleMs: number
}

/** Called in this order. What it throws fails its own call. */
export type Http1Handler = {
  /** A connection is there and the request is about to be written; an abort in here sends nothing. */
  onConnect(call: Http1Call): void
  /** Names in lower case and values in turn, in the handler's keeping from now on. */
  onHead(status: number, headers: string[]): void
  /**
   * The chunk's memory is the handler's to keep. False pauses the answer until `resume`: at once, since one read is one
   * chunk; but an answer that ended in the same read completes all the same.
   */
  onData(chunk: Buffer): boolean
  onComplete(): void
  onError(error: Error): void
}

/** The connection that carries a call. */
export type Carrier = {
  drop(error: Error): void
  resume(): void
}

export class Http1Call {
  readonly handler: Http1Handler
  readonly isHeadRequest: boolean
  readonly connectMs: number
  readonly headMs: number
  readonly idleMs: number
  headText: string
  body: Buffer | null
  deadlineTick = Number.POSITIVE_INFINITY
  carrier: Carrier | null = null
  #isConnected = false
  #isOver = false

  constructor(request: Http1Request, handler: Http1Handler, headText: string) {
    this.handler = handler
    this.isHeadRequest = request.method === "HEAD"
    this.connectMs = request.connectMs
    this.headMs = request.headMs
    this.idleMs = request.idleMs
    this.headText = headText
    this.body = request.body
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Leaves the answer, wherever it stands: the connection is closed and the handler gets `reason` as its error. */
  abort(reason: Error): void {
    if (this.#isOver) return
    if (this.carrier === null) this.fail(reason)
    else this.carrier.drop(reason)
  }

  resume(): void {
    if (!this.#isOver) this.carrier?.resume()
  }

  /** Tells the handler once, however many connections are tried. */
  announce(): void {
    if (this.#isConnected || this.#isOver) return
    this.#isConnected = true
    try {
      this.handler.onConnect(this)
    } catch (cause) {
      this.fail(asError(cause))
    }
  }

  /** It is sent: a long answer need not keep its request in memory. */
  onSent(carrier: Carrier, deadlineTick: number): void {
    this.carrier = carrier
    this.deadlineTick = deadlineTick
    this.headText = ""
    this.body = null
  }

  complete(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.carrier = null
    try {
      this.handler.onComplete()
    } catch (cause) {
      this.handler.onError(asError(cause))
    }
  }

  fail(error: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.carrier = null
    this.handler.onError(error)
  }
}
