/** What providers say that a call cost, servers that refuse a question, and APIs that are spoken at one provider alone. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { NATIVE_ENDPOINTS } from "../../src/providers/native-endpoints.ts"
import { type FakeProvider, startFakeProvider } from "../support/fake-provider.ts"
import { exchangesConfig } from "../support/recorded-exchanges.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"

let provider: FakeProvider
let app: TestApp
let key: string
let spentKey: string

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(exchangesConfig(provider.origin))
  key = (await app.createKey()).key
  spentKey = (await app.createKey({ limits: [{ kind: "requests", window: "month", cap: 0 }] })).key
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

async function ask(
  path: string,
  request: object,
  secret: string | null,
): Promise<{ response: Response; body: Buffer }> {
  const response = await fetch(app.url + path, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(secret === null ? {} : { authorization: `Bearer ${secret}` }),
    },
    body: JSON.stringify(request),
  })
  return { response, body: Buffer.from(await response.arrayBuffer()) }
}

/** The record of a chat whose answer has this usage. */
async function recordOf(path: string, model: string, usage: object) {
  provider.enqueue({ body: { id: "gen-1", model, choices: [], usage } })
  const { response } = await ask(path, { model, messages: [] }, key)
  return app.record(response.headers.get("x-request-id") ?? "")
}

test("a fee for a key of one's own at the maker is the provider's cost, and both bills are compared with ours", async () => {
  const before = await costOf("openrouter")
  const usage = {
    ...{ prompt_tokens: 480, completion_tokens: 33, total_tokens: 513, cost: 0.00001, is_byok: true },
    cost_details: { upstream_inference_cost: 0.0002265 },
  }
  const record = await recordOf("/openrouter/api/v1/chat/completions", "google/gemini-2.5-flash", usage)
  expect(record.provider_cost_usd).toBe("0.00001")
  expect((await costOf("openrouter")) - before).toBeCloseTo(0.0002365, 10)
})

describe("a server that refuses to be asked for the usage of a stream", () => {
  const request = { model: "mistral-small-latest", messages: [{ role: "user", content: "Hi" }], stream: true }
  const refusal = { status: 422, body: { detail: [{ loc: ["body", "stream_options"], msg: "Extra inputs" }] } }
  const chunk = { id: "gen-1", model: "mistral-small-2506", choices: [{ index: 0, delta: { content: "Hello." } }] }
  const stream = { body: [`data: ${JSON.stringify(chunk)}\n\n`, "data: [DONE]\n\n"] }
  const asked = () => provider.requests.map(({ json: { stream_options: options } }) => options)

  test("is asked once more as the caller wrote, and then not any more; its streams are estimated", async () => {
    provider.enqueue(refusal)
    provider.enqueue(stream)
    const { response, body } = await ask("/mistral/v1/chat/completions", request, key)
    expect([response.status, body.toString()]).toEqual([200, stream.body.join("")])
    expect(asked()).toEqual([{ include_usage: true }, undefined])
    expect(await app.record(response.headers.get("x-request-id") ?? "")).toMatchObject({
      ...{ usage_source: "estimated", end_state: "complete", http_status: 200, output_tokens: expect.any(Number) },
    })
    provider.reset()
    provider.enqueue(stream)
    expect((await ask("/mistral/v1/chat/completions", request, key)).response.status).toBe(200)
    expect(asked()).toEqual([undefined])
  })
  test.each([
    ["another reason", { error: { message: "The prompt is too long." } }],
    ["a reason that is too long to be read", { error: { message: "x".repeat(70_000), param: "stream_options" } }],
  ])("is not meant by %s: that refusal is the caller's, and nothing is sent again", async (_why, error) => {
    provider.enqueue({ status: 400, body: error })
    const { response, body } = await ask("/groq/openai/v1/chat/completions", request, key)
    expect([response.status, JSON.parse(body.toString())]).toEqual([400, error])
    expect(asked()).toEqual([{ include_usage: true }])
    expect(await app.record(response.headers.get("x-request-id") ?? "")).toMatchObject({
      ...{ usage_source: "none", end_state: "upstream_error", http_status: 400, price_state: "free" },
    })
  })
  test("nor is one that the caller itself has asked for", async () => {
    provider.enqueue(refusal)
    const own = { ...request, stream_options: { include_usage: true } }
    const { response } = await ask("/deepseek/chat/completions", own, key)
    expect([response.status, provider.requests.length]).toEqual([422, 1])
  })
})

test("images that report nothing are priced by what was asked for, those that report tokens by them", async () => {
  const request = { model: "dall-e-3", prompt: "a cat", n: 2, size: "1024x1792", quality: "hd" }
  provider.enqueue({ body: { created: 1, data: [{ url: "https://example.com/1" }, { url: "https://example.com/2" }] } })
  const asked = await ask("/openai/v1/images/generations", request, key)
  expect(await app.record(asked.response.headers.get("x-request-id") ?? "")).toMatchObject({
    ...{ unit_type: "images:hd:1024x1792", usage_source: "request", price_state: "priced", cost_usd: "0.24" },
  })
  const details = { input_tokens_details: { text_tokens: 10, image_tokens: 40 } }
  const usage = { input_tokens: 50, output_tokens: 4160, total_tokens: 4210, ...details }
  provider.enqueue({ body: { created: 1, data: [{ b64_json: "AA==" }, { b64_json: "AA==" }], usage } })
  const told = await ask("/openai/v1/images/generations", { model: "gpt-image-1", prompt: "a cat", n: 2 }, key)
  expect(await app.record(told.response.headers.get("x-request-id") ?? "")).toMatchObject({
    ...{ unit_type: "images", usage_source: "provider", price_state: "priced", cost_usd: "0.16685" },
  })
})

async function costOf(name: string): Promise<number> {
  const page = await (await fetch(`${app.url}/metrics`)).text()
  return Number(
    new RegExp(`^tallygate_provider_cost_usd_total\\{provider="${name}"\\} (\\S+)$`, "m").exec(page)?.[1] ?? 0,
  )
}

test("our cost and the provider's are apart by what a metric says", async () => {
  const page = () => fetch(`${app.url}/metrics`).then((response) => response.text())
  const apart = (text: string) =>
    Number(/^tallygate_provider_cost_difference_usd_total\{provider="openai"\} (\S+)$/m.exec(text)?.[1] ?? 0)
  const before = apart(await page())
  const usage = { prompt_tokens: 1_000_000, completion_tokens: 0, total_tokens: 1_000_000, cost: 2 }
  const record = await recordOf("/openai/v1/chat/completions", "gpt-4o", usage)
  expect(record).toMatchObject({ cost_usd: "2.5", provider_cost_usd: "2" })
  expect(apart(await page()) - before).toBeCloseTo(0.5, 10)
})

describe.each(NATIVE_ENDPOINTS.map((endpoint) => [`${endpoint.api}: ${endpoint.path}`, endpoint] as const))(
  "%s",
  (_name, { api, path }) => {
    const url = `/${api}${path.replace("{model}", "m").replace("{any}", "voice")}`
    const request = { model: "m", message: "Hi", messages: [], text: "Hi" }

    test("reaches no provider without a key, or without a request left, and says so in its own shape", async () => {
      for (const [secret, status] of [
        [null, 401],
        ["tg_nobody", 401],
        [spentKey, 429],
      ] as const) {
        const { response, body } = await ask(url, request, secret)
        expect(response.status).toBe(status)
        const told = JSON.parse(body.toString())
        const message = {
          cohere: told.message,
          bedrock: told.message,
          ollama: told.error,
          elevenlabs: told.detail?.message,
        }
        expect(message[api as keyof typeof message]).toEqual(expect.any(String))
      }
      expect(provider.requests).toEqual([])
    })
  },
)

test("a path of a native API that nobody can meter is refused", async () => {
  for (const path of [
    "/cohere/v1/connectors",
    "/bedrock/guardrail/g/version/1/apply",
    "/ollama/api/pull",
    "/elevenlabs/v1/dubbing",
  ]) {
    expect((await ask(path, {}, key)).response.status).toBe(403)
  }
  expect(provider.requests).toEqual([])
})

test("nor is a known one passed on in another spelling, for a key that may call what is not metered", async () => {
  const free = (await app.createKey({ unmetered: "allow" })).key
  for (const path of ["/cohere/V2/chat", "/bedrock/MODEL/m/converse", "/ollama/api/Chat"]) {
    expect((await ask(path, { model: "m" }, free)).response.status).toBe(404)
  }
  expect(provider.requests).toEqual([])
})
