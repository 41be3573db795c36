/** The way to a provider over TLS: whom we trust, and that reading into a shared buffer holds beneath encryption too. */
import { mkdtempSync, rmSync } from "node:fs"
import type { Socket } from "node:net"
import { tmpdir } from "node:os"
import path from "node:path"
import { createServer, type TLSSocket } from "node:tls"
import { afterAll, afterEach, expect, test } from "vitest"
import { Asking, ask, openPool, request } from "../support/http1-asking.ts"
import { listenRaw, type RawServer, serveRaw, startRawServer } from "../support/raw-server.ts"
import { selfSigned } from "../support/self-signed.ts"

const HELLO = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
const dir = mkdtempSync(path.join(tmpdir(), "tallygate-tls-"))
const closing: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

type Identity = { readonly key: string; readonly cert: string }

const ours = selfSigned(dir)

async function open(
  identity: Identity,
  onRequest: (socket: Socket, index: number, text: string) => void,
): Promise<RawServer> {
  const server = createServer({ key: identity.key, cert: identity.cert, ALPNProtocols: ["h2", "http/1.1"] }, (socket) =>
    serveRaw(socket, onRequest),
  )
  const raw = await listenRaw(server, "https")
  closing.push(() => raw.stop())
  return raw
}

function poolOf(...args: Parameters<typeof openPool>): ReturnType<typeof openPool> {
  const pool = openPool(...args)
  closing.push(() => pool.close(0))
  return pool
}

test("a certificate that nobody vouches for is refused, and nothing is sent", async () => {
  let requests = 0
  const server = await open(ours, () => requests++)
  const told = await ask(poolOf(server.origin))
  expect(told).toMatchObject({ events: ["error"], error: { code: "DEPTH_ZERO_SELF_SIGNED_CERT" } })
  expect(requests).toBe(0)
})

test("a certificate for another host is refused although its issuer is trusted", async () => {
  const other = selfSigned(dir, "DNS:other.example")
  const server = await open(other, (socket) => socket.write(HELLO))
  const told = await ask(poolOf(server.origin, { trust: { ca: other.cert } }))
  expect(told).toMatchObject({ events: ["error"], error: { code: "ERR_TLS_CERT_ALTNAME_INVALID" } })
})

test("a server that speaks no TLS is an error, not an answer", async () => {
  const server = await startRawServer((socket) => socket.write(HELLO))
  closing.push(() => server.stop())
  // It takes the greeting for a request without an end; what it says unasked is no TLS either.
  const asking = new Asking()
  poolOf(`https://127.0.0.1:${server.port}`).dispatch(request(), asking)
  while (server.accepted.length === 0) await new Promise((resolve) => setImmediate(resolve))
  server.accepted[0]?.write(HELLO)
  const told = await asking.over
  expect(told.events).toEqual(["error"])
  expect(told.error?.code).toMatch(/^ERR_SSL_/)
})

test("with a trusted authority calls are answered over HTTP/1.1, on one connection, by name and by address", async () => {
  const server = await open(ours, (socket) => socket.write(HELLO))
  for (const origin of [server.origin, `https://localhost:${server.port}`]) {
    const before = server.accepted.length
    const pool = poolOf(origin, { trust: { ca: ours.cert } })
    for (let i = 0; i < 20; i++) expect(await ask(pool)).toMatchObject({ body: "hello", error: null })
    expect(server.accepted.length).toBe(before + 1)
    expect((server.accepted[before] as TLSSocket).alpnProtocol).toBe("http/1.1")
  }
})

test("the server is told the name we mean, and never an address", async () => {
  const server = await open(ours, (socket) => socket.write(HELLO))
  await ask(poolOf(`https://localhost:${server.port}`, { trust: { ca: ours.cert } }))
  await ask(poolOf(server.origin, { trust: { ca: ours.cert } }))
  expect(server.accepted.map((socket) => (socket as TLSSocket & { servername: unknown }).servername)).toEqual([
    "localhost",
    false,
  ])
})

test("a second connection resumes the session of the first", async () => {
  const resumed: boolean[] = []
  const server = await open(ours, (socket) => {
    resumed.push((socket as TLSSocket).isSessionReused())
    socket.end(HELLO.replace("\r\n", "\r\nconnection: close\r\n"))
  })
  const pool = poolOf(server.origin, { trust: { ca: ours.cert } })
  for (let i = 0; i < 3; i++) expect(await ask(pool)).toMatchObject({ body: "hello", error: null })
  expect(resumed).toEqual([false, true, true])
})

test("many large answers at once, paused at every chunk, are not mixed up", async () => {
  const sizeBytes = 2_000_000
  const server = await open(ours, (socket, _index, text) => {
    const mark = / \/(\w)/.exec(text)?.[1] ?? ""
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${sizeBytes}\r\n\r\n`)
    socket.write(Buffer.alloc(sizeBytes, mark))
  })
  const pool = poolOf(server.origin, { trust: { ca: ours.cert } })
  const asked = [..."abcdefgh"].map(async (mark) => {
    const asking = new Asking()
    asking.isWanted = () => false
    asking.onEvent = (event, call) => event === "data" && setImmediate(() => call?.resume())
    pool.dispatch(request({ path: `/${mark}` }), asking)
    const told = await asking.over
    return told.error === null && told.body === mark.repeat(sizeBytes)
  })
  expect(await Promise.all(asked)).toEqual(Array(8).fill(true))
})

test("requests of any size arrive whole", async () => {
  for (const sizeBytes of [0, 10_000, 3_000_000]) {
    const body = Buffer.alloc(sizeBytes, "0123456789")
    const arrived: boolean[] = []
    const server = await open(ours, (socket, _index, text) => {
      arrived.push(text.endsWith(`\r\n\r\n${body.toString("latin1")}`))
      socket.write(HELLO)
    })
    expect(await ask(poolOf(server.origin, { trust: { ca: ours.cert } }), { body })).toMatchObject({ error: null })
    expect(arrived).toEqual([true])
  }
})

test("a connection that is cut in the middle of a body is an error", async () => {
  const server = await open(ours, (socket) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
    setTimeout(() => socket.destroy(), 20)
  })
  const told = await ask(poolOf(server.origin, { trust: { ca: ours.cert } }))
  expect(told).toMatchObject({ status: 200, body: "hello" })
  expect(told.error?.code).toMatch(/^(UPSTREAM_CLOSED|ECONNRESET)$/)
})
