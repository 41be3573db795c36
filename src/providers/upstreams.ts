/** Connections to providers: one pool per origin, kept for the life of the process. */
import { Http1Pool } from "./http1-pool.ts"

/** More calls than this wait for a connection instead of opening more sockets to one provider. */
const CONNECTIONS_MAX = 4096
/** More calls than this are refused instead of waiting. */
const WAITING_MAX = 16_384
const IDLE_MS = 30_000
/** The server has drained its calls by then; what still goes on is an answer that is read for its usage. */
const CLOSE_MS_MAX = 10_000

export class Upstreams {
  readonly #pools = new Map<string, Http1Pool>()

  /** The pool of an origin such as `https://api.openai.com`. */
  pool(origin: string): Http1Pool {
    let pool = this.#pools.get(origin)
    if (pool === undefined) {
      pool = new Http1Pool(origin, {
        connectionsMax: CONNECTIONS_MAX,
        waitingMax: WAITING_MAX,
        idleMs: IDLE_MS,
        trust: {},
      })
      this.#pools.set(origin, pool)
    }
    return pool
  }

  /** Closes idle connections and waits for busy ones, for a bounded time. */
  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.close(CLOSE_MS_MAX)))
  }
}
