/** The official SDKs of three providers, unchanged but for base URL and key, through every door. */
import Anthropic from "@anthropic-ai/sdk"
import { GoogleGenAI } from "@google/genai"
import OpenAI, { toFile } from "openai"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"

let provider: FakeProvider
let app: TestApp
let key: string
let keyId: string
let openai: OpenAI
let anthropic: Anthropic
let google: GoogleGenAI

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(threeApis(provider))
  const created = await app.createKey({ limits: [{ kind: "tokens", window: "month", cap: 1_000_000_000 }] })
  key = created.key
  keyId = created.id
  openai = new OpenAI({ apiKey: key, baseURL: `${app.url}/v1`, maxRetries: 0 })
  anthropic = new Anthropic({ apiKey: key, baseURL: app.url, maxRetries: 0 })
  google = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: app.url } })
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

/** The one record that a call has left since `act` began. */
async function recordOf(act: () => Promise<unknown>) {
  const before = (await recordsNow()).length
  await act()
  return until(async () => {
    const all = await recordsNow()
    return all.length > before ? all.toSorted((a, b) => (a.id < b.id ? 1 : -1))[0] : undefined
  })
}

async function recordsNow() {
  return (await app.admin("GET", `/admin/v1/usage/records?limit=1000&key=${keyId}`)).body.data
}

describe("OpenAI's SDK", () => {
  test("a response, its cached and reasoning tokens, and what it cost", async () => {
    const record = await recordOf(async () => {
      const { data, response } = await openai.responses.create({ model: "gpt-4o-mini", input: "Hi" }).withResponse()
      expect(data.output_text).toBe("Hello there.")
      expect(response.headers.get("x-tallygate-cost-usd")).toMatch(/^0\.\d+$/)
    })
    expect(record).toMatchObject({
      endpoint: "responses",
      provider: "openai",
      input_uncached_tokens: 150,
      cache_read_tokens: 50,
      output_tokens: 30,
      reasoning_tokens: 10,
      price_state: "priced",
      usage_source: "provider",
    })
  })
  test("a response as a stream", async () => {
    const record = await recordOf(async () => {
      let text = ""
      const stream = await openai.responses.create({ model: "gpt-4o-mini", input: "Hi", stream: true })
      for await (const event of stream) if (event.type === "response.output_text.delta") text += event.delta
      expect(text).toBe("Hello there.")
    })
    expect(record).toMatchObject({ endpoint: "responses", stream: true, input_uncached_tokens: 150, output_tokens: 30 })
  })
  test("a legacy completion", async () => {
    const record = await recordOf(() => openai.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "Hi" }))
    expect(record).toMatchObject({ endpoint: "completions", input_uncached_tokens: 100, output_tokens: 20 })
  })
  test("an embedding", async () => {
    const record = await recordOf(() =>
      openai.embeddings.create({ model: "text-embedding-3-small", input: "Hi", encoding_format: "float" }),
    )
    expect(record).toMatchObject({ endpoint: "embeddings", input_uncached_tokens: 9, output_tokens: 0 })
  })
  test("a moderation is free", async () => {
    const record = await recordOf(() => openai.moderations.create({ input: "Hi" }))
    expect(record).toMatchObject({ endpoint: "moderations", price_state: "free", cost_usd: "0" })
  })
  test("an image", async () => {
    const record = await recordOf(() => openai.images.generate({ model: "gpt-image-1", prompt: "a cat" }))
    expect(record).toMatchObject({
      endpoint: "images.generations",
      input_uncached_tokens: 12,
      image_output_tokens: 1000,
    })
  })
  test("speech is billed by the characters of its request, and its bytes arrive whole", async () => {
    const record = await recordOf(async () => {
      const speech = await openai.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Hello ✨" })
      expect(Buffer.from(await speech.arrayBuffer())).toEqual(Buffer.alloc(3000, 7))
    })
    expect(record).toMatchObject({ endpoint: "audio.speech", usage_source: "request", unit_type: "characters" })
    expect(Number(record.units)).toBe(7)
  })
  test("a transcription of 50 MB arrives byte for byte, its alias replaced", async () => {
    const sound = Buffer.alloc(50 * 1024 * 1024, 0x55)
    const record = await recordOf(() =>
      toFile(sound, "sound.wav").then((file) => openai.audio.transcriptions.create({ model: "whisper-1", file })),
    )
    expect(record).toMatchObject({ endpoint: "audio.transcriptions", unit_type: "seconds" })
    expect(Number(record.units)).toBe(12)
    expect(provider.requests[0]?.body.includes(sound)).toBe(true)
  })
  test("chat with Claude and Gemini by their OpenAI-compatible endpoints", async () => {
    const chat = (model: string) =>
      recordOf(() => openai.chat.completions.create({ model, messages: [{ role: "user", content: "Hi" }] }))
    expect(await chat("smart")).toMatchObject({
      provider: "claude",
      model_served: "claude-sonnet-4-5",
      output_tokens: 20,
    })
    expect(provider.requests[0]).toMatchObject({ path: "/anthropic/v1/chat/completions" })
    expect(provider.requests[0]?.headers.authorization).toBe("Bearer sk-ant-canary")
    expect(await chat("quick")).toMatchObject({ provider: "gemini", model_served: "gemini-2.5-flash" })
    expect(provider.requests[1]).toMatchObject({ path: "/google/v1beta/openai/chat/completions" })
  })
  test("what Claude does not serve in this API is refused with the path to use", async () => {
    const refused = await openai.responses.create({ model: "smart", input: "Hi" }).catch((error) => error)
    expect(refused).toMatchObject({ status: 400, code: "wrong_api_for_model" })
    expect(refused.message).toContain("POST /v1/messages")
    expect(provider.requests).toEqual([])
  })
})

describe("Anthropic's SDK", () => {
  const messages = [{ role: "user" as const, content: "Hi" }]

  test("a message, with our own request id and limits", async () => {
    const record = await recordOf(async () => {
      const {
        data,
        response,
        request_id: id,
      } = await anthropic.messages.create({ model: "smart", max_tokens: 100, messages }).withResponse()
      expect(data.usage.cache_read_input_tokens).toBe(60)
      expect(id).toMatch(/^[0-9a-f-]{36}$/)
      expect(response.headers.get("anthropic-ratelimit-tokens-limit")).toBe("1000000000")
      expect(response.headers.get("anthropic-organization-id")).toBeNull()
    })
    expect(record).toMatchObject({
      endpoint: "messages",
      provider: "claude",
      model_requested: "smart",
      model_served: "claude-sonnet-4-5",
      input_uncached_tokens: 40,
      cache_read_tokens: 60,
      cache_write_5m_tokens: 10,
      output_tokens: 25,
      price_state: "priced",
    })
    expect(provider.requests[0]?.headers["x-api-key"]).toBe("sk-ant-canary")
    expect(provider.requests[0]?.json.model).toBe("claude-sonnet-4-5")
  })
  test("a message as a stream", async () => {
    const record = await recordOf(async () => {
      const stream = anthropic.messages.stream({ model: "claude-sonnet-4-5", max_tokens: 100, messages })
      expect(await stream.finalText()).toBe("Hello there.")
    })
    expect(record).toMatchObject({ stream: true, end_state: "complete", input_uncached_tokens: 40, output_tokens: 25 })
  })
  test("counting tokens is free", async () => {
    const record = await recordOf(async () => {
      const counted = await anthropic.messages.countTokens({ model: "claude-sonnet-4-5", messages })
      expect(counted.input_tokens).toBe(14)
    })
    expect(record).toMatchObject({ endpoint: "messages.count_tokens", price_state: "free", input_uncached_tokens: 0 })
  })
  test("the list of models has its own shape", async () => {
    const page = await anthropic.models.list()
    expect(page.data[0]).toMatchObject({ type: "model" })
  })
  test("an error is one that it understands", async () => {
    const other = new Anthropic({ apiKey: "tg_nobody", baseURL: app.url, maxRetries: 0 })
    const error = await other.messages.create({ model: "smart", max_tokens: 9, messages }).catch((cause) => cause)
    expect(error).toBeInstanceOf(Anthropic.AuthenticationError)
    expect(error.error).toMatchObject({ type: "error", error: { type: "authentication_error" } })
  })
  test("Claude Code's user id fills end-customer and conversation", async () => {
    const userId = `user_${"ab".repeat(16)}_account_11111111-1111-4111-8111-111111111111_session_22222222-2222-4222-8222-222222222222`
    const record = await recordOf(() =>
      anthropic.messages.create({ model: "smart", max_tokens: 9, messages, metadata: { user_id: userId } }),
    )
    expect(record.conversation).toBe("22222222-2222-4222-8222-222222222222")
    expect(record.end_customer).toContain("11111111-1111-4111-8111-111111111111")
    expect(record.user_id).toBe("")
  })
})

describe("Google's SDK", () => {
  test("content, with thoughts and cached tokens", async () => {
    const record = await recordOf(async () => {
      const answer = await google.models.generateContent({ model: "quick", contents: "Hi" })
      expect(answer.text).toBe("Hello there.")
    })
    expect(record).toMatchObject({
      endpoint: "generate_content",
      provider: "gemini",
      model_served: "gemini-2.5-flash",
      input_uncached_tokens: 50,
      cache_read_tokens: 20,
      output_tokens: 20,
      reasoning_tokens: 5,
      price_state: "priced",
    })
    expect(provider.requests[0]?.path).toMatch(/^\/google\/v1(beta)?\/models\/gemini-2.5-flash:generateContent$/)
    expect(provider.requests[0]?.headers["x-goog-api-key"]).toBe("AIza-canary")
  })
  test("content as a stream", async () => {
    const record = await recordOf(async () => {
      let text = ""
      const stream = await google.models.generateContentStream({ model: "gemini-2.5-flash", contents: "Hi" })
      for await (const chunk of stream) text += chunk.text ?? ""
      expect(text).toBe("Hello there.")
    })
    expect(record).toMatchObject({ endpoint: "stream_generate_content", stream: true, output_tokens: 20 })
  })
  test("a stream as one array, for callers without alt=sse", async () => {
    const record = await recordOf(async () => {
      const path = `/v1beta/models/gemini-2.5-flash:streamGenerateContent?key=${key}`
      const answer = await fetch(app.url + path, { method: "POST", body: JSON.stringify({ contents: [] }) })
      expect(await answer.json()).toHaveLength(2)
    })
    expect(record).toMatchObject({ output_tokens: 20, input_uncached_tokens: 50 })
    expect(provider.requests[0]?.path).not.toContain("key=")
  })
  test("counting tokens is free, embeddings are recorded", async () => {
    const counted = await recordOf(() => google.models.countTokens({ model: "gemini-2.5-flash", contents: "Hi" }))
    expect(counted).toMatchObject({ endpoint: "count_tokens", price_state: "free" })
    const embedded = await recordOf(() =>
      google.models.embedContent({ model: "gemini-embedding-001", contents: "Hello world" }),
    )
    expect(embedded.endpoint).toMatch(/embed_content/)
  })
  test("an error is one that it understands", async () => {
    const other = new GoogleGenAI({ apiKey: "tg_nobody", httpOptions: { baseUrl: app.url } })
    const error = await other.models.generateContent({ model: "quick", contents: "Hi" }).catch((cause) => cause)
    expect(error).toMatchObject({ status: 401 })
    expect(error.message).toContain("UNAUTHENTICATED")
  })
})

describe("a caller that leaves a stream", () => {
  const messages = [{ role: "user" as const, content: "Hi" }]

  test("of Anthropic's: the answer is read to its usage, and the record says who left", async () => {
    const record = await recordOf(async () => {
      const stream = await anthropic.messages.create({ model: "smart", max_tokens: 9, messages, stream: true })
      for await (const _event of stream) stream.controller.abort()
    })
    expect(record).toMatchObject({ outcome: "aborted", end_state: "client_abort", usage_source: "drained" })
    expect(record).toMatchObject({ input_uncached_tokens: 40, output_tokens: 25 })
  })
  test("of Anthropic's that then breaks off: its input is exact, its output is counted and said to be an estimate", async () => {
    const event = (type: string, more: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`
    const usage = { input_tokens: 40, output_tokens: 1 }
    provider.enqueue({
      body: [
        event("message_start", { message: { id: "msg_2", model: "claude-sonnet-4-5", usage } }),
        event("content_block_delta", { index: 0, delta: { type: "text_delta", text: "word ".repeat(200) } }),
      ],
    })
    const record = await recordOf(() =>
      anthropic.messages.create({ model: "smart", max_tokens: 999, messages, stream: true }).then(async (stream) => {
        for await (const _event of stream);
      }),
    )
    expect(record).toMatchObject({ usage_source: "estimated", input_uncached_tokens: 40 })
    expect(record.output_tokens).toBeGreaterThan(150)
  })
  test("of Google's", async () => {
    const left = new AbortController()
    const record = await recordOf(async () => {
      const config = { abortSignal: left.signal }
      const stream = await google.models.generateContentStream({ model: "quick", contents: "Hi", config })
      const read = async () => {
        for await (const _chunk of stream) left.abort()
      }
      await read().catch(() => undefined)
    })
    expect(record).toMatchObject({ endpoint: "stream_generate_content", input_uncached_tokens: 50, output_tokens: 20 })
  })
})

describe("raw pass-through", () => {
  const post = (path: string, body: object, headers: Record<string, string> = {}) =>
    fetch(app.url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    })

  test("an SDK pointed at one provider is metered by that provider's dialect", async () => {
    const raw = new Anthropic({ apiKey: key, baseURL: `${app.url}/claude`, maxRetries: 0 })
    const messages = [{ role: "user" as const, content: "Hi" }]
    const record = await recordOf(() => raw.messages.create({ model: "claude-sonnet-4-5", max_tokens: 9, messages }))
    expect(record).toMatchObject({ endpoint: "messages", provider: "claude", output_tokens: 25 })
  })
  test("its models are listed by their names there", async () => {
    const raw = new OpenAI({ apiKey: key, baseURL: `${app.url}/openai/v1`, maxRetries: 0 })
    const ids = (await raw.models.list()).data.map(({ id }) => id)
    expect(ids).toContain("gpt-4o-mini")
    expect(ids.some((id) => id.startsWith("claude"))).toBe(false)
    expect(provider.requests).toEqual([])
  })
  test("what nobody can meter is refused, and allowed for a key whose admin says so", async () => {
    const refused = await post("/openai/v1/fine_tuning/jobs", {})
    expect(refused.status).toBe(403)
    expect(((await refused.json()) as { error: object }).error).toMatchObject({ code: "route_not_metered" })
    expect(provider.requests).toEqual([])
    await app.admin("PATCH", `/admin/v1/keys/${keyId}`, { unmetered: "allow" })
    const record = await recordOf(async () => {
      expect((await post("/openai/v1/fine_tuning/jobs", {})).status).toBe(404)
      expect((await post("/v1/assistants", { a: 1 })).headers.get("x-tallygate-error-source")).toBe("upstream")
    })
    expect(record).toMatchObject({ endpoint: "unmetered", provider: "openai" })
    await app.admin("PATCH", `/admin/v1/keys/${keyId}`, { unmetered: "deny" })
  })
  test.each([
    "/openai/v1/chat/completions/",
    "/openai/v1//chat/completions",
    "/openai/v1/%63hat/completions",
    "/openai/v1/x/../chat/completions",
    "/openai/V1/Chat/Completions",
  ])("%s is no way round the meter", async (path) => {
    await app.admin("PATCH", `/admin/v1/keys/${keyId}`, { unmetered: "allow" })
    const { rawRequest } = await import("../support/http-client.ts")
    const answer = await rawRequest({
      port: app.port,
      method: "POST",
      path,
      headers: ["authorization", `Bearer ${key}`, "content-length", "2"],
      body: Buffer.from("{}"),
    })
    await app.admin("PATCH", `/admin/v1/keys/${keyId}`, { unmetered: "deny" })
    expect(answer.status).toBe(404)
    expect(provider.requests).toEqual([])
  })
})

test("no credential in a query reaches a provider, however it is spelled", async () => {
  const path = `/v1beta/models/quick:generateContent?%6Bey=${key}&access_token=canary&$alt=json`
  const answer = await fetch(app.url + path, { method: "POST", body: JSON.stringify({ contents: [] }) })
  expect(answer.status).toBe(200)
  expect(provider.requests[0]?.path).toBe("/google/v1beta/models/gemini-2.5-flash:generateContent?$alt=json")
  const two = await fetch(`${app.url}/v1beta/models/quick:generateContent?key=${key}&key=other`, { method: "POST" })
  expect(two.status).toBe(400)
})
