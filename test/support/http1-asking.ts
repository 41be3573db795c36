/** Asks through our own client and keeps all that its handler was told, in order. */
import type { Http1Call, Http1Handler, Http1Request } from "../../src/providers/http1-call.ts"
import { Http1Pool, type Http1PoolOptions } from "../../src/providers/http1-pool.ts"

export type Told = {
  status: number
  headers: string[]
  body: string
  error: (Error & { code?: string }) | null
  /** `connect`, `head`, `data`, `complete`, `error`: each call of the handler. */
  readonly events: string[]
}

export function openPool(origin: string, options: Partial<Http1PoolOptions> = {}): Http1Pool {
  return new Http1Pool(origin, { connectionsMax: 64, waitingMax: 10_000, idleMs: 30_000, trust: {}, ...options })
}

export class Asking implements Http1Handler {
  readonly told: Told = { status: 0, headers: [], body: "", error: null, events: [] }
  readonly over: Promise<Told>
  call: Http1Call | null = null
  /** What each event does besides being noted. */
  onEvent: (event: string, call: Http1Call | null) => void = () => {}
  isWanted: () => boolean = () => true
  #resolve: (told: Told) => void = () => {}

  constructor() {
    this.over = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  onConnect(call: Http1Call): void {
    this.call = call
    this.#note("connect")
  }

  onHead(status: number, headers: string[]): void {
    this.told.status = status
    this.told.headers = headers
    this.#note("head")
  }

  onData(chunk: Buffer): boolean {
    this.told.body += chunk.toString("latin1")
    this.#note("data")
    return this.isWanted()
  }

  onComplete(): void {
    this.#note("complete")
    this.#resolve(this.told)
  }

  onError(error: Error): void {
    this.told.error = error
    this.#note("error")
    this.#resolve(this.told)
  }

  #note(event: string): void {
    this.told.events.push(event)
    this.onEvent(event, this.call)
  }
}

export function request(over: Partial<Http1Request> = {}): Http1Request {
  const body = Buffer.from('{"model":"mock"}')
  const headers = ["content-type", "application/json"]
  return { method: "POST", path: "/v1", headers, body, connectMs: 5_000, headMs: 20_000, idleMs: 20_000, ...over }
}

export function ask(pool: Http1Pool, over: Partial<Http1Request> = {}): Promise<Told> {
  const asking = new Asking()
  pool.dispatch(request(over), asking)
  return asking.over
}
