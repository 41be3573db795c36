/** Connections to providers: one pool per origin, kept for as long as a provider has it. */
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
  #kept: ReadonlySet<string> | null = null
  #forgetting: NodeJS.Timeout | undefined

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

  /**
   * Keeps the pools of these origins as they are. Free connections to others are closed at once, busy ones when their
   * answers are over, and calls that were routed there before are still sent.
   */
  keep(origins: ReadonlySet<string>): void {
    this.#kept = origins
    for (const [origin, pool] of this.#pools) if (!origins.has(origin)) pool.closeFree()
    this.#forget()
  }

  #forget(): void {
    clearTimeout(this.#forgetting)
    const gone = [...this.#pools].filter(([origin]) => this.#kept?.has(origin) === false)
    for (const [origin, pool] of gone) if (pool.connections === 0) this.#pools.delete(origin)
    // What is busy now is free after its answer, and closes when it has been idle.
    if (gone.some(([origin]) => this.#pools.has(origin))) {
      this.#forgetting = setTimeout(() => this.#forget(), IDLE_MS).unref()
    }
  }

  /** Closes idle connections and waits for busy ones, for a bounded time. */
  async close(): Promise<void> {
    clearTimeout(this.#forgetting)
    await Promise.all([...this.#pools.values()].map((pool) => pool.close(CLOSE_MS_MAX)))
  }
}
