/**
 * No prompt and no answer is kept: calls through every kind of door carry words that stand nowhere else, and those are
 * then searched for in every table, journal, log line, backup, counter and metric.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { tallygate } from "../cli/run-command.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { type ConnectedRedis, startConnectedRedis } from "../support/real-redis.ts"
import { filesHolding, formsOf, redisKeysHolding, tablesHolding } from "../support/searched.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"

/** One word for each place, so that a failure says where it came from. */
const PLACES = [
  ...["prompt", "system", "toolargs", "toolname", "filename", "filetext", "answer", "thinking", "providererror"],
  ...["batchline", "reported", "sandboxed", "embedded", "streamed", "instructions", "toolresult"],
] as const
const CANARY = Object.fromEntries(PLACES.map((place) => [place, `canary-${place}-q7x`])) as Record<
  (typeof PLACES)[number],
  string
>
const WORDS = Object.values(CANARY)

let folder: string
let databaseUrl: string
let upstream: FakeUpstream
let redis: ConnectedRedis
let sql: Sql
let app: TestApp
let key: string

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-content-"))
  databaseUrl = await createDatabase(inject("postgresUrl"))
  upstream = await startFakeUpstream()
  redis = await startConnectedRedis()
  sql = openPostgres(databaseUrl, { max: 1, applicationName: "test" })
  const yaml = `
sandbox: true
providers:
  mock: { dialect: openai, base_url: ${upstream.baseUrl}, api_key: sk-upstream }
  claude: { dialect: anthropic, base_url: ${upstream.origin}, api_key: sk-upstream }
models:
  - { match: "claude*", provider: claude }
  - { match: "sandbox*", provider: sandbox }
  - { match: "*", provider: mock }
`
  app = await startTestApp(yaml, { databaseUrl, dataDir: folder, redisUrl: redis.url })
  key = (await app.createKey({ limits: [{ kind: "tokens", window: "month", cap: 10_000_000 }] })).key
  await callAll()
}, 60_000)
afterAll(async () => {
  await app?.close()
  await sql?.end()
  await redis?.stop()
  await upstream?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function post(route: string, body: unknown, headers: Record<string, string> = {}): Promise<string> {
  const isForm = body instanceof FormData
  const response = await fetch(app.url + route, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, ...(isForm ? {} : { "content-type": "application/json" }), ...headers },
    body: isForm ? body : JSON.stringify(body),
  })
  return `${response.status} ${await response.text()}`
}

/** The next answer of the provider, whatever is asked. */
function answering(status: number, body: unknown, contentType = "application/json"): void {
  const text = typeof body === "string" ? body : JSON.stringify(body)
  upstream.enqueue({ status, headers: { "content-type": contentType }, chunks: [Buffer.from(text), "end"] })
}

const messages = [
  { role: "system", content: CANARY.system },
  { role: "user", content: [{ type: "text", text: CANARY.prompt }] },
  {
    role: "assistant",
    tool_calls: [{ id: "t", type: "function", function: { name: "f", arguments: CANARY.toolargs } }],
  },
  { role: "tool", tool_call_id: "t", content: CANARY.toolresult },
]
const tools = [
  { type: "function", function: { name: CANARY.toolname, description: CANARY.instructions, parameters: {} } },
]

async function callAll(): Promise<void> {
  const chat = { messages, tools }
  expect(await post("/v1/chat/completions", { model: "gpt-4o-mini", ...chat })).toMatch(/^200/)
  expect(await post("/v1/chat/completions", { model: "gpt-4o-mini-c3", stream: true, ...chat })).toMatch(/^200/)
  expect(
    await post("/v1/chat/completions", { model: "gpt-4o-mini-reset1", stream: true, ...chat }).catch(String),
  ).toBeTruthy()
  expect(
    await post("/v1/chat/completions", { model: "sandbox", messages: [{ role: "user", content: CANARY.sandboxed }] }),
  ).toBeTruthy()
  await post("/v1/embeddings", { model: "text-embedding-3-small", input: CANARY.embedded })
  await post("/v1/completions", { model: "gpt-3.5-turbo-instruct", prompt: CANARY.prompt, suffix: CANARY.instructions })
  await post("/v1/responses", { model: "gpt-4o-mini", input: CANARY.prompt, instructions: CANARY.instructions })
  // What a provider says of a call that it refuses may repeat the call.
  const error = {
    error: { message: `bad: ${CANARY.providererror}`, type: CANARY.providererror, code: "invalid_prompt" },
  }
  answering(400, error)
  expect(await post("/v1/chat/completions", { model: "gpt-4o-mini", ...chat })).toContain(CANARY.providererror)
  answering(500, `<html>${CANARY.providererror}</html>`, "text/html")
  await post("/v1/chat/completions", { model: "gpt-4o-mini", ...chat })
  answering(200, chatAnswer())
  expect(await post("/v1/chat/completions", { model: "gpt-4o-mini", ...chat })).toContain(CANARY.answer)
  answering(200, streamAnswer(), "text/event-stream")
  expect(await post("/v1/chat/completions", { model: "gpt-4o-mini", stream: true, ...chat })).toContain(CANARY.streamed)
  answering(200, claudeAnswer())
  const claude = {
    model: "claude-sonnet-4-5",
    max_tokens: 100,
    system: CANARY.system,
    messages: [{ role: "user", content: CANARY.prompt }],
  }
  await post("/v1/messages", claude)
  await files()
  // Malformed bodies are told of, and not repeated.
  await post("/v1/chat/completions", { model: "gpt-4o-mini", messages: CANARY.prompt, max_tokens: CANARY.prompt })
  await post("/v1/chat/completions", { model: { [CANARY.prompt]: 1 }, messages })
  const report = { provider: "openai", model: "gpt-4o-mini", input_tokens: 1 }
  expect(await post("/v1/usage", { ...report, prompt: CANARY.reported })).toMatch(/^400/)
  expect(await post("/v1/usage", report)).toMatch(/^201/)
}

async function files(): Promise<void> {
  const form = new FormData()
  form.set("purpose", "batch")
  const line = {
    custom_id: "1",
    method: "POST",
    url: "/v1/chat/completions",
    body: { model: "gpt-4o-mini", messages: [{ role: "user", content: CANARY.batchline }] },
  }
  form.set("file", new Blob([`${JSON.stringify(line)}\n`]), `${CANARY.filename}.jsonl`)
  answering(200, { id: "file-1", object: "file", filename: CANARY.filename, purpose: "batch", bytes: 1 })
  expect(await post("/v1/files", form)).toMatch(/^200/)
  answering(200, {
    id: "batch_1",
    object: "batch",
    input_file_id: "file-1",
    status: "validating",
    metadata: { note: CANARY.batchline },
  })
  await post("/v1/batches", {
    input_file_id: "file-1",
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
    metadata: { note: CANARY.batchline },
  })
  const speech = new FormData()
  speech.set("model", "whisper-1")
  speech.set("prompt", CANARY.prompt)
  speech.set("file", new Blob([CANARY.filetext]), `${CANARY.filename}.mp3`)
  answering(200, { text: CANARY.answer })
  await post("/v1/audio/transcriptions", speech)
}

const usage = { prompt_tokens: 10, completion_tokens: 10, total_tokens: 20 }
const chatAnswer = () => ({
  id: "chatcmpl-1",
  object: "chat.completion",
  model: "gpt-4o-mini",
  choices: [
    {
      index: 0,
      finish_reason: "stop",
      message: { role: "assistant", content: CANARY.answer, reasoning_content: CANARY.thinking },
    },
  ],
  usage,
})
const streamAnswer = () =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", model: "gpt-4o-mini", choices: [{ index: 0, delta: { content: CANARY.streamed } }] })}\n\n` +
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", model: "gpt-4o-mini", choices: [], usage })}\n\ndata: [DONE]\n\n`
const claudeAnswer = () => ({
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "claude-sonnet-4-5",
  content: [
    { type: "thinking", thinking: CANARY.thinking },
    { type: "text", text: CANARY.answer },
  ],
  stop_reason: "end_turn",
  usage: { input_tokens: 10, output_tokens: 10 },
})

describe("what was said in calls", () => {
  test("was really said: the provider has all of it", async () => {
    const received = upstream.requests.map(({ body }) => body.toString("utf8")).join("\n")
    const fromProvider = ["answer", "thinking", "providererror", "reported", "sandboxed", "streamed"]
    expect(PLACES.filter((place) => !received.includes(CANARY[place]) && !fromProvider.includes(place))).toEqual([])
  })

  test("stands in no table, once all calls are in the ledger", async () => {
    const [row] = await until(async () => {
      const rows = await sql<{ records: number }[]>`SELECT count(*)::int AS records FROM usage_records`
      return (rows[0]?.records ?? 0) >= 12 ? rows : undefined
    }, 30_000)
    expect(row?.records).toBeGreaterThanOrEqual(12)
    expect(await tablesHolding(sql, WORDS)).toEqual([])
  })

  test("stands in no file of the data directory, journals included, and in no backup", async () => {
    expect(filesHolding(folder, ["chatcmpl-1"])).not.toEqual([])
    expect(filesHolding(folder, WORDS)).toEqual([])
    const out = path.join(folder, "backup.ndjson.gz")
    const env = { DATABASE_URL: databaseUrl, TALLYGATE_DATA: folder }
    expect(await tallygate(["backup", "--out", out], { env, cwd: folder })).toMatchObject({ exitCode: 0 })
    expect(filesHolding(folder, WORDS)).toEqual([])
  })

  test("stands in no line of the log, whatever its level, and on no page of metrics", async () => {
    expect(app.logged).not.toEqual([])
    const forms = formsOf(WORDS)
    const isSaid = (text: string) => forms.some((form) => text.toLowerCase().includes(form))
    expect(app.logged.filter(isSaid)).toEqual([])
    const page = await (await fetch(`${app.url}/metrics`)).text()
    expect(page).toContain("tallygate_")
    expect(isSaid(page)).toBe(false)
  })

  test("stands in no key and no value of Redis", async () => {
    expect(await redis.client.dbsize()).toBeGreaterThan(0)
    expect(await redisKeysHolding(redis.client, WORDS)).toEqual([])
  })
})
