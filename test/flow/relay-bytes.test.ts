import fc from "fast-check"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { type RawResponse, rawRequest } from "../support/http-client.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"
import { type WireFixture, wireFixtures } from "../support/wire-fixtures.ts"
import { withoutUsageEvent } from "../support/without-usage-event.ts"

const SEED = Number(process.env.TALLYGATE_TEST_SEED ?? Date.now() % 1_000_000)
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

let upstream: FakeUpstream
let app: TestApp
let key: string

beforeAll(async () => {
  upstream = await startFakeUpstream()
  app = await startTestApp(`
providers:
  openai: { dialect: openai, base_url: ${upstream.baseUrl}, api_key: sk-upstream-canary, headers: { x-configured: "yes" } }
models:
  - { match: "fast", provider: openai, model: "gpt-4o-mini" }
  - { match: "*", provider: openai }
`)
  key = (await app.createKey()).key
})
beforeEach(() => upstream.reset())
afterAll(async () => {
  await app?.close()
  await upstream?.stop()
})

function post(body: string, headers: Record<string, string> = {}): Promise<RawResponse> {
  const path = "/v1/chat/completions"
  return rawRequest({ port: app.port, path, body, headers: { authorization: `Bearer ${key}`, ...headers } })
}

function chat(model: string, more: object = {}): string {
  return JSON.stringify({ model, messages: [{ role: "user", content: "Count me." }], ...more })
}

/** Cuts bytes at up to seven places, the same ones for the same seed. */
function cut(bytes: Buffer): Buffer[] {
  const offset = fc.integer({ min: 1, max: bytes.length - 1 })
  const [offsets = []] = fc.sample(fc.array(offset, { minLength: 7, maxLength: 7 }), { seed: SEED, numRuns: 1 })
  const borders = [0, ...[...new Set(offsets)].sort((a, b) => a - b), bytes.length]
  return borders.slice(1).map((end, index) => bytes.subarray(borders[index], end))
}

function expectRecord(record: UsageRecord, expected: WireFixture["expected"]): void {
  expect(record).toMatchObject({
    tier_served: expected.tier,
    provider_response_id: expected.responseId,
    model_served: expected.model || record.model_routed,
    end_state: "complete",
    http_status: 200,
  })
  if (!expected.usagePresent) expect(["estimated", "none"]).toContain(record.usage_source)
  // An estimate has figures of its own; a refusal has none.
  if (record.usage_source === "estimated") return
  expect(record).toMatchObject({
    usage_source: expected.usagePresent ? "provider" : "none",
    input_uncached_tokens: expected.inputUncachedTokens,
    cache_read_tokens: expected.cacheReadTokens,
    cache_write_5m_tokens: expected.cacheWrite5mTokens,
    cache_write_1h_tokens: expected.cacheWrite1hTokens,
    output_tokens: expected.outputTokens,
    reasoning_tokens: expected.reasoningTokens,
    audio_input_tokens: expected.audioInputTokens,
    image_input_tokens: expected.imageInputTokens,
    audio_output_tokens: expected.audioOutputTokens,
    image_output_tokens: expected.imageOutputTokens,
    web_searches: expected.webSearches,
    unit_type: expected.unitType,
  })
}

describe(`through the whole proxy (TALLYGATE_TEST_SEED=${SEED})`, () => {
  test.each(wireFixtures("openai-chat"))(
    "$name, whole and cut at random, loses only the usage event that its caller did not ask for",
    async ({ answer, isSse, request, expected }) => {
      const type = isSse ? "text/event-stream; charset=utf-8" : "application/json; charset=utf-8"
      const { model } = JSON.parse(request.toString("utf8"))
      const shown = isSse ? withoutUsageEvent(answer) : answer
      for (const chunks of [[answer], cut(answer)]) {
        upstream.enqueue({ headers: { "content-type": type }, chunks })
        const response = await post(chat(model, isSse ? { stream: true } : {}))
        expect(response.bodyBytes.toString("latin1")).toBe(shown.toString("latin1"))
        expect([response.status, response.headers["content-type"], response.end]).toEqual([200, type, "complete"])
        expectRecord(await app.record(response.headers["x-request-id"] ?? ""), expected)
      }
    },
  )
})

describe("what the provider gets", () => {
  // Odd spacing, order, escapes and numbers: whoever parses and prints the body again would change them.
  const ODD = ` {\r\n"temperature" : 1.0e0, "messages":[ {"role":"user","content":"\\u00e9 é \\/ ✓"}],\t"seed":12345678901234567890,`

  test.each([
    ["a whole answer", `${ODD}"model":"gpt-4o-mini"}\n`],
    [
      "a stream with its usage",
      `${ODD}"model":"gpt-4o-mini","stream":true,"stream_options":{ "include_usage" : true }}`,
    ],
  ])("is the caller's body byte for byte, where %s is asked for under the provider's own name", async (_what, body) => {
    expect((await post(body)).status).toBe(200)
    expect(upstream.requests[0]?.body.toString()).toBe(body)
  })

  test.each([
    ["another name for an alias", `${ODD}"model": "fast" }`, `${ODD}"model": "gpt-4o-mini" }`],
    [
      "usage asked for in a stream",
      `${ODD}"model":"gpt-4o-mini","stream":true}`,
      ` {"stream_options":{"include_usage":true},${ODD.slice(2)}"model":"gpt-4o-mini","stream":true}`,
    ],
    [
      "usage asked for beside the caller's own options",
      `${ODD}"model":"gpt-4o-mini","stream":true,"stream_options":{ "x":1 }}`,
      `${ODD}"model":"gpt-4o-mini","stream":true,"stream_options":{"include_usage":true, "x":1 }}`,
    ],
    [
      "usage asked for where the caller said no",
      `${ODD}"model":"gpt-4o-mini","stream":true,"stream_options":{"include_usage": false}}`,
      `${ODD}"model":"gpt-4o-mini","stream":true,"stream_options":{"include_usage": true}}`,
    ],
    [
      "both, where both are needed",
      `${ODD}"model":"fast","stream":true,"stream_options":null}`,
      `${ODD}"model":"gpt-4o-mini","stream":true,"stream_options":{"include_usage":true}}`,
    ],
  ])("differs by %s alone", async (_what, sent, received) => {
    expect((await post(sent)).status).toBe(200)
    expect(upstream.requests[0]?.body.toString()).toBe(received)
  })

  test("has none of the caller's credentials, cookies or traces of its network, and has our own key", async () => {
    const hidden = {
      cookie: "session=canary-1",
      "x-api-key": "canary-2",
      "api-key": "canary-3",
      "proxy-authorization": "Basic canary-4",
      "x-forwarded-for": "canary-5",
      "x-forwarded-host": "canary-6",
      "x-real-ip": "canary-7",
      forwarded: "for=canary-8",
      "openai-organization": "canary-9",
      "openai-project": "canary-10",
      "x-tallygate-tool": "canary-11",
      "x-request-id": "canary-12",
      "x-configured": "canary-13",
      "accept-encoding": "gzip",
    }
    const shown = {
      traceparent: "00-1-2-01",
      "user-agent": "probe/1",
      "x-stainless-lang": "js",
      "idempotency-key": "i",
    }
    expect((await post(chat("gpt-4o-mini"), { ...hidden, ...shown })).status).toBe(200)
    const received = upstream.requests[0]
    expect(received?.rawHeaders.join("\n")).not.toMatch(/canary-\d|tg_/)
    expect(received?.headers).toMatchObject({
      ...shown,
      authorization: "Bearer sk-upstream-canary",
      "accept-encoding": "identity",
      "x-configured": "yes",
    })
  })
})

describe("what the caller gets", () => {
  test("has nothing of the provider's account, cookies or rate limits", async () => {
    const made = await app.createKey({ limits: [{ kind: "requests", window: "minute", cap: 7 }] })
    upstream.enqueue({
      headers: {
        "content-type": "application/json",
        "set-cookie": ["__cf=canary-1", "b=canary-2"],
        "openai-organization": "canary-3",
        "openai-project": "canary-4",
        "x-ratelimit-limit-requests": "canary-5",
        "x-ratelimit-remaining-tokens": "canary-6",
        "x-request-id": "canary-7",
        server: "canary-8",
        "cf-ray": "canary-9",
        "openai-version": "2020-10-01",
      },
      chunks: [Buffer.from('{"usage":{"prompt_tokens":1,"completion_tokens":1}}')],
    })
    const { headers, rawHeaders } = await post(chat("gpt-4o-mini"), { authorization: `Bearer ${made.key}` })
    expect(rawHeaders.join("\n")).not.toContain("canary")
    expect(headers).toMatchObject({ "openai-version": "2020-10-01", "x-ratelimit-limit-requests": "7" })
    expect((await app.record(headers["x-request-id"] ?? "")).provider_request_id).toBe("canary-7")
  })

  test("is a request id of our own, also where the caller sends the id of another call", async () => {
    const first = await post(chat("gpt-4o-mini"))
    const firstId = first.headers["x-request-id"] ?? ""
    expect(firstId).toMatch(UUID_V7)
    const second = await post(chat("gpt-4o"), { "x-request-id": firstId })
    const secondId = second.headers["x-request-id"] ?? ""
    expect(secondId).toMatch(UUID_V7)
    expect(secondId).not.toBe(firstId)
    expect(await app.record(secondId)).toMatchObject({ client_request_id: firstId, model_served: "gpt-4o" })
    expect(await app.record(firstId)).toMatchObject({ client_request_id: "", model_served: "gpt-4o-mini" })
  })
})
