import { randomInt } from "node:crypto"
import { connect } from "node:net"
import OpenAI from "openai"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { freePort } from "../../src/app/free-port.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { rawRequest } from "../support/http-client.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"
import { wireFixtures } from "../support/wire-fixtures.ts"

let upstream: FakeUpstream
let app: TestApp
let key: string

beforeAll(async () => {
  upstream = await startFakeUpstream()
  const gone = await freePort()
  app = await startTestApp(`
providers:
  openai: { dialect: openai, base_url: ${upstream.baseUrl}, api_key: sk-up, timeouts: { first_byte_ms: 1500, idle_ms: 1500, drain_ms: 300 } }
  eager: { dialect: openai, base_url: ${upstream.baseUrl}, timeouts: { drain_ms: 0 } }
  gone: { dialect: openai, base_url: "http://127.0.0.1:${gone}/v1" }
models:
  - { match: "gone*", provider: gone }
  - { match: "eager*", provider: eager }
  - { match: "*", provider: openai }
`)
  key = (await app.createKey({ limits: [{ kind: "concurrency", window: "none", cap: 50 }] })).key
})
beforeEach(() => upstream.reset())
afterAll(async () => {
  await app?.close()
  await upstream?.stop()
})

const CHAT = "/v1/chat/completions"

function send(
  body: object | Buffer,
  more: { headers?: Record<string, string>; abortAfterBytes?: number; onChunk?: (bytes: Buffer) => void } = {},
) {
  const { headers = {}, ...rest } = more
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
  return rawRequest({
    port: app.port,
    method: "POST",
    path: CHAT,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    body: bytes,
    ...rest,
  })
}

const ask = (model: string, more: object = {}) => ({ model, messages: [{ role: "user", content: "hi" }], ...more })

describe.each(wireFixtures("openai-chat"))("$name", (fixture) => {
  const type = fixture.isSse ? "text/event-stream; charset=utf-8" : "application/json"

  test("passes unchanged, cut anywhere, and its record says what its usage means", async () => {
    const cuts = Array.from({ length: 4 }, () => randomInt(fixture.answer.length + 1)).sort((a, b) => a - b)
    const edges = [0, ...cuts, fixture.answer.length]
    const chunks = edges.slice(1).map((end, index) => fixture.answer.subarray(edges[index], end))
    upstream.enqueue({ headers: { "content-type": type }, chunks: chunks.filter((chunk) => chunk.length > 0) })
    const asked = fixture.isSse ? ask("m", { stream: true, stream_options: { include_usage: true } }) : ask("m")
    const answer = await send(asked)
    expect({ status: answer.status, type: answer.headers["content-type"], cuts }).toEqual({ status: 200, type, cuts })
    expect(answer.bodyBytes.equals(fixture.answer), `cut at ${cuts}`).toBe(true)
    const record = await app.record(answer.headers["x-request-id"] ?? "")
    const { expected } = fixture
    if (expected.usagePresent) {
      expect(record).toMatchObject({
        usage_source: "provider",
        input_uncached_tokens: expected.inputUncachedTokens,
        cache_read_tokens: expected.cacheReadTokens,
        cache_write_5m_tokens: expected.cacheWrite5mTokens,
        output_tokens: expected.outputTokens,
        reasoning_tokens: expected.reasoningTokens,
        tier_served: expected.tier,
        provider_response_id: expected.responseId,
      })
    } else expect(["estimated", "none"]).toContain(record.usage_source)
  })
})

describe("bytes", () => {
  test("the request arrives as it was sent, but for what asks for usage", async () => {
    const plain = Buffer.from('{ "model":"m",\n\t"messages" : [{"role":"user","content":"\u00fc \\u00fc"}], "x":1.0 }')
    await send(plain)
    expect(upstream.requests[0]?.body.equals(plain)).toBe(true)
    await send(Buffer.from('{"stream":true,"model":"m"}'))
    expect(upstream.requests[1]?.body.toString()).toBe(
      '{"stream_options":{"include_usage":true},"stream":true,"model":"m"}',
    )
  })

  test("neither side sees what is the other's business", async () => {
    upstream.enqueue({
      headers: {
        "content-type": "application/json",
        "set-cookie": "a=b",
        "openai-organization": "org-secret",
        "x-ratelimit-limit-requests": "30000",
        "x-request-id": "req_theirs",
      },
      chunks: [Buffer.from("{}")],
    })
    const answer = await send(ask("m"), {
      headers: { cookie: "c=d", "x-forwarded-for": "10.0.0.1", "x-request-id": "mine" },
    })
    expect(upstream.requests[0]?.headers).toMatchObject({
      authorization: "Bearer sk-up",
      "accept-encoding": "identity",
    })
    for (const name of ["cookie", "x-forwarded-for", "x-request-id"])
      expect(upstream.requests[0]?.headers).not.toHaveProperty(name)
    for (const name of ["set-cookie", "openai-organization", "x-ratelimit-limit-requests"])
      expect(answer.headers).not.toHaveProperty(name)
    expect(answer.headers["x-request-id"]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    expect(await app.record(answer.headers["x-request-id"] ?? "")).toMatchObject({
      client_request_id: "mine",
      provider_request_id: "req_theirs",
    })
  })

  test.each([true, false])(
    "each event leaves when it came (usage asked for by the caller: %s)",
    async (include_usage) => {
      // The provider's next event is sent only half a minute after; were one held back, the call would not end in time.
      const event = (text: string) => Buffer.from(`data: {"choices":[{"index":0,"delta":{"content":"${text}"}}]}\n\n`)
      upstream.enqueue({
        headers: { "content-type": "text/event-stream" },
        chunks: [event("one"), { delayMs: 400 }, event("two"), { delayMs: 400 }, event("three"), "hang"],
      })
      const seen: string[] = []
      const socket = connect(app.port, "127.0.0.1")
      const body = JSON.stringify(ask("m", { stream: true, stream_options: { include_usage } }))
      socket.write(
        `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      )
      socket.on("data", (data) => seen.push(data.toString()))
      await until(async () => (seen.join("").includes("three") ? true : undefined), 5_000)
      const arrival = ["one", "two", "three"].map((word) => seen.findIndex((text) => text.includes(`"${word}"`)))
      expect(new Set(arrival).size).toBe(3)
      socket.destroy()
    },
  )

  test("a caller that does not read holds the provider back, and gets everything when it reads", async () => {
    const megabytes = 48
    const event = Buffer.from(`data: {"choices":[{"index":0,"delta":{"content":"${"x".repeat(64 * 1024)}"}}]}\n\n`)
    const chunks = Array.from({ length: megabytes * 16 }, () => event)
    upstream.enqueue({
      headers: { "content-type": "text/event-stream" },
      chunks: [...chunks, Buffer.from("data: [DONE]\n\n")],
    })
    const body = JSON.stringify(ask("m", { stream: true, stream_options: { include_usage: true } }))
    const socket = connect(app.port, "127.0.0.1")
    socket.pause()
    const before = process.memoryUsage().rss
    socket.write(
      `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    )
    await upstream.waitForRequest(1)
    await new Promise((resolve) => setTimeout(resolve, 700))
    // Provider, proxy and caller share this process: all that could be buffered shows here. The kernel holds some of it.
    const grown = process.memoryUsage().rss - before
    expect(grown).toBeLessThan(24 * 1024 * 1024)
    let bytes = 0
    socket.on("data", (data: Buffer) => {
      bytes += data.length
    })
    socket.resume()
    await new Promise((resolve) => socket.once("close", resolve))
    expect(bytes).toBeGreaterThan(chunks.length * event.length)
  })
})

describe("providers that fail", () => {
  const free = async () => expect((await send(ask("m-o1"))).status).toBe(200)

  test("not there: 502, free", async () => {
    const answer = await send(ask("gone"))
    expect([answer.status, JSON.parse(answer.bodyBytes.toString()).error.code]).toEqual([502, "upstream_error"])
    expect(await app.record(answer.headers["x-request-id"] ?? "")).toMatchObject({
      end_state: "upstream_error",
      usage_source: "none",
      cost_usd: "0",
      attempts: [{ status: 0 }],
    })
  })
  test("silent before its first byte: 504, and the request may have been billed", async () => {
    const answer = await send(ask("m-hang"))
    expect([answer.status, JSON.parse(answer.bodyBytes.toString()).error.code]).toEqual([504, "upstream_timeout"])
    expect(await app.record(answer.headers["x-request-id"] ?? "")).toMatchObject({
      end_state: "timeout",
      usage_source: "estimated",
    })
    await free()
  })
  test("silent in the middle of a stream: an error event that the SDK raises", async () => {
    const event =
      'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"one two three"}}]}\n\n'
    upstream.enqueue({ headers: { "content-type": "text/event-stream" }, chunks: [Buffer.from(event), "hang"] })
    const sdk = new OpenAI({ apiKey: key, baseURL: `${app.url}/v1`, maxRetries: 0 })
    const { data: stream, request_id: id } = await sdk.chat.completions
      .create({ model: "m", messages: [], stream: true })
      .withResponse()
    const read = async () => {
      for await (const _chunk of stream);
    }
    await expect(read()).rejects.toThrow(/stopped in the middle/)
    expect(await app.record(id ?? "")).toMatchObject({
      end_state: "timeout",
      usage_source: "estimated",
      output_tokens: 4,
    })
    await free()
  })
  test("cut off before any byte: 502, free", async () => {
    const answer = await send(ask("m-reset0"))
    expect(answer.status).toBe(502)
    expect(await app.record(answer.headers["x-request-id"] ?? "")).toMatchObject({
      end_state: "upstream_error",
      usage_source: "none",
    })
  })
  test("cut off after five chunks: billed for what was delivered, as an estimate", async () => {
    const answer = await send(ask("m-c50-d5-reset5", { stream: true }))
    expect(answer.bodyBytes.toString()).toContain('"code":"upstream_error"')
    const record = await app.record(answer.headers["x-request-id"] ?? "")
    expect(record).toMatchObject({ end_state: "upstream_error", usage_source: "estimated" })
    expect(record.output_tokens).toBeGreaterThan(0)
    expect(record.output_tokens).toBeLessThan(30)
  })
  test("a short body that breaks off was held back, so the caller is told; it is estimated", async () => {
    upstream.enqueue({
      headers: { "content-type": "application/json", "content-length": "500" },
      chunks: [Buffer.from('{"id":"x"'), "close"],
    })
    const answer = await send(ask("m"))
    expect(answer.status).toBe(502)
    expect(JSON.parse(answer.bodyBytes.toString()).error.code).toBe("upstream_error")
    expect(await app.record(answer.headers["x-request-id"] ?? "")).toMatchObject({
      end_state: "upstream_error",
      usage_source: "estimated",
    })
  })
  test("a long body shorter than it says: cut for the caller too, estimated", async () => {
    upstream.enqueue({
      headers: { "content-type": "application/json", "content-length": "500000" },
      chunks: [Buffer.from('{"id":"x"'), "close"],
    })
    const answer = await send(ask("m"))
    expect(answer.end).toBe("cut")
    expect(await app.record(answer.headers["x-request-id"] ?? "")).toMatchObject({
      end_state: "upstream_error",
      usage_source: "estimated",
    })
  })
  test("JSON answered to a stream is read as JSON", async () => {
    const usage = { prompt_tokens: 5, completion_tokens: 6, total_tokens: 11 }
    upstream.enqueue({
      headers: { "content-type": "application/json" },
      chunks: [Buffer.from(JSON.stringify({ choices: [], usage }))],
    })
    const answer = await send(ask("m", { stream: true }))
    expect(JSON.parse(answer.bodyBytes.toString()).usage).toEqual(usage)
    expect(await app.record(answer.headers["x-request-id"] ?? "")).toMatchObject({
      usage_source: "provider",
      output_tokens: 6,
    })
  })
})

describe("callers that leave", () => {
  test("before any answer: the provider is aborted when the drain is over, and the record says so", async () => {
    const socket = connect(app.port, "127.0.0.1")
    const body = JSON.stringify(ask("m-hang"))
    socket.write(
      `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    )
    await upstream.waitForRequest(1)
    socket.destroy()
    await upstream.waitForAbort(1)
    const [record] = await until(async () => {
      const { data } = (await app.admin("GET", "/admin/v1/usage/records?limit=1")).body
      return data[0]?.model_requested === "m-hang" ? data : undefined
    })
    expect(record).toMatchObject({
      end_state: "client_abort",
      outcome: "aborted",
      usage_source: "estimated",
      http_status: 0,
    })
  })
  test("with drain_ms 0: aborted at once", async () => {
    const answer = await send(ask("eager-c500-d20", { stream: true }), { abortAfterBytes: 200 })
    await upstream.waitForAbort(1)
    expect(await app.record(answer.headers["x-request-id"] ?? "")).toMatchObject({
      end_state: "client_abort",
      usage_source: "estimated",
    })
  })
})
