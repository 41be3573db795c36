import { createHash } from "node:crypto"
import { once } from "node:events"
import { request as httpRequest, type IncomingMessage } from "node:http"
import type { Socket } from "node:net"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type HandPlayedProvider, type PlayedCall, startHandPlayedProvider } from "../support/hand-played-provider.ts"
import { canSeeKernelBuffers, kernelBufferedBytes } from "../support/kernel-buffers.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"

let provider: HandPlayedProvider
let app: TestApp
let key: string

beforeAll(async () => {
  provider = await startHandPlayedProvider()
  app = await startTestApp(`
providers:
  by-hand: { dialect: openai, base_url: ${provider.baseUrl} }
  undrained: { dialect: openai, base_url: ${provider.baseUrl}, timeouts: { drain_ms: 0 } }
models:
  - { match: "undrained", provider: undrained }
  - { match: "*", provider: by-hand }
timeouts: { drain_ms: 60000 }
`)
  key = (await app.createKey()).key
})
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

type Asked = { model?: string; stream?: boolean; asksUsage?: boolean; tool?: string; isDeaf?: boolean }

/** Calls; the answer's head, the provider's side of it, a way to leave, and for a deaf caller one to begin reading. */
async function open({ model = "gpt-4o", stream = true, asksUsage = false, tool = "", isDeaf = false }: Asked) {
  const headers = { authorization: `Bearer ${key}`, connection: "close", "x-tallygate-tool": tool }
  const request = httpRequest({ port: app.port, path: "/v1/chat/completions", method: "POST", headers })
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.on("response", resolve)
    request.on("error", reject)
  })
  // A caller that leaves before its answer gets none.
  answered.catch(() => undefined)
  const connected = once(request, "socket").then(([socket]: Socket[]) => socket as Socket)
  if (isDeaf) void connected.then((socket) => socket.pause())
  const options = asksUsage ? { stream_options: { include_usage: true } } : {}
  request.end(JSON.stringify({ model, stream, ...options, messages: [{ role: "user", content: "Count me." }] }))
  const socket = await connected
  const leave = async () => {
    const closed = once(socket, "close")
    request.destroy()
    await closed
    // The proxy lives on this event loop and loopback delivers at once: after a few turns it has read the end.
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  return { call: await provider.nextCall(), answered, leave, listen: () => socket.resume() }
}

function beginStream(call: PlayedCall): void {
  call.response.writeHead(200, { "content-type": "text/event-stream" })
  call.response.flushHeaders()
}

/** Reads until the text is there in full; an answer that ends or says something else fails the test. */
async function readUntil(body: AsyncIterator<Buffer>, text: string): Promise<void> {
  for (let got = ""; got !== text; ) {
    if (!text.startsWith(got)) throw new Error(`expected ${JSON.stringify(text)}, got ${JSON.stringify(got)}`)
    const { done, value } = await body.next()
    if (done) throw new Error(`the answer ended before ${JSON.stringify(text)}`)
    got += value.toString("latin1")
  }
}

function recordOf(tool: string): Promise<UsageRecord> {
  return until(async () => {
    const { data } = (await app.admin("GET", "/admin/v1/usage/records?limit=1000")).body
    return data.find((record) => record.tool === tool)
  })
}

const USAGE = { prompt_tokens: 30, completion_tokens: 4, total_tokens: 34 }
const USAGE_DATA = `data: ${JSON.stringify({ choices: [], usage: USAGE })}`
const CONTENT_DATA = 'data: {"choices":[{"index":0,"delta":{"content":"five short words of text"}}]}'

// Each piece is sent only after the one before arrived: a proxy that holds one back would let the test wait for ever.
describe("bytes leave when they come", () => {
  const EVENTS = [": a comment", CONTENT_DATA, 'event: note\ndata: {"choices":[],"usage":null}', "data: no JSON"]

  describe.each([
    ["LF", "\n"],
    ["CRLF", "\r\n"],
    ["CR", "\r"],
  ])("in a stream of lines that end in %s", (_name, newline) => {
    const onWire = (event: string) => event.replaceAll("\n", newline) + newline + newline

    test.each([
      ["asked for usage", true],
      ["did not, so that its usage event is hidden", false],
    ])("each event reaches a caller that %s", async (_what, asksUsage) => {
      const { call, answered } = await open({ asksUsage })
      beginStream(call)
      const answer = await answered
      const body = answer[Symbol.asyncIterator]()
      for (const event of [...EVENTS, CONTENT_DATA]) {
        await call.write(onWire(event))
        await readUntil(body, onWire(event))
      }
      await call.write(onWire(USAGE_DATA))
      if (asksUsage) await readUntil(body, onWire(USAGE_DATA))
      await call.write(onWire("data: [DONE]"))
      await readUntil(body, onWire("data: [DONE]"))
      call.response.end()
      expect((await body.next()).done).toBe(true)
      const record = await app.record(String(answer.headers["x-request-id"]))
      expect(record).toMatchObject({ usage_source: "provider", input_uncached_tokens: 30, output_tokens: 4 })
    })
  })

  test.each([
    ["half an event of a stream whose caller asked for usage", true],
    ["half a JSON body", false],
  ])("%s does not wait for the other half", async (_what, stream) => {
    const { call, answered } = await open({ stream, asksUsage: stream })
    call.response.writeHead(200, { "content-type": stream ? "text/event-stream" : "application/json" })
    await call.write('data: {"choices":[{"del')
    const body = (await answered)[Symbol.asyncIterator]()
    await readUntil(body, 'data: {"choices":[{"del')
    for (const part of ['ta":{}}]}', "\n", "\n"]) {
      await call.write(part)
      await readUntil(body, part)
    }
    call.response.end()
    expect((await body.next()).done).toBe(true)
  })

  test("the head of a stream arrives while the provider is silent after its own", async () => {
    const { call, answered } = await open({})
    beginStream(call)
    expect((await answered).statusCode).toBe(200)
    call.response.end("data: [DONE]\n\n")
    for await (const chunk of await answered) expect(String(chunk)).toContain("[DONE]")
  })
})

describe("a caller that does not read", () => {
  const EVENT = Buffer.from(`data: {"choices":[{"index":0,"delta":{"content":"${"x".repeat(15_000)}"}}]}\n\n`)
  const EVENTS = Math.ceil((64 * 1024 * 1024) / EVENT.length)

  /** Pushes all events as fast as they are taken; `pushed` counts the bytes that the kernel took. */
  function pushAll(call: PlayedCall) {
    const state = { pushed: 0, done: Promise.resolve() }
    state.done = (async () => {
      beginStream(call)
      for (let i = 0; i < EVENTS; i++) {
        await call.write(EVENT)
        state.pushed += EVENT.length
      }
      call.response.end(`${USAGE_DATA}\n\ndata: [DONE]\n\n`)
    })()
    return state
  }

  /** Resolves when nothing more was taken for half a second. */
  async function stalled(state: { pushed: number }): Promise<void> {
    let before = -1
    let sinceMs = performance.now()
    await until(async () => {
      if (state.pushed !== before) sinceMs = performance.now()
      before = state.pushed
      return performance.now() - sinceMs > 500 ? true : undefined
    }, 20_000)
  }

  function usedBytes(): number {
    setFlagsFromString("--expose-gc")
    runInNewContext("gc")()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }

  test.each([
    ["asked for usage", true],
    ["did not, so that its usage event is hidden", false],
  ])("and %s blocks the provider, fills no memory, and gets everything once it reads", async (_what, asksUsage) => {
    const { call, answered, listen } = await open({ asksUsage, isDeaf: true })
    const before = usedBytes()
    const state = pushAll(call)
    await stalled(state)
    const total = EVENTS * EVENT.length
    expect(state.pushed).toBeLessThan(total)
    // Provider, proxy and caller are this process: whatever is buffered shows here.
    expect(usedBytes() - before).toBeLessThan(16 * 1024 * 1024)
    if (canSeeKernelBuffers) {
      const held = state.pushed - kernelBufferedBytes([provider.port, app.port])
      console.log("HELD", held, state.pushed, usedBytes() - before)
      expect(held).toBeLessThan(HELD_BYTES_MAX)
    }

    listen()
    const answer = await answered
    const hash = createHash("sha256")
    for await (const chunk of answer) hash.update(chunk)
    await state.done
    const expected = createHash("sha256")
    for (let i = 0; i < EVENTS; i++) expected.update(EVENT)
    expected.update(asksUsage ? `${USAGE_DATA}\n\ndata: [DONE]\n\n` : "data: [DONE]\n\n")
    expect(hash.digest("hex")).toBe(expected.digest("hex"))
    const record = await app.record(String(answer.headers["x-request-id"]))
    expect(record).toMatchObject({ end_state: "complete", usage_source: "provider", output_tokens: 4 })
  })

  /** The proxy's 128 KiB, the 64 KiB that the caller's stream reads ahead, and one event that the kernel took in part. */
  const HELD_BYTES_MAX = (128 + 64 + 16) * 1024
})

describe("a caller that leaves", () => {
  test("before any answer is read on to the usage that the provider bills", async () => {
    const { call, leave } = await open({ stream: false, tool: "before" })
    await leave()
    call.response.writeHead(200, { "content-type": "application/json" })
    call.response.end(JSON.stringify({ model: "gpt-4o", choices: [], usage: USAGE }))
    expect(await recordOf("before")).toMatchObject({
      outcome: "aborted",
      end_state: "client_abort",
      http_status: 0,
      usage_source: "drained",
      input_uncached_tokens: 30,
      output_tokens: 4,
    })
  })

  test("in the middle of a stream is read on to its usage event", async () => {
    const { call, answered, leave } = await open({ tool: "middle" })
    beginStream(call)
    await call.write(`${CONTENT_DATA}\n\n`)
    await readUntil((await answered)[Symbol.asyncIterator](), `${CONTENT_DATA}\n\n`)
    await leave()
    for (let i = 0; i < 3; i++) await call.write(`${CONTENT_DATA}\n\n`)
    call.response.end(`${USAGE_DATA}\n\ndata: [DONE]\n\n`)
    expect(await recordOf("middle")).toMatchObject({
      outcome: "aborted",
      end_state: "client_abort",
      usage_source: "drained",
      output_tokens: 4,
    })
  })

  test("after the usage event is billed by what the provider reported, and nothing is estimated", async () => {
    const { call, answered, leave } = await open({ tool: "after", asksUsage: true })
    beginStream(call)
    await call.write(`${CONTENT_DATA}\n\n${USAGE_DATA}\n\n`)
    await readUntil((await answered)[Symbol.asyncIterator](), `${CONTENT_DATA}\n\n${USAGE_DATA}\n\n`)
    await leave()
    call.response.end("data: [DONE]\n\n")
    expect(await recordOf("after")).toMatchObject({
      end_state: "client_abort",
      usage_source: "provider",
      output_tokens: 4,
    })
  })

  // The time-out for all providers is a minute here, so that a drain would outlast the test.
  test.each([
    ["before any answer", false],
    ["in the middle of a stream", true],
  ])("%s, with drain_ms 0, aborts the provider at once", async (when, isBegun) => {
    const { call, answered, leave } = await open({ model: "undrained", tool: when })
    if (isBegun) {
      beginStream(call)
      await call.write(`${CONTENT_DATA}\n\n`)
      await readUntil((await answered)[Symbol.asyncIterator](), `${CONTENT_DATA}\n\n`)
    }
    await leave()
    await call.abandoned
    const record = await recordOf(when)
    expect(record).toMatchObject({ end_state: "client_abort", outcome: "aborted", usage_source: "estimated" })
    expect(record.input_uncached_tokens).toBeGreaterThan(0)
    expect(record.output_tokens > 0).toBe(isBegun)
  })
})
