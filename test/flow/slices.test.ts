/**
 * Streams whose output is held in slices, through the official SDKs: each is ended in its own dialect when its budget has
 * no room for more, and nothing is cut that fits.
 */
import Anthropic from "@anthropic-ai/sdk"
import { GoogleGenAI } from "@google/genai"
import OpenAI from "openai"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { type EndlessProvider, PIECE, startEndlessProvider } from "../support/endless-provider.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"

const SLICE = 200
/** Room for the input's bytes, and for a few slices. */
const CAP = 1_500
const ASKED = "Write until somebody stops you."

let provider: EndlessProvider
let app: TestApp

beforeAll(async () => {
  provider = await startEndlessProvider()
  app = await startTestApp(`
providers:
  openai: { dialect: openai, base_url: ${provider.origin}/v1, api_key: sk-upstream }
  claude: { dialect: anthropic, base_url: ${provider.origin}/v1, api_key: sk-ant, priced_as: anthropic }
  gemini: { dialect: google, base_url: ${provider.origin}/v1beta, api_key: AIza, priced_as: google }
models:
  - { match: "claude-*", provider: claude }
  - { match: "gemini-*", provider: gemini }
  - { match: "*", provider: openai }
`)
})
afterEach(() => {
  provider.streams.length = 0
  provider.piecesMax = Number.POSITIVE_INFINITY
})
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

const sliced = (more: object = {}) => ({ kind: "tokens", window: "month", cap: CAP, slice_tokens: SLICE, ...more })

type Told = { readonly cut_by: string; readonly limit_id: string; readonly message: string }

/** What is true of every stream that a budget has ended, once its record is there. */
async function expectCut(keyId: string, told: Told | undefined): Promise<void> {
  expect(told).toMatchObject({ cut_by: "budget", limit_id: expect.stringMatching(/^lim_/) })
  expect(told?.message).toMatch(/^The answer was ended here\. .*token/)
  const [stream] = provider.streams
  await until(async () => (stream?.closedMs == null ? undefined : true))
  const record = await until(async () => {
    const { body } = await app.admin("GET", `/admin/v1/usage/records?limit=10&key=${keyId}`)
    return body.data[0]
  })
  expect(record).toMatchObject({ end_state: "cut", cut_by: "budget", stream: true })
  const used = record.input_uncached_tokens + record.output_tokens
  // What it wrote was held: the budget is not passed, and most of it could be used.
  expect(used).toBeLessThanOrEqual(CAP)
  expect(record.output_tokens).toBeGreaterThan(2 * SLICE)
}

describe("a stream that its budget ends is whole to the SDK that reads it", () => {
  test("chat completions", async () => {
    const { id, key } = await app.createKey({ limits: [sliced()] })
    const client = new OpenAI({ apiKey: key, baseURL: `${app.url}/v1`, maxRetries: 0 })
    const stream = client.chat.completions.stream({
      ...{ model: "gpt-4o-mini", messages: [{ role: "user", content: ASKED }] },
      stream_options: { include_usage: true },
    })
    let told: Told | undefined
    stream.on("chunk", (chunk) => {
      told = (chunk as { tallygate?: Told }).tallygate ?? told
    })
    const whole = await stream.finalChatCompletion()
    expect(whole.choices[0]?.finish_reason).toBe("length")
    expect(whole.choices[0]?.message.content?.startsWith(PIECE.repeat(20))).toBe(true)
    expect(whole.usage?.completion_tokens).toBeGreaterThan(2 * SLICE)
    await expectCut(id, told)
  })

  test("responses", async () => {
    const { id, key } = await app.createKey({ limits: [sliced()] })
    const client = new OpenAI({ apiKey: key, baseURL: `${app.url}/v1`, maxRetries: 0 })
    const stream = await client.responses.create({ model: "gpt-4o-mini", input: ASKED, stream: true })
    let last: OpenAI.Responses.ResponseStreamEvent | undefined
    let deltas = ""
    const closed: string[] = []
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") deltas += event.delta
      if (event.type.endsWith(".done")) closed.push(event.type)
      if (last !== undefined) expect(event.sequence_number).toBe(last.sequence_number + 1)
      last = event
    }
    if (last?.type !== "response.incomplete") throw new Error(`ended with ${last?.type}`)
    expect(closed).toEqual(["response.output_text.done", "response.content_part.done", "response.output_item.done"])
    expect(last.response).toMatchObject({
      ...{ id: "resp_1", status: "incomplete", incomplete_details: { reason: "max_output_tokens" } },
      output: [{ type: "message", status: "incomplete", content: [{ type: "output_text", text: deltas }] }],
    })
    await expectCut(id, (last.response as { tallygate?: Told }).tallygate)
  })

  test("Anthropic's messages", async () => {
    const { id, key } = await app.createKey({ limits: [sliced()] })
    const client = new Anthropic({ apiKey: key, baseURL: app.url, maxRetries: 0 })
    const stream = client.messages.stream({
      ...{ model: "claude-haiku-4-5", max_tokens: 100_000, messages: [{ role: "user" as const, content: ASKED }] },
    })
    let told: Told | undefined
    stream.on("streamEvent", (event) => {
      told = (event as { tallygate?: Told }).tallygate ?? told
    })
    const whole = await stream.finalMessage()
    expect(whole.stop_reason).toBe("max_tokens")
    expect(whole.content[0]).toMatchObject({
      type: "text",
      text: expect.stringMatching(/^(?:Budgets are kept .*){20}/),
    })
    await expectCut(id, told)
  })

  test("Gemini, which states its usage as it goes", async () => {
    const { id, key } = await app.createKey({ limits: [sliced()] })
    const client = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: app.url } })
    const stream = await client.models.generateContentStream({ model: "gemini-2.0-flash", contents: ASKED })
    let text = ""
    let reason: string | undefined
    for await (const chunk of stream) {
      text += chunk.text ?? ""
      reason = chunk.candidates?.[0]?.finishReason ?? reason
    }
    expect(reason).toBe("MAX_TOKENS")
    expect(text.startsWith(PIECE.repeat(20))).toBe(true)
    const [limit] = (await app.admin("GET", `/admin/v1/limits?key_id=${id}`)).body.data as unknown as { id: string }[]
    await expectCut(id, { cut_by: "budget", limit_id: limit?.id ?? "", message: "The answer was ended here. token" })
  })
})

test("the same in dollars, and the next call finds what the estimate of the cut one left", async () => {
  const { key } = await app.createKey({ limits: [sliced({ kind: "usd", cap: "0.001" })] })
  const response = await chat(key)
  const body = await response.text()
  expect(body).toContain('"finish_reason":"length"')
  expect(body).toMatch(/\$0\.001/)
  expect(body.trimEnd().endsWith("data: [DONE]")).toBe(true)
  const record = await app.record(response.headers.get("x-request-id") ?? "")
  expect(record).toMatchObject({ cut_by: "budget", usage_source: "estimated" })
  expect(Number(record.cost_usd)).toBeGreaterThan(0.0004)
  expect(Number(record.cost_usd)).toBeLessThanOrEqual(0.001)
})

test("a stream that ends by itself is relayed byte for byte, however many slices it took", async () => {
  provider.piecesMax = 60
  const { key } = await app.createKey({ limits: [sliced({ slice_tokens: 64, cap: 100_000 })] })
  const through = await (await chat(key, { stream_options: { include_usage: true } })).text()
  const direct = await fetch(`${provider.origin}/v1/chat/completions`, { method: "POST", body: "{}" })
  expect(through).toBe(await direct.text())
})

test("streams of one budget share it: together they write no more than it has", async () => {
  const { id, key } = await app.createKey({ limits: [sliced({ cap: 4_000 })] })
  const bodies = await Promise.all(Array.from({ length: 4 }, async () => (await chat(key)).text()))
  expect(bodies.filter((body) => body.includes('"cut_by":"budget"'))).toHaveLength(4)
  const records = await until(async () => {
    const { body } = await app.admin("GET", `/admin/v1/usage/records?limit=10&key=${id}`)
    return body.data.length === 4 ? body.data : undefined
  })
  const used = records.reduce((sum, record) => sum + record.input_uncached_tokens + record.output_tokens, 0)
  expect(used).toBeLessThanOrEqual(4_000)
  expect(used).toBeGreaterThan(1_500)
})

describe("all of the output is held beforehand, and the provider asked for no more than there is room for", () => {
  test.each([
    ["of a model that thinks unseen", { model: "gpt-5-mini" }, {}],
    ["of a call that is no stream", { stream: false }, {}],
    [
      "under a limit without slices, which stands beside one with slices",
      {},
      { kind: "tokens", window: "day", cap: CAP },
    ],
  ])("%s", async (_, more, beside) => {
    provider.piecesMax = 5
    const { key } = await app.createKey({ limits: [sliced(), ...("kind" in beside ? [beside] : [])] })
    const response = await chat(key, { max_completion_tokens: 2 * CAP, ...more })
    expect(response.status).toBe(200)
    await response.text()
    const [stream] = provider.streams
    expect(stream?.request.max_completion_tokens).toBeLessThan(CAP)
    expect(stream?.request.max_completion_tokens).toBeGreaterThan(CAP / 2)
  })

  test("and not where every hard budget has slices", async () => {
    provider.piecesMax = 5
    const { key } = await app.createKey({ limits: [sliced()] })
    await (await chat(key, { max_completion_tokens: 2 * CAP })).text()
    expect(provider.streams[0]?.request.max_completion_tokens).toBe(2 * CAP)
  })
})

test.each([
  [{ kind: "requests", window: "day", cap: 5, slice_tokens: SLICE }, "limits.0.slice_tokens"],
  [{ kind: "tokens", window: "minute", cap: 5, slice_tokens: SLICE }, "limits.0.slice_tokens"],
  [{ kind: "tokens", window: "day", cap: 5, slice_tokens: 1 }, "limits.0.slice_tokens"],
])("slices on a limit that cannot have them are refused: %j", async (limit, param) => {
  const { status, body } = await app.admin("POST", "/admin/v1/keys", { name: "x", limits: [limit] })
  expect({ status, param: body.error.param }).toEqual({ status: 400, param })
})

test("slices are shown, changed and taken away by the admin API", async () => {
  const { id } = await app.createKey()
  const subject = { scope: { key_id: id } }
  const made = await app.admin("POST", "/admin/v1/limits", {
    ...subject,
    kind: "usd",
    window: "day",
    cap: "1",
    slice_tokens: 500,
  })
  expect(made.body).toMatchObject({ slice_tokens: 500 })
  const path = `/admin/v1/limits/${made.body.id}`
  expect((await app.admin("PATCH", path, { slice_tokens: 900 })).body).toMatchObject({ slice_tokens: 900 })
  expect((await app.admin("PATCH", path, { cap: "2" })).body).toMatchObject({ slice_tokens: 900 })
  expect((await app.admin("PATCH", path, { slice_tokens: null })).body).toMatchObject({ slice_tokens: null })
  const soft = await app.admin("PATCH", path, { enforcement: "soft", slice_tokens: 500 })
  expect({ status: soft.status, param: soft.body.error.param }).toEqual({ status: 400, param: "slice_tokens" })
})

function chat(key: string, more: object = {}): Promise<Response> {
  return fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({
      ...{ model: "gpt-4o-mini", messages: [{ role: "user", content: ASKED }], stream: true },
      ...more,
    }),
  })
}
