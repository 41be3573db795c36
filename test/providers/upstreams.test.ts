/** The connections to providers, held to what the relay takes for granted. */
import { once } from "node:events"
import { type AddressInfo, createServer, type Socket } from "node:net"
import { afterEach, describe, expect, test } from "vitest"
import type { Http1Pool } from "../../src/providers/http1-pool.ts"
import { Upstreams } from "../../src/providers/upstreams.ts"

const BODY_BYTES = 8 * 1024 * 1024

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

/** Answers every request with `BODY_BYTES` bytes, no two neighbouring kilobytes equal, in writes of many sizes. */
async function startProvider(): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => socket.destroy())
    socket.on("data", () => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${BODY_BYTES}\r\n\r\n`)
      for (let at = 0, size = 1; at < BODY_BYTES; at += size, size = (size * 7 + 13) % 90_001) {
        socket.write(patternAt(at, Math.min(size, BODY_BYTES - at)))
      }
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  stops.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function patternAt(from: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => ((from + index) * 31 + ((from + index) >> 10)) & 0xff))
}

/** Keeps the very chunks that it is given, as an asynchronous write does, and pauses now and then. */
function keepChunks(pool: Http1Pool, kept: Buffer[], pauseEvery: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = pool.dispatch(
      { path: "/", method: "GET", headers: [], body: null, connectMs: 5_000, headMs: 5_000, idleMs: 5_000 },
      {
        onConnect: () => {},
        onHead: () => {},
        onData: (chunk) => {
          kept.push(chunk)
          if (kept.length % pauseEvery !== 0) return true
          setImmediate(() => call.resume())
          return false
        },
        onComplete: () => resolve(),
        onError: reject,
      },
    )
  })
}

describe("the chunks of an answer", () => {
  test.each([1, 3, 1_000_000])(
    "keep their bytes when more is read, so that a write may still be under way (a pause every %i chunks)",
    async (pauseEvery) => {
      const origin = await startProvider()
      const upstreams = new Upstreams()
      stops.push(() => upstreams.close())
      const calls = Array.from({ length: 3 }, () => {
        const kept: Buffer[] = []
        return { kept, done: keepChunks(upstreams.pool(origin), kept, pauseEvery) }
      })
      await Promise.all(calls.map((call) => call.done))
      const expected = patternAt(0, BODY_BYTES)
      for (const { kept } of calls) {
        expect(kept.length).toBeGreaterThan(BODY_BYTES / (64 * 1024))
        expect(Buffer.concat(kept).equals(expected)).toBe(true)
      }
    },
  )
})

/** Answers each request when it is told to, and keeps its connections open. */
async function startSlowProvider() {
  const sockets: Socket[] = []
  let answer = () => {}
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on("error", () => socket.destroy())
    socket.on("data", () => {
      answer = () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  stops.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const asked = () => once(server, "connection").then(([socket]) => once(socket, "data"))
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sockets,
    asked,
    answer: () => answer(),
  }
}

describe("when providers change", () => {
  test("the connections of those that stay are kept, the free ones of those that go are closed at once", async () => {
    const [staying, going] = [await startSlowProvider(), await startSlowProvider()]
    const upstreams = new Upstreams()
    stops.push(() => upstreams.close())
    const pools = [staying, going].map(({ origin }) => upstreams.pool(origin))
    for (const [index, provider] of [staying, going].entries()) {
      const asked = provider.asked()
      const done = keepChunks(pools[index] as Http1Pool, [], 1_000)
      await asked
      provider.answer()
      await done
    }
    const closed = once(going.sockets[0] as Socket, "close")
    upstreams.keep(new Set([staying.origin]))
    await closed
    expect(staying.sockets[0]?.destroyed).toBe(false)
    expect(pools.map((pool) => pool.connections)).toEqual([1, 0])
    // One that is idle by then is forgotten, and what is routed there by an earlier configuration is still sent.
    upstreams.keep(new Set([staying.origin]))
    expect(upstreams.pool(staying.origin)).toBe(pools[0])
    expect(upstreams.pool(going.origin)).not.toBe(pools[1])
  })

  test("a call under way to a provider that goes is answered", async () => {
    const going = await startSlowProvider()
    const upstreams = new Upstreams()
    stops.push(() => upstreams.close())
    const asked = going.asked()
    const kept: Buffer[] = []
    const done = keepChunks(upstreams.pool(going.origin), kept, 1_000)
    await asked
    upstreams.keep(new Set())
    going.answer()
    await done
    expect(Buffer.concat(kept).toString()).toBe("ok")
  })
})
