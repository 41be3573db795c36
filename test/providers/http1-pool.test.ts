/** Connections, time and broken servers, over real sockets. Time is advanced by the pool's own tick, never slept. */
import { execFile } from "node:child_process"
import { once } from "node:events"
import { createServer, type Socket } from "node:net"
import path from "node:path"
import { promisify } from "node:util"
import { afterEach, describe, expect, test } from "vitest"
import { type Http1Pool, type Http1PoolOptions, TICK_MS } from "../../src/providers/http1-pool.ts"
import { Asking, ask, openPool, request, type Told } from "../support/http1-asking.ts"
import { listenRaw, type RawServer, startRawServer } from "../support/raw-server.ts"

const HELLO = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
const HEAD = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
const closing: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

type OnRequest = (socket: Socket, index: number, request: string) => void

async function open(
  onRequest: OnRequest,
  options: Partial<Http1PoolOptions> = {},
): Promise<{ server: RawServer; pool: Http1Pool }> {
  const server = await startRawServer(onRequest)
  closing.push(() => server.stop())
  return { server, pool: poolOf(server.origin, options) }
}

function poolOf(origin: string, options: Partial<Http1PoolOptions> = {}): Http1Pool {
  const pool = openPool(origin, options)
  closing.push(() => pool.close(0))
  return pool
}

function start(pool: Http1Pool, over: Parameters<typeof request>[0] = {}): Asking {
  const asking = new Asking()
  asking.call = pool.dispatch(request(over), asking)
  return asking
}

/** Lets the pool's clock run on; its own timer may add a tick or two. */
function advance(pool: Http1Pool, durationMs: number): void {
  for (let ms = 0; ms < durationMs; ms += TICK_MS) pool.sweep()
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
}

/** Resolves at the first event of that name. */
function reached(asking: Asking, wanted: string): Promise<void> {
  return new Promise((resolve) => {
    asking.onEvent = (event) => event === wanted && resolve()
  })
}

async function refusedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
}

describe("a server that fails", () => {
  test("that refuses the connection is reported by the system's code", async () => {
    const pool = poolOf(`http://127.0.0.1:${await refusedPort()}`)
    const told = await Promise.all([ask(pool), ask(pool), ask(pool)])
    expect(told.map(({ error }) => error?.code)).toEqual(["ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED"])
    expect(told[0]?.events).toEqual(["error"])
    expect(pool.connections).toBe(0)
  })

  test("whose name does not exist is reported by the resolver's code", async () => {
    const told = await ask(poolOf("http://tallygate.invalid"))
    expect(told.error?.code).toMatch(/^(ENOTFOUND|EAI_AGAIN)$/)
    expect(told.events).toEqual(["error"])
  })

  test("that resets in the middle of a body fails the call once, after what was delivered", async () => {
    const { pool } = await open((socket) => {
      socket.write(`${HEAD}hello`)
      setImmediate(() => setTimeout(() => socket.resetAndDestroy(), 20))
    })
    const told = await ask(pool)
    expect(told).toMatchObject({ status: 200, body: "hello", events: ["connect", "head", "data", "error"] })
    expect(told.error?.code).toBe("ECONNRESET")
  })

  test("that closes in the middle of a body never passes for a whole answer", async () => {
    const { pool } = await open((socket) => socket.end(`${HEAD}hello`))
    const told = await ask(pool)
    expect(told.error).toMatchObject({ code: "UPSTREAM_CLOSED" })
    expect(told.events.at(-1)).toBe("error")
  })

  test("that closes without an answer is not asked again: it may have billed the call", async () => {
    let requests = 0
    const { server, pool } = await open((socket, index) => {
      requests++
      if (index === 0) socket.write(HELLO)
      else socket.end()
    })
    expect((await ask(pool)).error).toBeNull()
    const told = await ask(pool)
    expect(told.error).toMatchObject({ code: "UPSTREAM_CLOSED", message: expect.stringContaining("served 1 calls") })
    expect([requests, server.accepted.length]).toEqual([2, 1])
  })

  test("that breaks HTTP in the middle of a body fails the call after what was right", async () => {
    const { pool } = await open((socket) =>
      socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"),
    )
    const told = await ask(pool)
    expect(told).toMatchObject({ body: "hello", error: { code: "UPSTREAM_PROTOCOL" } })
    expect(pool.connections).toBe(0)
  })

  test("that speaks another protocol is told at once", async () => {
    const { pool } = await open((socket) => socket.write("220 mail.example ESMTP\r\n"))
    expect((await ask(pool)).error).toMatchObject({ code: "UPSTREAM_PROTOCOL" })
  })
})

describe("a connection that another call may use", () => {
  test("carries one call after the other, and many calls take as many as are under way", async () => {
    const { server, pool } = await open((socket) => socket.write(HELLO))
    for (let i = 0; i < 50; i++) expect((await ask(pool)).body).toBe("hello")
    expect(server.accepted.length).toBe(1)
    await Promise.all(Array.from({ length: 10 }, () => ask(pool)))
    expect(server.accepted.length).toBe(10)
  })

  test("that the server has closed meanwhile costs no call", async () => {
    const { server, pool } = await open((socket) => socket.write(HELLO))
    expect((await ask(pool)).body).toBe("hello")
    advance(pool, 1_000)
    // The close is in the kernel and not yet read when the next call comes.
    server.accepted[0]?.destroy()
    expect(await ask(pool)).toMatchObject({ body: "hello", error: null })
    expect(server.accepted.length).toBe(2)
  })

  test("that the server has reset a moment ago costs no call, since the write itself fails", async () => {
    const { server, pool } = await open((socket) => socket.write(HELLO))
    expect((await ask(pool)).body).toBe("hello")
    server.accepted[0]?.resetAndDestroy()
    const told = await ask(pool)
    expect(told).toMatchObject({ body: "hello", error: null, events: ["connect", "head", "data", "complete"] })
    expect(server.accepted.length).toBe(2)
  })

  test("is dropped for a byte that nobody asked for", async () => {
    const { server, pool } = await open((socket) => socket.write(HELLO))
    expect((await ask(pool)).body).toBe("hello")
    server.accepted[0]?.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
    await until(() => pool.connections === 0)
    expect((await ask(pool)).body).toBe("hello")
  })

  test.each([
    ["bytes after the answer", `${HELLO}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil`],
    ["connection: close", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"],
    ["HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"],
    ["a keep-alive of one second", "HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 5\r\n\r\nhello"],
  ])("is not after %s", async (_name, answer) => {
    const { server, pool } = await open((socket) => socket.write(answer))
    for (let i = 0; i < 3; i++) expect(await ask(pool)).toMatchObject({ body: "hello", error: null })
    expect(server.accepted.length).toBe(3)
    expect(pool.connections).toBe(0)
  })

  test("is not after an answer that came before its request was sent", async () => {
    const server = await listenRaw(
      createServer((socket) => {
        socket.on("error", () => socket.destroy())
        socket.once("readable", () => socket.write("HTTP/1.1 413 Large\r\ncontent-length: 2\r\n\r\n{}"))
      }),
      "http",
    )
    closing.push(() => server.stop())
    const pool = poolOf(server.origin)
    const told = await ask(pool, { body: Buffer.alloc(32 * 1024 * 1024) })
    expect(told).toMatchObject({ status: 413, body: "{}", error: null })
    expect(pool.connections).toBe(0)
  })

  test("is closed when it was free for long, and earlier where the server says so", async () => {
    const announced = "HTTP/1.1 200 OK\r\nkeep-alive: timeout=5, max=10\r\ncontent-length: 5\r\n\r\nhello"
    const answers = [HELLO, announced]
    for (const [answer, keptMs, closedMs] of [
      [answers[0], 29_000, 2_000],
      [answers[1], 3_500, 1_000],
    ] as const) {
      const { pool } = await open((socket) => socket.write(answer ?? ""))
      await ask(pool)
      advance(pool, keptMs)
      expect(pool.connections).toBe(1)
      advance(pool, closedMs)
      expect(pool.connections).toBe(0)
    }
  })
})

describe("time", () => {
  test("to connect is bounded, for the call that waits for it", async () => {
    // A server that never answers a TLS greeting.
    const { server } = await open(() => {})
    const pool = poolOf(`https://127.0.0.1:${server.port}`)
    const asking = start(pool, { connectMs: 3_000 })
    await until(() => server.accepted.length === 1)
    advance(pool, 2_500)
    expect(asking.told.events).toEqual([])
    advance(pool, 1_000)
    expect(await asking.over).toMatchObject({ events: ["error"], error: { code: "UPSTREAM_CONNECT_TIMEOUT" } })
  })

  test("to the head is bounded, however the head trickles in", async () => {
    let peer: Socket | null = null
    const { pool } = await open((socket) => {
      peer = socket
      socket.write("HTTP/1.1 200 OK\r\n")
    })
    const asking = start(pool, { headMs: 10_000 })
    await until(() => peer !== null)
    for (let i = 0; i < 9; i++) {
      advance(pool, 1_000)
      await new Promise((resolve) => (peer as Socket | null)?.write("x", resolve))
    }
    expect(asking.told.events).toEqual(["connect"])
    advance(pool, 1_500)
    expect(await asking.over).toMatchObject({ error: { code: "UPSTREAM_HEAD_TIMEOUT" } })
  })

  test("within a body is bounded between two chunks, and does not run while we pause", async () => {
    let peer: Socket | null = null
    const { pool } = await open((socket) => {
      peer = socket
      socket.write(`${HEAD}a`)
    })
    const asking = start(pool, { idleMs: 5_000 })
    await reached(asking, "data")
    advance(pool, 4_500)
    asking.isWanted = () => false
    const paused = reached(asking, "data")
    ;(peer as Socket | null)?.write("b")
    await paused
    await new Promise((resolve) => setImmediate(resolve))
    advance(pool, 60_000)
    expect(asking.told).toMatchObject({ body: "ab", error: null })
    asking.call?.resume()
    advance(pool, 4_500)
    expect(asking.told.error).toBeNull()
    advance(pool, 1_500)
    expect(await asking.over).toMatchObject({ error: { code: "UPSTREAM_IDLE_TIMEOUT" } })
  })

  test("of 0 waits for ever", async () => {
    const { pool, server } = await open(() => {})
    const asking = start(pool, { headMs: 0 })
    await until(() => server.accepted.length === 1 && asking.told.events.length === 1)
    advance(pool, 3_600_000)
    expect(asking.told.error).toBeNull()
  })
})

describe("more calls than connections", () => {
  test("wait their turn, and all are answered", async () => {
    const { server, pool } = await open((socket) => setImmediate(() => socket.write(HELLO)), { connectionsMax: 8 })
    const told = await Promise.all(Array.from({ length: 1_000 }, () => ask(pool)))
    expect(told.filter(({ body, error }) => body === "hello" && error === null).length).toBe(1_000)
    expect(server.accepted.length).toBe(8)
  })

  test("are all answered by a server that closes after each answer", async () => {
    const { pool } = await open((socket) => socket.end(HELLO.replace("\r\n", "\r\nconnection: close\r\n")), {
      connectionsMax: 8,
    })
    const told = await Promise.all(Array.from({ length: 300 }, () => ask(pool)))
    expect(told.filter(({ body }) => body === "hello").length).toBe(300)
  })

  test("are refused when too many wait, and when they wait too long", async () => {
    const { pool } = await open(() => {}, { connectionsMax: 1, waitingMax: 2 })
    const first = start(pool)
    await reached(first, "connect")
    const waiting = [start(pool, { headMs: 2_000 }), start(pool, { headMs: 2_000 })]
    expect(await ask(pool)).toMatchObject({ events: ["error"], error: { code: "UPSTREAM_QUEUE_FULL" } })
    advance(pool, 2_500)
    for (const asking of waiting) {
      expect(await asking.over).toMatchObject({ events: ["error"], error: { code: "UPSTREAM_QUEUE_TIMEOUT" } })
    }
    expect(first.told.error).toBeNull()
  })

  test("that leave while they wait do not take a turn", async () => {
    const peers: Socket[] = []
    const { pool } = await open((socket) => peers.push(socket), { connectionsMax: 1 })
    const first = start(pool)
    await reached(first, "connect")
    const left = start(pool)
    const stays = start(pool)
    left.call?.abort(new Error("left"))
    expect(await left.over).toMatchObject({ events: ["error"], error: { message: "left" } })
    for (let i = 1; i <= 2; i++) {
      await until(() => peers.length === i)
      peers[i - 1]?.write(HELLO)
    }
    expect((await stays.over).body).toBe("hello")
  })
})

describe("an abort", () => {
  test.each(["connect", "head", "data"])(
    "at %s is reported once, by its reason, and closes the connection",
    async (at) => {
      const seen: string[] = []
      const { server, pool } = await open((socket, _index, text) => {
        seen.push(text)
        socket.write(`${HEAD}hello`)
      })
      const asking = new Asking()
      const reason = new Error("left")
      asking.onEvent = (event, call) => event === at && call?.abort(reason)
      pool.dispatch(request(), asking)
      const told = await asking.over
      expect(told.error).toBe(reason)
      expect(told.events.slice(-2)).toEqual([at, "error"])
      if (at === "connect") expect([seen.length, pool.connections]).toEqual([0, 1])
      else await until(() => server.accepted[0]?.destroyed === true)
      asking.call?.abort(new Error("again"))
      expect(told.events.filter((event) => event === "error").length).toBe(1)
    },
  )

  test("while a rested connection is looked at sends nothing and leaves the connection to others", async () => {
    const { server, pool } = await open((socket) => socket.write(HELLO))
    await ask(pool)
    advance(pool, 1_000)
    const asking = start(pool)
    asking.call?.abort(new Error("left"))
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
    expect(asking.told.events).toEqual(["error"])
    expect((await ask(pool)).body).toBe("hello")
    expect(server.accepted.length).toBe(1)
  })

  test("after the answer is over touches nobody", async () => {
    const { server, pool } = await open((socket) => socket.write(HELLO))
    const asking = start(pool)
    await asking.over
    const next = start(pool)
    asking.call?.abort(new Error("late"))
    asking.call?.resume()
    expect(await next.over).toMatchObject({ body: "hello", error: null })
    expect(asking.told.error).toBeNull()
    expect(server.accepted.length).toBe(1)
  })

  test.each(["connect", "head", "data"])(
    "comes of a handler that throws at %s, and fails its own call only",
    async (at) => {
      const { pool } = await open((socket) => socket.write(HELLO))
      const fault = new Error("a fault of ours")
      const asking = new Asking()
      asking.onEvent = (event) => {
        if (event === at) throw fault
      }
      pool.dispatch(request(), asking)
      expect((await asking.over).error).toBe(fault)
      expect((await ask(pool)).body).toBe("hello")
    },
  )
})

describe("back pressure", () => {
  test("holds an answer at one read until it is resumed, and then it comes whole", async () => {
    const sizeBytes = 20 * 1024 * 1024
    let peer: Socket | null = null
    const { pool } = await open((socket) => {
      peer = socket
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${sizeBytes}\r\n\r\n`)
      socket.write(Buffer.alloc(sizeBytes, "x"))
    })
    const asking = new Asking()
    asking.isWanted = () => false
    pool.dispatch(request(), asking)
    await reached(asking, "data")
    for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve))
    expect(asking.told.events.filter((event) => event === "data").length).toBe(1)
    expect(asking.told.body.length).toBeLessThanOrEqual(64 * 1024)
    expect((peer as Socket | null)?.writableLength).toBeGreaterThan(1_000_000)
    asking.onEvent = (event, call) => event === "data" && setImmediate(() => call?.resume())
    asking.call?.resume()
    const told = await asking.over
    expect([told.error, told.body.length]).toEqual([null, sizeBytes])
  })

  test("keeps a paused answer's end until it is resumed", async () => {
    const { pool } = await open((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\nhello")
      setTimeout(() => socket.end(" world"), 20)
    })
    const asking = new Asking()
    asking.isWanted = () => false
    pool.dispatch(request(), asking)
    await reached(asking, "data")
    asking.isWanted = () => true
    setTimeout(() => asking.call?.resume(), 60)
    expect(await asking.over).toMatchObject({ body: "hello world", error: null })
  })
})

describe("a pool that closes", () => {
  test("closes free connections at once, lets calls end, and takes no more", async () => {
    const peers: Socket[] = []
    const { pool } = await open((socket) => peers.push(socket))
    const asking = start(pool)
    await until(() => peers.length === 1)
    const closed = pool.close(10_000)
    expect(await ask(pool)).toMatchObject({ events: ["error"], error: { code: "UPSTREAM_SHUT_DOWN" } })
    peers[0]?.write(HELLO)
    expect(await asking.over).toMatchObject({ body: "hello", error: null })
    await closed
    expect(pool.connections).toBe(0)
  })

  test("gives up on calls that outlast its grace", async () => {
    const { pool } = await open(() => {}, { connectionsMax: 1 })
    const asking = start(pool)
    const waiting = start(pool)
    await reached(asking, "connect")
    await pool.close(20)
    for (const { over } of [asking, waiting]) expect((await over).error).toMatchObject({ code: "UPSTREAM_SHUT_DOWN" })
    expect(pool.connections).toBe(0)
    await pool.close(20)
  })

  test("is not needed for the process to end", async () => {
    const { server } = await open((socket) => socket.write(HELLO))
    const file = path.join(import.meta.dirname, "../support/http1-asking.ts")
    const script = `const { ask, openPool } = await import(${JSON.stringify(file)})
      console.log((await ask(openPool(${JSON.stringify(server.origin)}))).body)`
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], { timeout: 20_000 })
    expect((await run).stdout).toContain("hello")
  })
})

describe("a request on the wire", () => {
  test("is head and body in one packet, byte for byte", async () => {
    const packets: string[] = []
    const server = await listenRaw(
      createServer((socket) => {
        socket.on("error", () => socket.destroy())
        socket.on("data", (data) => {
          packets.push(data.toString("latin1"))
          socket.end(HELLO)
        })
      }),
      "http",
    )
    closing.push(() => server.stop())
    await ask(poolOf(server.origin), { path: "/v1/x?y=1" })
    expect(packets).toEqual([
      `POST /v1/x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:${server.port}\r\nconnection: keep-alive\r\n` +
        'content-type: application/json\r\ncontent-length: 16\r\n\r\n{"model":"mock"}',
    ])
  })

  test("may have a body of any size", async () => {
    for (const sizeBytes of [0, 1, 16_000, 17_000, 5_000_000]) {
      const body = Buffer.alloc(sizeBytes, "0123456789")
      const seen: string[] = []
      const { pool } = await open((socket, _index, text) => {
        seen.push(text)
        socket.write(HELLO)
      })
      expect(await ask(pool, { body })).toMatchObject({ error: null })
      expect(seen[0]?.slice((seen[0]?.indexOf("\r\n\r\n") ?? 0) + 4) === body.toString("latin1")).toBe(true)
    }
  })

  test("is not kept in memory while its answer flows", async () => {
    const { pool } = await open((socket) => socket.write(`${HEAD}hello`))
    const asking = start(pool)
    expect(asking.call?.body?.length).toBe(16)
    await reached(asking, "data")
    expect([asking.call?.body, asking.call?.headText]).toEqual([null, ""])
    asking.call?.abort(new Error("enough"))
  })

  test("that is malformed is refused before anything is sent", async () => {
    const { server, pool } = await open((socket) => socket.write(HELLO))
    const told = await ask(pool, { headers: ["x", "a\r\nb: c"] })
    expect(told).toMatchObject({ events: ["error"], error: { code: "UPSTREAM_REQUEST_INVALID" } })
    expect(server.accepted.length).toBe(0)
  })

  test("with HEAD takes an answer without a body", async () => {
    const { server, pool } = await open((socket, _index, text) =>
      socket.write(text.startsWith("HEAD") ? HELLO.slice(0, -5) : HELLO),
    )
    expect(await ask(pool, { method: "HEAD", body: null })).toMatchObject({ status: 200, body: "", error: null })
    expect(await ask(pool)).toMatchObject({ body: "hello" })
    expect(server.accepted.length).toBe(1)
  })
})

test("10,000 calls leave no listener and no socket behind", async () => {
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => void warnings.push(warning)
  process.on("warning", onWarning)
  const { server, pool } = await open((socket) => socket.write(HELLO))
  const call = async (): Promise<Told[]> => Promise.all(Array.from({ length: 10 }, () => ask(pool)))
  await call()
  const listeners = (): number[] => server.accepted.map((socket) => socket.listenerCount("close"))
  const before = listeners()
  for (let i = 1; i < 1_000; i++) {
    expect((await call()).every(({ body, error }) => body === "hello" && error === null)).toBe(true)
  }
  expect(server.accepted.length).toBe(10)
  expect(listeners()).toEqual(before)
  await pool.close(1_000)
  await until(() => server.accepted.every((socket) => socket.destroyed))
  process.off("warning", onWarning)
  expect(warnings).toEqual([])
}, 60_000)
