/** The sandbox answers as OpenAI does, and everything it reports can be recomputed with tiktoken. */
import OpenAI from "openai"
import { get_encoding } from "tiktoken"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Estimator } from "../../src/metering/estimator.ts"
import { startSandbox } from "../../src/providers/sandbox.ts"
import { readSandboxRequest, reasoningText } from "../../src/providers/sandbox-answer.ts"

const NOW_MS = Date.UTC(2026, 10, 23, 12)
const encoding = get_encoding("o200k_base")
const estimator = new Estimator({ queueMax: 100, timeoutMs: 30_000 })
let sandbox: Awaited<ReturnType<typeof startSandbox>>
let openai: OpenAI

beforeAll(async () => {
  sandbox = await startSandbox({ estimator, nowMs: () => NOW_MS })
  openai = new OpenAI({ baseURL: sandbox.url, apiKey: "unused", maxRetries: 0 })
})

afterAll(async () => {
  await sandbox.close()
  await estimator.close()
  encoding.free()
})

type Message = { role: "system" | "user" | "assistant"; content: string; name?: string }
type Usage = {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details: { cached_tokens: number }
  completion_tokens_details: { reasoning_tokens: number }
}
type Choice = { index: number; message: { content: string | null }; finish_reason: string }
type Completion = { id: string; choices: [Choice, ...Choice[]]; usage: Usage }
type Chunk = {
  id: string
  object: string
  choices: { index: number; delta: { role?: string; content?: string }; finish_reason: string | null }[]
  usage?: Usage | null
}

const tokensOf = (text: string) => encoding.encode_ordinary(text).length

function promptTokensOf(messages: readonly Message[]): number {
  return messages.reduce((sum, { role, content, name }) => {
    return sum + 3 + tokensOf(role) + tokensOf(content) + (name === undefined ? 0 : tokensOf(name) + 1)
  }, 3)
}

const USER: Message = { role: "user", content: "How many lines has the river that runs below the old mill?" }
const MESSAGES: Message[] = [{ role: "system", content: "You are terse." }, USER]

function post(body: unknown, path = "/chat/completions"): Promise<Response> {
  return fetch(sandbox.url + path, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) })
}

/** The wire's shape is what these tests check member by member. */
async function complete(options: Record<string, unknown> = {}): Promise<Completion> {
  const response = await post({ model: "echo", messages: MESSAGES, ...options })
  expect(response.status).toBe(200)
  return (await response.json()) as Completion
}

async function streamed(options: Record<string, unknown> = {}): Promise<{ text: string; chunks: Chunk[] }> {
  const response = await post({ model: "echo", messages: MESSAGES, stream: true, ...options })
  expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8")
  const text = await response.text()
  const payloads = text.split("\n\n").slice(0, -1)
  expect(payloads.pop()).toBe("data: [DONE]")
  return { text, chunks: payloads.map((payload) => JSON.parse(payload.replace(/^data: /, "")) as Chunk) }
}

const contentOf = (chunks: readonly Chunk[]) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")

describe("refusals have OpenAI's shape", () => {
  const cases: [string, unknown, number, string | null][] = [
    ["a body that is not JSON", "{", 400, null],
    ["a body that is no object", "[]", 400, null],
    ["no model", { messages: MESSAGES }, 400, "model"],
    ["no messages", { model: "echo" }, 400, "messages"],
    ["an empty list of messages", { model: "echo", messages: [] }, 400, "messages"],
    ["a message without a role", { model: "echo", messages: [{ content: "x" }] }, 400, "messages"],
    ["no choices", { model: "echo", messages: MESSAGES, n: 0 }, 400, "n"],
    ["too many choices", { model: "echo", messages: MESSAGES, n: 17 }, 400, "n"],
    ["a bound of zero", { model: "echo", messages: MESSAGES, max_tokens: 0 }, 400, "max_tokens"],
    [
      "an unknown effort",
      { model: "reasoner", messages: MESSAGES, reasoning_effort: "toString" },
      400,
      "reasoning_effort",
    ],
    [
      "a forced tool that is not there",
      { model: "echo", messages: MESSAGES, tool_choice: "required" },
      400,
      "tool_choice",
    ],
  ]
  test.each(cases)("%s", async (_name, body, status, param) => {
    const response = await post(body)
    expect(response.status).toBe(status)
    expect(await response.json()).toEqual({
      error: {
        message: expect.any(String),
        type: "invalid_request_error",
        param,
        code: param === null ? null : expect.any(String),
      },
    })
  })

  test("an unknown model is 404 model_not_found and names the known ones", async () => {
    const response = await post({ model: "gpt-4o", messages: MESSAGES })
    expect(response.status).toBe(404)
    const { error } = (await response.json()) as { error: { code: string; message: string } }
    expect(error.code).toBe("model_not_found")
    expect(error.message).toContain("echo, reasoner")
  })

  test("unknown paths and methods", async () => {
    expect((await post({}, "/embeddings")).status).toBe(404)
    expect((await fetch(`${sandbox.url}/chat/completions`)).status).toBe(405)
    expect((await post({}, "/models")).status).toBe(405)
  })

  test("no tokens are reported when the tokenizer is away: 503, not an estimate", async () => {
    const closed = new Estimator({ queueMax: 1, timeoutMs: 1_000 })
    await closed.close()
    const other = await startSandbox({ estimator: closed, nowMs: () => NOW_MS })
    const body = JSON.stringify({ model: "echo", messages: MESSAGES })
    const response = await fetch(`${other.url}/chat/completions`, { method: "POST", body })
    expect(response.status).toBe(503)
    expect(await response.json()).toMatchObject({ error: { type: "server_error" } })
    await other.close()
  })
})

describe("JSON", () => {
  test("an answer is labelled, repeats the user's message and is the same for the same request", async () => {
    const one = await complete()
    const content = one.choices[0].message.content ?? ""
    expect(content).toMatch(/^Tallygate sandbox echo: /)
    expect(content).toContain(USER.content)
    expect(content.split(" ").length).toBeGreaterThanOrEqual(20)
    const two = await complete()
    expect(two.choices).toEqual(one.choices)
    expect(two.usage).toEqual(one.usage)
    // An id names one answer: bookings are told apart by it.
    expect(two.id).not.toBe(one.id)
  })

  test("it has the members of a chat.completion", async () => {
    expect(await complete()).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-/),
      object: "chat.completion",
      created: NOW_MS / 1000,
      model: "echo",
      service_tier: "default",
      choices: [{ index: 0, message: { role: "assistant", refusal: null }, logprobs: null, finish_reason: "stop" }],
    })
  })

  test("usage is tiktoken's over the real request and the real answer", async () => {
    const named: Message[] = [...MESSAGES, { role: "user", name: "ann", content: "And <|endoftext|> now — in größer?" }]
    const { usage, choices } = await complete({ messages: named })
    const completion = tokensOf(choices[0].message.content ?? "")
    expect(usage).toEqual({
      prompt_tokens: promptTokensOf(named),
      completion_tokens: completion,
      total_tokens: promptTokensOf(named) + completion,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      completion_tokens_details: {
        reasoning_tokens: 0,
        audio_tokens: 0,
        accepted_prediction_tokens: 0,
        rejected_prediction_tokens: 0,
      },
    })
  })

  test("a long message is cut to thirty words, an empty or missing one is said to be", async () => {
    const long = await complete({ messages: [{ role: "user", content: "word ".repeat(500) }] })
    const words = (long.choices[0].message.content ?? "").split(" ").length
    expect(words).toBeGreaterThan(30)
    expect(words).toBeLessThanOrEqual(60)
    const none = await complete({ messages: [{ role: "system", content: "x" }] })
    expect(none.choices[0].message.content).toContain("0 words")
  })

  test("with a prompt_cache_key whole blocks of 128 prompt tokens are reported as cached", async () => {
    const messages: Message[] = [{ role: "user", content: "river ".repeat(300) }]
    const { usage } = await complete({ messages, prompt_cache_key: "k" })
    const prompt = promptTokensOf(messages)
    expect(usage.prompt_tokens).toBe(prompt)
    expect(usage.prompt_tokens_details.cached_tokens).toBe(256)
    expect((await complete({ messages })).usage.prompt_tokens_details.cached_tokens).toBe(0)
  })

  test("the reasoner's hidden text is counted as reasoning and within the completion", async () => {
    const body = { model: "reasoner", messages: MESSAGES, reasoning_effort: "low" }
    const { usage, choices } = await complete(body)
    const reading = readSandboxRequest(JSON.stringify(body))
    if (reading.kind !== "request") throw new Error("the request was refused")
    const hidden = reasoningText(reading.request)
    expect(hidden.match(/Step \d+/g)).toHaveLength(5)
    const reasoning = tokensOf(hidden)
    expect(usage.completion_tokens_details.reasoning_tokens).toBe(reasoning)
    expect(usage.completion_tokens).toBe(reasoning + tokensOf(choices[0].message.content ?? ""))
    expect(choices[0].message.content).not.toContain("Step 1")
    const none = await complete({ ...body, reasoning_effort: "none" })
    expect(none.usage.completion_tokens_details.reasoning_tokens).toBe(0)
  })

  test("no choice has more tokens than the request allows", async () => {
    for (const max of [1, 2, 7, 15]) {
      const { usage, choices } = await complete({ max_tokens: max })
      expect(choices[0].finish_reason).toBe("length")
      expect(usage.completion_tokens).toBe(tokensOf(choices[0].message.content ?? ""))
      expect(usage.completion_tokens).toBeLessThanOrEqual(max)
    }
    const whole = await complete()
    const fits = await complete({ max_completion_tokens: whole.usage.completion_tokens, max_tokens: 1 })
    expect(fits.choices).toEqual(whole.choices)
  })

  test("reasoning that uses up the bound leaves nothing to say", async () => {
    const { usage, choices } = await complete({ model: "reasoner", max_completion_tokens: 10 })
    expect(choices[0]).toMatchObject({ message: { content: "" }, finish_reason: "length" })
    expect(usage).toMatchObject({ completion_tokens: 10, completion_tokens_details: { reasoning_tokens: 10 } })
  })

  test("n choices are n texts, and all of them are counted", async () => {
    const { usage, choices } = await complete({ n: 3 })
    const texts = choices.map((choice) => choice.message.content ?? "")
    expect(choices.map((choice) => choice.index)).toEqual([0, 1, 2])
    expect(new Set(texts).size).toBe(3)
    expect(usage.completion_tokens).toBe(texts.reduce((sum, text) => sum + tokensOf(text), 0))
  })

  test("a forced tool is called with empty arguments and counted; one that is only offered is not called", async () => {
    const tools = [{ type: "function", function: { name: "look", parameters: { type: "object" } } }]
    const forced = await complete({ tools, tool_choice: { type: "function", function: { name: "look" } } })
    expect(forced.choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: { content: null, tool_calls: [{ type: "function", function: { name: "look", arguments: "{}" } }] },
    })
    expect(forced.usage.completion_tokens).toBe(tokensOf(`{"name":"look","arguments":"{}"}`))
    expect(forced.usage.prompt_tokens).toBe(promptTokensOf(MESSAGES) + tokensOf(JSON.stringify(tools)))
    expect((await complete({ tools, tool_choice: "required" })).choices[0].finish_reason).toBe("tool_calls")
    expect((await complete({ tools })).choices[0].finish_reason).toBe("stop")
    const cut = await complete({ tools, tool_choice: "required", max_tokens: 2 })
    expect(cut).toMatchObject({ choices: [{ finish_reason: "length" }], usage: { completion_tokens: 0 } })
  })
})

describe("SSE", () => {
  test("role first, then word by word, then the reason, then usage if asked for, then [DONE]", async () => {
    const { chunks } = await streamed({ stream_options: { include_usage: true } })
    const last = chunks.pop()
    expect(last).toMatchObject({ object: "chat.completion.chunk", choices: [] })
    const whole = await complete()
    expect(last?.usage).toEqual(whole.usage)
    expect(chunks.every((chunk) => chunk.usage === null && chunk.choices.length === 1)).toBe(true)
    expect(chunks[0]?.choices[0]).toMatchObject({ delta: { role: "assistant", content: "" }, finish_reason: null })
    expect(chunks.at(-1)?.choices[0]).toMatchObject({ delta: {}, finish_reason: "stop" })
    expect(contentOf(chunks)).toBe(whole.choices[0].message.content)
    expect(chunks.length).toBe((whole.choices[0].message.content ?? "").split(" ").length + 2)
    expect(new Set([...chunks, last].map((chunk) => chunk?.id)).size).toBe(1)
  })

  test("without include_usage the word usage does not occur", async () => {
    const { text, chunks } = await streamed()
    expect(text).not.toContain(`"usage"`)
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("stop")
  })

  test("every choice is streamed and a bound holds", async () => {
    const { chunks } = await streamed({ n: 2, max_tokens: 6, stream_options: { include_usage: true } })
    const reasons = chunks.flatMap(({ choices }) => choices.filter(({ finish_reason }) => finish_reason !== null))
    expect(reasons.map(({ index, finish_reason }) => [index, finish_reason])).toEqual([
      [0, "length"],
      [1, "length"],
    ])
    expect(chunks.at(-1)?.usage?.completion_tokens).toBeLessThanOrEqual(12)
  })

  test("a caller who leaves in the middle does not disturb the next one", async () => {
    const leaving = new AbortController()
    const body = JSON.stringify({ model: "echo", messages: MESSAGES, stream: true })
    const response = await fetch(`${sandbox.url}/chat/completions`, { method: "POST", body, signal: leaving.signal })
    const reader = response.body?.getReader()
    expect((await reader?.read())?.done).toBe(false)
    leaving.abort()
    await expect(reader?.read()).rejects.toThrow()
    expect((await complete()).choices[0].finish_reason).toBe("stop")
  })
})

describe("the official client", () => {
  test("lists the models", async () => {
    const ids: string[] = []
    for await (const model of openai.models.list()) ids.push(model.id)
    expect(ids).toEqual(["echo", "reasoner"])
  })

  test("assembles a streamed answer and a streamed tool call", async () => {
    const answer = await openai.chat.completions
      .stream({ model: "echo", messages: [{ role: "user", content: USER.content }] })
      .finalContent()
    expect(answer).toContain(USER.content)
    const tools = [{ type: "function" as const, function: { name: "look", parameters: {} } }]
    const call = await openai.chat.completions
      .stream({ model: "echo", messages: [{ role: "user", content: "x" }], tools, tool_choice: "required" })
      .finalChatCompletion()
    expect(call.choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: { tool_calls: [{ function: { name: "look", arguments: "{}" } }] },
    })
  })
})
