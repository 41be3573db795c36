/**
 * Where our client meets a server that a test plays: both are opened here and closed by `closeAll` after the test.
 * Time is advanced by the pool's own tick, never slept.
 */
import type { Socket } from "node:net"
import { type Http1Pool, type Http1PoolOptions, TICK_MS } from "../../src/providers/http1-pool.ts"
import { Asking, openPool, request } from "./http1-asking.ts"
import { type RawServer, startRawServer } from "./raw-server.ts"

export const HELLO = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
export const HEAD = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
/** What the test that runs has opened. */
const closing: (() => Promise<unknown>)[] = []

export async function closeAll(): Promise<void> {
  for (const close of closing.splice(0).reverse()) await close()
}

export function closeLater(close: () => Promise<unknown>): void {
  closing.push(close)
}

type OnRequest = (socket: Socket, index: number, request: string) => void

export async function open(
  onRequest: OnRequest,
  options: Partial<Http1PoolOptions> = {},
): Promise<{ server: RawServer; pool: Http1Pool }> {
  const server = await startRawServer(onRequest)
  closing.push(() => server.stop())
  return { server, pool: poolOf(server.origin, options) }
}

export function poolOf(origin: string, options: Partial<Http1PoolOptions> = {}): Http1Pool {
  const pool = openPool(origin, options)
  closing.push(() => pool.close(0))
  return pool
}

export function start(pool: Http1Pool, over: Parameters<typeof request>[0] = {}): Asking {
  const asking = new Asking()
  asking.call = pool.dispatch(request(over), asking)
  return asking
}

/** Lets the pool's clock run on; its own timer may add a tick or two. */
export function advance(pool: Http1Pool, durationMs: number): void {
  for (let ms = 0; ms < durationMs; ms += TICK_MS) pool.sweep()
}

export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
}

/** Resolves at the first event of that name. */
export function reached(asking: Asking, wanted: string): Promise<void> {
  return new Promise((resolve) => {
    asking.onEvent = (event) => event === wanted && resolve()
  })
}
