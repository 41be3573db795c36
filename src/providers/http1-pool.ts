/**
 * HTTP/1.1 connections to one origin. A call takes the connection that was used last, else waits while a new one opens;
 * beyond the bound it waits its turn. Time-outs hang on one timer for all, so a call costs none of its own.
 *
 * A call is never sent twice: the provider might bill it twice. The one exception is a connection that turns out to be
 * broken in the very act of writing, where not a byte has left. So that a server's closing of an idle connection costs
 * no call, one that has rested is given a turn of the event loop first, in which a close that has arrived is seen.
 */
import { Http1Call, type Http1Handler, type Http1Request } from "./http1-call.ts"
import { type ConnectionOwner, Http1Connection } from "./http1-connection.ts"
import { requestHead } from "./http1-request.ts"
import { type Endpoint, endpointOf, SocketOpener, type TlsTrust } from "./http1-socket.ts"
import { UpstreamError } from "./upstream-error.ts"

export type Http1PoolOptions = {
  readonly connectionsMax: number
  /** Calls that may wait for a connection. */
  readonly waitingMax: number
  /** How long a free connection is kept. */
  readonly idleMs: number
  readonly trust: TlsTrust
}

/** How exact time-outs are: they come this much late at most, and never early. */
export const TICK_MS = 100
const READ_BYTES_MAX = 64 * 1024
/** A connection that has been free for as long is looked at before it is used. */
const RESTED_MS = 500

export class Http1Pool implements ConnectionOwner {
  readonly opener: SocketOpener
  readonly readBuffer = Buffer.allocUnsafeSlow(READ_BYTES_MAX)
  readonly idleMs: number
  tick = 0
  readonly #endpoint: Endpoint
  readonly #options: Http1PoolOptions
  readonly #connections = new Set<Http1Connection>()
  readonly #free: Http1Connection[] = []
  #waiting: Http1Call[] = []
  #opening = 0
  #timer: NodeJS.Timeout | null = null
  #closed: Promise<void> | null = null
  #onEmpty: (() => void) | null = null

  constructor(origin: string, options: Http1PoolOptions) {
    this.#endpoint = endpointOf(origin)
    this.#options = options
    this.idleMs = options.idleMs
    this.opener = new SocketOpener(this.#endpoint, options.trust)
  }

  /** Open and opening connections. */
  get connections(): number {
    return this.#connections.size
  }

  dispatch(request: Http1Request, handler: Http1Handler): Http1Call {
    const head = requestHead(request, this.#endpoint.host)
    const call = new Http1Call(request, handler, head.kind === "head" ? head.text : "")
    if (head.kind === "invalid") call.fail(new UpstreamError("UPSTREAM_REQUEST_INVALID", head.detail))
    else if (this.#closed !== null) call.fail(shutDown())
    else this.#place(call)
    return call
  }

  /** Lets calls under way end, for `graceMs` at most; free connections are closed at once. */
  close(graceMs: number): Promise<void> {
    this.#closed ??= this.#close(graceMs)
    return this.#closed
  }

  /** Closes the connections that no call uses. */
  closeFree(): void {
    for (const connection of this.#free.splice(0)) connection.drop(shutDown())
  }

  /** A duration in ticks, rounded so that it is not cut short; 0 is for ever. */
  ticksOf(durationMs: number): number {
    return durationMs === 0 ? Number.POSITIVE_INFINITY : Math.ceil(durationMs / TICK_MS) + 1
  }

  onOpen(connection: Http1Connection): void {
    this.#opening--
    this.onFree(connection)
  }

  onFree(connection: Http1Connection): void {
    while (!connection.isGone) {
      const call = this.#nextWaiting()
      if (call === null) {
        if (this.#closed !== null) connection.drop(shutDown())
        else this.#free.push(connection)
        return
      }
      if (this.#send(connection, call)) return
      if (!call.isOver) this.#waiting.unshift(call)
    }
    this.#openAsWanted()
  }

  onGone(connection: Http1Connection, error: Error | null): void {
    this.#connections.delete(connection)
    const at = this.#free.lastIndexOf(connection)
    if (at >= 0) this.#free.splice(at, 1)
    // Each opening connection was begun for a waiting call; if that one got another, there is nobody to tell.
    if (connection.isOpening) {
      this.#opening--
      this.#nextWaiting()?.fail(error ?? new UpstreamError("UPSTREAM_CLOSED", "The provider closed at once."))
    }
    this.#openAsWanted()
    if (this.#connections.size === 0) this.#onEmpty?.()
  }

  /** One tick of the clock: its own timer calls it while there is anything to watch. */
  sweep(): void {
    this.tick++
    for (const connection of this.#connections) connection.sweep(this.tick)
    for (const call of this.#waiting) {
      if (this.tick < call.deadlineTick || call.isOver) continue
      const message = `All ${this.#connections.size} connections stayed busy for ${call.headMs} ms.`
      call.fail(new UpstreamError("UPSTREAM_QUEUE_TIMEOUT", message))
    }
    this.#waiting = this.#waiting.filter((call) => !call.isOver)
    if (this.#connections.size === 0 && this.#timer !== null) {
      clearInterval(this.#timer)
      this.#timer = null
    }
  }

  async #close(graceMs: number): Promise<void> {
    this.closeFree()
    if (this.#connections.size === 0) return
    const emptied = new Promise<void>((resolve) => {
      this.#onEmpty = resolve
    })
    const timer = setTimeout(() => {
      for (const call of this.#waiting.splice(0)) call.fail(shutDown())
      for (const connection of this.#connections) connection.drop(shutDown())
    }, graceMs)
    await emptied
    clearTimeout(timer)
  }

  #place(call: Http1Call): void {
    for (let connection = this.#free.pop(); connection !== undefined; connection = this.#free.pop()) {
      if (this.tick - connection.freeSinceTick >= RESTED_MS / TICK_MS) {
        this.#look(connection, call)
        return
      }
      if (this.#send(connection, call)) return
      if (call.isOver) {
        this.onFree(connection)
        return
      }
    }
    this.#wait(call)
  }

  #wait(call: Http1Call): void {
    if (this.#waiting.length >= this.#options.waitingMax) {
      call.fail(new UpstreamError("UPSTREAM_QUEUE_FULL", `${this.#waiting.length} calls wait already.`))
      return
    }
    call.deadlineTick = this.tick + this.ticksOf(call.headMs)
    this.#waiting.push(call)
    this.#openAsWanted()
  }

  /** Two immediates span one whole poll for events: a close that the kernel knew of has been read by then. */
  #look(connection: Http1Connection, call: Http1Call): void {
    setImmediate(() =>
      setImmediate(() => {
        if (!connection.isGone && this.#send(connection, call)) return
        this.onFree(connection)
        if (call.isOver) return
        if (this.#closed !== null) call.fail(shutDown())
        else this.#place(call)
      }),
    )
  }

  /** False: the call is over before it was sent, or the connection is gone and the call untouched. */
  #send(connection: Http1Connection, call: Http1Call): boolean {
    call.announce()
    return !call.isOver && connection.send(call)
  }

  #nextWaiting(): Http1Call | null {
    for (let call = this.#waiting.shift(); call !== undefined; call = this.#waiting.shift()) {
      if (!call.isOver) return call
    }
    return null
  }

  #openAsWanted(): void {
    while (this.#opening < this.#waiting.length && this.#connections.size < this.#options.connectionsMax) {
      const connectMs = this.#waiting[this.#opening]?.connectMs ?? 0
      this.#opening++
      this.#connections.add(new Http1Connection(this, connectMs))
      this.#timer ??= setInterval(() => this.sweep(), TICK_MS).unref()
    }
  }
}

function shutDown(): UpstreamError {
  return new UpstreamError("UPSTREAM_SHUT_DOWN", "This proxy is shutting down.")
}
