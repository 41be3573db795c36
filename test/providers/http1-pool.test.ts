/** Connections to one origin, over real sockets: servers that fail, reuse, turns, closing. */
import { execFile } from "node:child_process"
import { createServer, type Socket } from "node:net"
import path from "node:path"
import { promisify } from "node:util"
import { afterEach, describe, expect, test } from "vitest"
import { freePort } from "../../src/app/free-port.ts"
import { ask, type Told } from "../support/http1-asking.ts"
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

describe("a server that fails", () => {
  test("that refuses the connection is reported by the system's code", async () => {
    const pool = poolOf(`http://127.0.0.1:${await freePort()}`)
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
    closeLater(() => server.stop())
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
