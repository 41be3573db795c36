import OpenAI from "openai"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { openAiConfig, startTestApp, type TestApp } from "../support/test-app.ts"

const MESSAGES = [{ role: "user" as const, content: "Say something about metering." }]

let upstream: FakeUpstream
let app: TestApp
let sdk: OpenAI
let keyId: string

beforeAll(async () => {
  upstream = await startFakeUpstream()
  app = await startTestApp(openAiConfig(upstream.baseUrl, "timeouts: { drain_ms: 300 }"))
  const created = await app.createKey({ limits: [{ kind: "tokens", window: "month", cap: 100_000_000 }] })
  keyId = created.id
  sdk = new OpenAI({ apiKey: created.key, baseURL: `${app.url}/v1`, maxRetries: 0 })
})
beforeEach(() => upstream.reset())
afterAll(async () => {
  await app?.close()
  await upstream?.stop()
})

describe("the official OpenAI SDK, unchanged but for its base URL", () => {
  test("a chat completion arrives, and its record says what the provider's account says", async () => {
    const { data, request_id: id } = await sdk.chat.completions
      .create(
        { model: "gpt-4o-mini-p1200-k200-o50", messages: MESSAGES, user: "customer 7" },
        {
          headers: {
            "x-request-id": "mine",
            "x-tallygate-tool": "search",
            "x-tallygate-operation": "rank",
            "x-tallygate-conversation": "c1",
            "x-tallygate-tags": "a, b",
            "x-tallygate-metadata": "team=blue",
          },
        },
      )
      .withResponse()
    expect(data.choices[0]?.message.content).toBeTruthy()
    const record = await app.record(id ?? "")
    expect(record).toMatchObject({
      key_id: keyId,
      client_request_id: "mine",
      end_customer: "customer 7",
      tool: "search",
      operation: "rank",
      conversation: "c1",
      tags: ["a", "b"],
      metadata: { team: "blue" },
      endpoint: "chat.completions",
      provider: "openai",
      provider_account: "default",
      stream: false,
      outcome: "ok",
      end_state: "complete",
      http_status: 200,
      usage_source: "provider",
      input_uncached_tokens: 1000,
      cache_read_tokens: 200,
      output_tokens: 50,
      usage_mismatch: false,
    })
    expect(record.attempts).toHaveLength(1)
    expect(upstream.served()).toMatchObject({ promptTokens: 1200, cachedTokens: 200, completionTokens: 50 })
  })

  test("the cost is exact, and pinned to the row that priced it", async () => {
    const { request_id: id } = await sdk.chat.completions.create({ model: "fast", messages: MESSAGES }).withResponse()
    const record = await app.record(id ?? "")
    const tokens = upstream.served()
    expect(record).toMatchObject({
      model_requested: "fast",
      model_routed: "gpt-4o-mini",
      model_served: "gpt-4o-mini",
      price_state: "priced",
      cost_source: "book",
    })
    // gpt-4o-mini: $0.15 and $0.60 for a million tokens.
    const picos = BigInt(tokens.promptTokens) * 150_000n + BigInt(tokens.completionTokens) * 600_000n
    expect(record.cost_usd).toBe(`0.${picos.toString().padStart(12, "0").replace(/0+$/, "")}`)
    expect(record.price_row).toMatch(/^openai\/gpt-4o-mini@/)
    expect(JSON.parse(upstream.requests[0]?.body.toString() ?? "{}").model).toBe("gpt-4o-mini")
  })

  test("a stream that did not ask for usage sees no usage event, and is metered all the same", async () => {
    const { data: stream, request_id: id } = await sdk.chat.completions
      .create({ model: "gpt-4o-mini-c20-p300", messages: MESSAGES, stream: true })
      .withResponse()
    const chunks = []
    for await (const chunk of stream) chunks.push(chunk)
    expect(chunks.length).toBeGreaterThan(20)
    expect(chunks.some((chunk) => chunk.choices.length === 0)).toBe(false)
    expect(JSON.parse(upstream.requests[0]?.body.toString() ?? "{}").stream_options).toEqual({ include_usage: true })
    expect(await app.record(id ?? "")).toMatchObject({
      stream: true,
      usage_source: "provider",
      input_uncached_tokens: 300,
      output_tokens: 20,
      end_state: "complete",
    })
  })

  test("a stream that asked for usage sees it", async () => {
    const stream = await sdk.chat.completions.create({
      model: "gpt-4o-mini-c5",
      messages: MESSAGES,
      stream: true,
      stream_options: { include_usage: true },
    })
    let usage: unknown = null
    for await (const chunk of stream) usage = chunk.usage ?? usage
    expect(usage).toMatchObject({ completion_tokens: 5 })
  })

  test("tool calls pass", async () => {
    const tools = [
      { type: "function" as const, function: { name: "look_up", parameters: { type: "object", properties: {} } } },
    ]
    const answer = await sdk.chat.completions.create({ model: "gpt-4o-mini-tool", messages: MESSAGES, tools })
    expect(answer.choices[0]?.message.tool_calls?.length).toBeGreaterThan(0)
    const runner = sdk.chat.completions.stream({ model: "gpt-4o-mini-tool", messages: MESSAGES, tools })
    expect((await runner.finalChatCompletion()).choices[0]?.message.tool_calls?.length).toBeGreaterThan(0)
  })

  test.each([400, 404, 429, 500, 503])(
    "the provider's %i is relayed as it is, costs nothing, and says where it came from",
    async (status) => {
      const failure = await sdk.chat.completions
        .create({ model: `gpt-4o-mini-f${status}`, messages: MESSAGES })
        .catch((error: unknown) => error)
      if (!(failure instanceof OpenAI.APIError)) throw new Error("expected an API error")
      expect(failure.status).toBe(status)
      expect(failure.headers?.get("x-tallygate-error-source")).toBe("upstream")
      expect(await app.record(failure.requestID ?? "")).toMatchObject({
        outcome: "error",
        end_state: "upstream_error",
        http_status: status,
        usage_source: "none",
        cost_usd: "0",
        price_state: "free",
      })
    },
  )

  test.each([401, 403])("the provider's %i is ours to mend: 502, and not a word of the provider's", async (status) => {
    const failure = await sdk.chat.completions
      .create({ model: `gpt-4o-mini-f${status}`, messages: MESSAGES })
      .catch((error: unknown) => error)
    if (!(failure instanceof OpenAI.APIError)) throw new Error("expected an API error")
    expect(failure).toMatchObject({ status: 502, code: "upstream_auth_failed" })
    expect(failure.message).toContain("an admin must check")
    expect(failure.message).not.toContain("mock")
    expect(await app.record(failure.requestID ?? "")).toMatchObject({
      http_status: 502,
      error_code: "upstream_auth_failed",
      attempts: [{ status }],
    })
  })

  test("an SDK that aborts a stream early is recorded as such, with the usage drained", async () => {
    const { data: stream, request_id: id } = await sdk.chat.completions
      .create({ model: "gpt-4o-mini-c10-d10-p77", messages: MESSAGES, stream: true })
      .withResponse()
    for await (const _chunk of stream) break
    expect(await app.record(id ?? "")).toMatchObject({
      outcome: "aborted",
      end_state: "client_abort",
      usage_source: "drained",
      input_uncached_tokens: 77,
      output_tokens: 10,
    })
  })

  test("an abort of a stream that goes on for long aborts the provider and estimates what was delivered", async () => {
    const { data: stream, request_id: id } = await sdk.chat.completions
      .create({ model: "gpt-4o-mini-c1000-d20", messages: MESSAGES, stream: true })
      .withResponse()
    let seen = 0
    for await (const _chunk of stream) if (++seen === 10) break
    await upstream.waitForAbort(1)
    const record = await app.record(id ?? "")
    expect(record).toMatchObject({
      end_state: "client_abort",
      usage_source: "estimated",
      estimator: expect.stringContaining("o200k"),
    })
    expect(record.output_tokens).toBeGreaterThanOrEqual(9)
    expect(record.output_tokens).toBeLessThan(60)
  })

  test("models are listed for the key, and no others", async () => {
    const { key } = await app.createKey({ allowed_models: ["gpt-4o*", "fast"] })
    const limited = new OpenAI({ apiKey: key, baseURL: `${app.url}/v1`, maxRetries: 0 })
    const ids = []
    for await (const model of limited.models.list()) ids.push(model.id)
    expect(ids).toContain("gpt-4o-mini")
    expect(ids).toContain("fast")
    expect(ids.filter((id) => !id.startsWith("gpt-4o") && id !== "fast")).toEqual([])
    expect(await limited.models.retrieve("gpt-4o")).toMatchObject({ id: "gpt-4o", owned_by: "openai" })
    await expect(limited.models.retrieve("o3")).rejects.toMatchObject({ status: 404, code: "model_not_found" })
    await expect(limited.chat.completions.create({ model: "o3", messages: MESSAGES })).rejects.toMatchObject({
      status: 403,
      code: "model_not_allowed",
    })
  })
})
