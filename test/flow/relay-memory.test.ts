/**
 * How much of an answer the process itself holds while its caller does not read: what the provider's kernel took, less
 * what stands in kernel buffers before and after the proxy. Those are read from /proc, so this is measured on Linux
 * alone; the code it measures is the same everywhere.
 */
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { bytesUnderWay } from "../support/kernel-buffers.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"

const HELD_BYTES_MAX = 128 * 1024
/** More than kernel buffers take on a machine of usual settings, so that the provider is held back. */
const BODY_BYTES = 96 * 1024 * 1024
/** The provider writes so little at once that what its kernel took of a write that is not done does not matter. */
const PIECE_BYTES = 1024

type Answered = { readonly socket: Socket; readonly head: string; takenBytes: number; body: Buffer }

let server: Server
let app: TestApp
let key: string
let answered: (socket: Socket) => void = () => {}

beforeAll(async () => {
  server = createServer((socket) => {
    let request = ""
    socket.on("error", () => socket.destroy())
    socket.on("data", (data: Buffer) => {
      request += data.toString("latin1")
      if (request.endsWith("}")) answered(socket)
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  app = await startTestApp(`
providers:
  openai: { dialect: openai, base_url: "http://127.0.0.1:${port}/v1", timeouts: { drain_ms: 0 } }
models:
  - { match: "*", provider: openai }
`)
  key = (await app.createKey()).key
})
afterAll(async () => {
  await app?.close()
  server?.close()
})

/** Writes an answer as fast as the other side takes it. */
async function play(answer: Answered): Promise<void> {
  const { socket, head, body } = answer
  socket.write(head)
  for (let at = 0; at < BODY_BYTES && !socket.destroyed; at += PIECE_BYTES) {
    const from = at % body.length
    await new Promise<void>((resolve) => socket.write(body.subarray(from, from + PIECE_BYTES), () => resolve()))
    answer.takenBytes = at + PIECE_BYTES
  }
  socket.end()
}

/** Resolves when nothing has moved for a while. */
async function standstill(state: () => string): Promise<void> {
  let last = ""
  for (let equal = 0; equal < 8; ) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    const now = state()
    equal = now === last ? equal + 1 : 0
    last = now
  }
}

/** Body bytes among the first `wireBytes` bytes of a response. */
function bodyBytesOf(wire: Buffer, wireBytes: number): number {
  const headEnd = wire.indexOf("\r\n\r\n") + 4
  if (!wire.toString("latin1", 0, headEnd).includes("\r\nTransfer-Encoding: chunked")) return wireBytes - headEnd
  let body = 0
  for (let at = headEnd; at < wireBytes; ) {
    const lineEnd = wire.indexOf("\r\n", at)
    const size = Number.parseInt(wire.toString("latin1", at, lineEnd), 16)
    body += Math.max(0, Math.min(size, wireBytes - lineEnd - 2))
    at = lineEnd + 2 + size + 2
  }
  return body
}

/** `bytes` repeated to a length that pieces divide. */
function bodyOf(text: string): Buffer {
  return Buffer.from(text.repeat(PIECE_BYTES))
}

const event = (content: string) => `data: {"choices":[{"index":0,"delta":{"content":"${content}"}}]}\n\n`
const SSE = "content-type: text/event-stream\r\nconnection: close\r\n"
const JSON_HEAD = `content-type: application/json\r\ncontent-length: ${BODY_BYTES}\r\n`

describe.runIf(process.platform === "linux")("of an answer whose caller does not read", () => {
  test.each([
    ["a stream of small events", SSE, bodyOf(event("word")), true],
    ["a stream of small events, with a usage event to hide", SSE, bodyOf(event("word")), false],
    ["a stream of large events", SSE, bodyOf(event("x".repeat(100_000))), true],
    ["a stream of large events, with a usage event to hide", SSE, bodyOf(event("x".repeat(100_000))), false],
    ["a stream without an event's end, with a usage event to hide", SSE, Buffer.alloc(PIECE_BYTES, "x"), false],
    ["a long body", JSON_HEAD, Buffer.alloc(PIECE_BYTES, "x"), true],
    [
      "a long body of unknown length",
      "content-type: audio/mpeg\r\nconnection: close\r\n",
      Buffer.alloc(PIECE_BYTES),
      true,
    ],
  ])("%s: at most 128 KiB are held, and everything arrives when it reads", async (_what, fields, body, asksUsage) => {
    const upstream = new Promise<Socket>((resolve) => {
      answered = resolve
    })
    const caller = connect(app.port, "127.0.0.1")
    caller.pause()
    const request = JSON.stringify({
      model: "m",
      messages: [],
      stream: true,
      ...(asksUsage ? { stream_options: { include_usage: true } } : {}),
    })
    caller.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\n` +
        `content-length: ${request.length}\r\nconnection: close\r\n\r\n${request}`,
    )
    const answer: Answered = { socket: await upstream, head: `HTTP/1.1 200 OK\r\n${fields}\r\n`, takenBytes: 0, body }
    const played = play(answer)
    const ports = { provider: answer.socket.localPort ?? 0, proxy: answer.socket.remotePort ?? 0 }
    const before = () => bytesUnderWay(ports.provider, ports.proxy)
    const behind = () => bytesUnderWay(app.port, caller.localPort ?? 0)
    await standstill(() => `${answer.takenBytes} ${before()} ${behind()}`)
    const [takenBytes, beforeBytes, wireBytes] = [answer.takenBytes, before(), behind()]
    expect(takenBytes).toBeLessThan(BODY_BYTES)
    expect(caller.bytesRead).toBe(0)

    const parts: Buffer[] = []
    caller.on("data", (data: Buffer) => parts.push(data)).resume()
    await Promise.all([once(caller, "close"), played])
    const wire = Buffer.concat(parts)
    const heldBytes = takenBytes + PIECE_BYTES - beforeBytes - bodyBytesOf(wire, wireBytes)
    expect(heldBytes).toBeLessThanOrEqual(HELD_BYTES_MAX)
    expect(bodyBytesOf(wire, wire.length)).toBe(BODY_BYTES)
  })
})
