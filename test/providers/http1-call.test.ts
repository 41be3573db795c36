/** One call over a real socket: its time, its abort, its back pressure, its bytes. */
import { createServer, type Socket } from "node:net"
import { afterEach, describe, expect, test } from "vitest"
import { Asking, ask, request } from "../support/http1-asking.ts"
import {
  advance,
  closeAll,
  closeLater,
  HEAD,
  HELLO,
  open,
  poolOf,
  reached,
  start,
  until,
} from "../support/http1-stage.ts"
import { listenRaw } from "../support/raw-server.ts"

afterEach(closeAll)

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
    closeLater(() => server.stop())
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
