/**
 * One socket to a provider. It is opening, then free or carrying one call, then gone; pipelining is not done. While it
 * is free, any sign of life from the other side ends it: a byte nobody asked for would be read as the next answer.
 * A read is taken apart completely before the handler hears of it, so whatever the handler does cannot disturb it.
 */
import type { Socket } from "node:net"
import { asError } from "../platform/as-error.ts"
import type { Carrier, Http1Call } from "./http1-call.ts"
import { type Progress, ResponseParser } from "./http1-response.ts"
import type { SocketOpener } from "./http1-socket.ts"
import { UpstreamError } from "./upstream-error.ts"

/** What a connection needs of the pool it belongs to. */
export type ConnectionOwner = {
  readonly opener: SocketOpener
  /** Shared by all connections: see http1-socket.ts. */
  readonly readBuffer: Buffer
  /** The pool's clock. */
  readonly tick: number
  readonly idleMs: number
  ticksOf(durationMs: number): number
  onOpen(connection: Http1Connection): void
  onFree(connection: Http1Connection): void
  /** `error` is null where nobody needs to hear of it. */
  onGone(connection: Http1Connection, error: Error | null): void
}

/** Up to this size head and body are copied into one buffer: cheaper than handing the kernel two. */
const ONE_WRITE_BYTES_MAX = 16 * 1024
/** Where the server names the time it keeps a connection, we leave this much earlier. */
const KEEP_ALIVE_MARGIN_MS = 1_000

export class Http1Connection implements Carrier {
  readonly #owner: ConnectionOwner
  readonly #socket: Socket
  readonly #parser = new ResponseParser()
  #call: Http1Call | null = null
  #hasHead = false
  #isPaused = false
  #isGone = false
  #served = 0
  isOpening = true
  /** While it opens: when it is given up. While it is free: when it is closed. */
  #untilTick: number
  freeSinceTick = 0

  constructor(owner: ConnectionOwner, connectMs: number) {
    this.#owner = owner
    this.#untilTick = owner.tick + owner.ticksOf(connectMs)
    this.#socket = owner.opener.open({
      buffer: owner.readBuffer,
      onRead: (lengthBytes) => this.#onRead(lengthBytes),
      onOpen: () => this.#onOpen(),
      onEnd: () => this.#onEnd(),
      onError: (error) => this.#lose(error),
      onClose: () => this.#lose(null),
    })
  }

  get isGone(): boolean {
    return this.#isGone
  }

  /**
   * Puts a call on the wire. False says that the connection is broken and that no byte of the call has reached the
   * kernel, so that it may safely go elsewhere: only a write that fails on the spot proves that.
   */
  send(call: Http1Call): boolean {
    const { body, headText } = call
    this.#socket.ref()
    this.#parser.start(call.isHeadRequest)
    this.#hasHead = false
    if (body === null || body.length === 0) this.#socket.write(headText, "latin1")
    else if (headText.length + body.length <= ONE_WRITE_BYTES_MAX) this.#writeAsOne(headText, body)
    else this.#writeBoth(headText, body)
    // Beneath TLS a write is of records, and says nothing about ours.
    if (this.#socket.errored !== null && !("encrypted" in this.#socket)) {
      this.#lose(null)
      return false
    }
    this.#call = call
    call.onSent(this, this.#owner.tick + this.#owner.ticksOf(call.headMs))
    return true
  }

  /** Closes at once; a call under way gets `error`. */
  drop(error: Error): void {
    this.#lose(error)
  }

  resume(): void {
    const call = this.#call
    if (!this.#isPaused || call === null) return
    this.#isPaused = false
    call.deadlineTick = this.#owner.tick + this.#owner.ticksOf(call.idleMs)
    this.#socket.resume()
  }

  /** Ends what has taken too long. */
  sweep(tick: number): void {
    const call = this.#call
    if (call !== null) {
      if (tick < call.deadlineTick) return
      const { headMs, idleMs } = call
      this.#lose(
        this.#hasHead
          ? new UpstreamError("UPSTREAM_IDLE_TIMEOUT", `The answer stopped for ${idleMs} ms.`)
          : new UpstreamError("UPSTREAM_HEAD_TIMEOUT", `No answer began within ${headMs} ms.`),
      )
    } else if (tick >= this.#untilTick) {
      this.#lose(this.isOpening ? new UpstreamError("UPSTREAM_CONNECT_TIMEOUT", "No connection in time.") : null)
    }
  }

  #writeAsOne(headText: string, body: Buffer): void {
    const bytes = Buffer.allocUnsafe(headText.length + body.length)
    bytes.write(headText, 0, "latin1")
    bytes.set(body, headText.length)
    this.#socket.write(bytes)
  }

  #writeBoth(headText: string, body: Buffer): void {
    this.#socket.cork()
    this.#socket.write(headText, "latin1")
    this.#socket.write(body)
    this.#socket.uncork()
  }

  #onOpen(): void {
    if (this.#isGone) return
    this.isOpening = false
    this.#rest()
    this.#owner.onOpen(this)
  }

  /** Free from now on; it does not keep the process alive. */
  #rest(): void {
    const { keepAliveMs } = this.#parser
    const owner = this.#owner
    const restMs = keepAliveMs === null ? owner.idleMs : Math.min(owner.idleMs, keepAliveMs - KEEP_ALIVE_MARGIN_MS)
    this.freeSinceTick = owner.tick
    this.#untilTick = owner.tick + owner.ticksOf(restMs)
    this.#socket.unref()
  }

  #onRead(lengthBytes: number): boolean {
    const call = this.#call
    if (call === null) {
      this.#lose(this.isOpening ? protocolError("it spoke before it was asked") : null)
      return true
    }
    const progress = this.#parser.push(this.#owner.readBuffer, lengthBytes)
    let isWanted = true
    try {
      isWanted = this.#deliver(call, progress)
    } catch (cause) {
      this.#lose(asError(cause))
    }
    if (call.isOver) return true
    if (progress.violation !== null) this.#lose(protocolError(progress.violation))
    else if (progress.isDone) this.#finish(call)
    else if (!isWanted) {
      this.#isPaused = true
      call.deadlineTick = Number.POSITIVE_INFINITY
      return false
    }
    return true
  }

  #deliver(call: Http1Call, progress: Progress): boolean {
    const { head, body } = progress
    if (head !== null || body !== null) call.deadlineTick = this.#owner.tick + this.#owner.ticksOf(call.idleMs)
    if (head !== null) {
      this.#hasHead = true
      call.handler.onHead(head.status, head.headers)
      if (call.isOver) return true
    }
    return body === null || call.handler.onData(body)
  }

  #finish(call: Http1Call): void {
    this.#call = null
    call.carrier = null
    this.#served++
    const { keepAliveMs, isReusable } = this.#parser
    // An answer that came before its request was sent in full leaves half a request on the wire.
    const isFit = isReusable && this.#socket.writableLength === 0 && (keepAliveMs ?? Infinity) > KEEP_ALIVE_MARGIN_MS
    if (isFit) {
      this.#rest()
      this.#owner.onFree(this)
    } else this.#lose(null)
    call.complete()
  }

  #onEnd(): void {
    const call = this.#call
    if (call !== null && this.#hasHead && this.#parser.isWholeAtClose) this.#finish(call)
    else this.#lose(null)
  }

  #lose(error: Error | null): void {
    if (this.#isGone) return
    this.#isGone = true
    const call = this.#call
    this.#call = null
    this.#socket.destroy()
    try {
      this.#owner.onGone(this, error)
    } finally {
      call?.fail(error ?? this.#closedError())
    }
  }

  #closedError(): UpstreamError {
    const when = this.#hasHead
      ? "in the middle of its answer"
      : this.#parser.isUntouched
        ? "without an answer"
        : "within the head of its answer"
    const which = this.#served > 0 ? ` a connection that had served ${this.#served} calls before` : " the connection"
    return new UpstreamError("UPSTREAM_CLOSED", `The provider closed${which} ${when}.`)
  }
}

function protocolError(detail: string): UpstreamError {
  return new UpstreamError("UPSTREAM_PROTOCOL", `The provider broke HTTP: ${detail}.`)
}
