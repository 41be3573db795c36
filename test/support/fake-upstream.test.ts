import { gunzipSync } from "node:zlib"
import OpenAI from "openai"
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest"
import { type FakeUpstream, startFakeUpstream } from "./fake-upstream.ts"
import { rawRequest } from "./http-client.ts"

let upstream: FakeUpstream
let client: OpenAI

beforeAll(async () => {
  upstream = await startFakeUpstream()
  client = new OpenAI({ apiKey: "sk-test", baseURL: upstream.baseUrl, maxRetries: 0 })
})
beforeEach(() => upstream.reset())
afterAll(() => upstream.stop())

const messages = [{ role: "user" as const, content: "Count me." }]
const tools = [{ type: "function" as const, function: { name: "find_city", parameters: { type: "object" } } }]

function post(model: string, more: object = {}, options: { abortAfterBytes?: number } = {}) {
  const body = JSON.stringify({ model, messages, ...more })
  const headers = { "content-type": "application/json" }
  return rawRequest({ port: upstream.port, path: "/v1/chat/completions", headers, body, ...options })
}

test.each([
  [400, "BadRequestError"],
  [401, "AuthenticationError"],
  [403, "PermissionDeniedError"],
  [404, "NotFoundError"],
  [429, "RateLimitError"],
  [500, "InternalServerError"],
  [503, "InternalServerError"],
])("the official SDK reads status %i as its %s", async (status, name) => {
  const failure = await client.chat.completions.create({ model: `gpt-4o-f${status}`, messages }).catch((e) => e)
  expect(failure).toBeInstanceOf(OpenAI.APIError)
  expect(failure.constructor.name).toBe(name)
  expect(failure.status).toBe(status)
  expect(failure.error.message).not.toBe("")
  expect(failure.headers.get("retry-after")).toBe(status === 429 ? "1" : null)
  expect(upstream.served()).toMatchObject({ requests: 1, answered: 0, promptTokens: 0 })
})

test("a body that is no chat request is refused with 400, an unknown path with 404", async () => {
  const path = "/v1/chat/completions"
  expect((await rawRequest({ port: upstream.port, path, body: "{" })).status).toBe(400)
  expect((await rawRequest({ port: upstream.port, path: "/v1/nowhere", body: "{}" })).status).toBe(404)
})

test("-reset0 answers no byte and -reset<N> cuts a stream after N content chunks", async () => {
  await expect(post("mock-reset0")).rejects.toThrow("no response head")
  const cut = await post("mock-c9-reset4", { stream: true })
  expect(cut.end).toBe("cut")
  expect(cut.bodyBytes.toString().split("\n\n")).toHaveLength(1 + 4 + 1)
  expect(upstream.served()).toMatchObject({ streamsStarted: 1, streamsCompleted: 0, chunks: 4, completionTokens: 0 })
  expect(upstream.requests.map((request) => request.aborted)).toEqual([false, false])
})

test("a client that leaves is seen, also while the upstream hangs", async () => {
  const hanging = new AbortController()
  const call = client.chat.completions.create({ model: "mock-hang", messages }, { signal: hanging.signal })
  await upstream.waitForRequest(1)
  hanging.abort()
  await expect(call).rejects.toThrow(OpenAI.APIUserAbortError)
  expect((await upstream.waitForAbort(1)).aborted).toBe(true)

  const left = await post("mock-c500-d5", { stream: true }, { abortAfterBytes: 1 })
  expect(left.end).toBe("aborted")
  await upstream.waitForAbort(2)
  await expect.poll(() => upstream.served().streamsAborted).toBe(1)
  expect(upstream.served().chunks).toBeLessThan(500)
})

test("waiting for a request that never comes fails instead of hanging", async () => {
  await expect(upstream.waitForRequest(1, 20)).rejects.toThrow("saw no request 1")
})

test("the official SDK reads a chat answer and its usage, and the account agrees", async () => {
  const answer = await client.chat.completions.create({ model: "gpt-4o-p100-k40-o20-r8", messages })
  expect(answer.choices[0]?.message.content).toMatch(/^The meter counts/)
  expect(answer.usage).toMatchObject({ prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 })
  expect(answer.usage?.prompt_tokens_details?.cached_tokens).toBe(40)
  expect(answer.usage?.completion_tokens_details?.reasoning_tokens).toBe(8)
  expect(upstream.served()).toMatchObject({
    answered: 1,
    promptTokens: 100,
    cachedTokens: 40,
    completionTokens: 20,
    reasoningTokens: 8,
  })
  expect(JSON.parse(upstream.requests[0]?.body.toString() ?? "")).toMatchObject({ messages })
})

test.each(["mock-c7", "mock-c7-split", "mock-c7-gzip", "mock-c7-d1"])(
  "the official SDK streams %s, with usage in a last chunk without choices",
  async (model) => {
    const asked = { model, messages, stream: true, stream_options: { include_usage: true } } as const
    const chunks: OpenAI.ChatCompletionChunk[] = []
    for await (const chunk of await client.chat.completions.create(asked)) chunks.push(chunk)
    expect(chunks[0]?.choices[0]?.delta.role).toBe("assistant")
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")).toBe(
      "The meter counts every token once and",
    )
    expect(chunks.slice(0, -1).map((chunk) => chunk.usage)).toEqual(Array(9).fill(null))
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 7 } })
    expect(upstream.served()).toMatchObject({ streamsCompleted: 1, chunks: 7, completionTokens: 7 })
  },
)

test("a stream has no usage member unless asked for, and none with -nousage though asked for", async () => {
  const plain = await post("mock-c2", { stream: true })
  const hidden = await post("mock-c2-nousage", { stream: true, stream_options: { include_usage: true } })
  for (const answer of [plain, hidden]) {
    expect(answer.bodyBytes.toString()).not.toContain('"usage"')
    expect(answer.bodyBytes.toString()).toMatch(/data: \[DONE\]\n\n$/)
  }
})

test("-split sends each event in two writes", async () => {
  const answer = await post("mock-c3-split", { stream: true })
  expect(answer.chunks.length).toBeGreaterThan(6)
  const events = answer.bodyBytes.toString().split("\n\n").slice(0, -2)
  expect(events.map((event) => JSON.parse(event.slice("data: ".length)).object)).toEqual(
    Array(5).fill("chat.completion.chunk"),
  )
})

test("the official SDK assembles tool calls, streamed or not", async () => {
  const plain = await client.chat.completions.create({ model: "mock-tool", messages, tools })
  const call = { type: "function", function: { name: "find_city", arguments: '{"city":"Paris"}' } }
  expect(plain.choices[0]).toMatchObject({ finish_reason: "tool_calls", message: { tool_calls: [call] } })
  const streamed = await client.chat.completions.stream({ model: "mock-tool", messages, tools }).finalChatCompletion()
  expect(streamed.choices[0]).toMatchObject({ finish_reason: "tool_calls", message: { tool_calls: [call] } })
})

test("the models list is readable", async () => {
  const models = await client.models.list()
  expect(models.data.map((model) => model.id)).toContain("mock")
})

test("a script is answered byte for byte, in order, before any other behaviour", async () => {
  const bytes = Buffer.from("\ufeff: hello\r\n\r\ndata: {}\r\n\r\n")
  const headers = { "Content-Type": "text/event-stream", "X-Odd": ["a", "b"] }
  upstream.enqueue({ status: 203, headers, chunks: [bytes.subarray(0, 7), { delayMs: 5 }, bytes.subarray(7), "end"] })
  upstream.enqueue({ chunks: [Buffer.from("half"), "close"] })
  const first = await post("mock-f500")
  expect(first).toMatchObject({ status: 203, end: "complete" })
  expect(first.bodyBytes).toEqual(bytes)
  expect(first.chunks.map((chunk) => chunk.bytes.length)).toEqual([7, bytes.length - 7])
  expect(first.rawHeaders.slice(0, 6)).toEqual(["Content-Type", "text/event-stream", "X-Odd", "a", "X-Odd", "b"])
  expect(first.headers.date).toBeUndefined()
  const second = await post("mock")
  expect(second).toMatchObject({ status: 200, end: "cut" })
  expect(second.bodyBytes.toString()).toBe("half")
  expect((await post("mock-f500")).status).toBe(500)
})

test("a gzip answer is gzip on the wire", async () => {
  const answer = await post("mock-gzip")
  expect(answer.headers["content-encoding"]).toBe("gzip")
  expect(JSON.parse(gunzipSync(answer.bodyBytes).toString())).toMatchObject({ object: "chat.completion" })
})
