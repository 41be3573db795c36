/**
 * Connections to providers: one undici pool per origin, kept for the life of the process. Never `fetch`, which costs
 * seven times the CPU of `dispatch` (docs/performance.md).
 */
import { type buildConnector, type Dispatcher, Pool } from "undici"
import type { UpstreamTimeouts } from "./router.ts"

/** More calls than this wait in the pool's queue instead of opening more sockets to one provider. */
const CONNECTIONS_MAX = 4096

/**
 * With a high-water mark of 0 a socket reads once when it is asked, 64 KiB at most, and not ahead: while a caller is
 * slow, the process holds the rest of one read and the kernel holds the provider back.
 */
const READ_AHEAD_BYTES = 0

export class Upstreams {
  readonly #pools = new Map<string, Pool>()

  /** The pool of an origin such as `https://api.openai.com`. */
  pool(origin: string, timeouts: UpstreamTimeouts): Dispatcher {
    let pool = this.#pools.get(origin)
    if (pool === undefined) {
      pool = new Pool(origin, {
        connections: CONNECTIONS_MAX,
        pipelining: 1,
        keepAliveTimeout: 30_000,
        connect: connectorOptions(timeouts),
        allowH2: false,
      })
      this.#pools.set(origin, pool)
    }
    return pool
  }

  /** Closes idle connections and waits for busy ones. */
  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.close()))
  }
}

/** undici hands them on to `net.connect` and `tls.connect`; its own type does not name the high-water mark of both. */
function connectorOptions(timeouts: UpstreamTimeouts): buildConnector.BuildOptions {
  return { timeout: timeouts.connectMs, highWaterMark: READ_AHEAD_BYTES } as buildConnector.BuildOptions
}
