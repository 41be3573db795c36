/** What a hard budget does to calls of which it is known beforehand what they use at most, and to those of which it is not. */
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { figure } from "../support/metrics-page.ts"
import { pricedConfig, startTestApp, type TestApp } from "../support/test-app.ts"

type Policy = "clamp" | "deny" | "overshoot"
type Api = "openai" | "anthropic" | "google"
type Answer = {
  readonly status: number
  readonly id: string
  readonly headers: Headers
  readonly body: { id?: string; name?: string; error?: { message: string; code?: unknown; type?: string } }
}

async function post(url: string, key: string, path: string, body: object): Promise<Answer> {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  })
  const { status, headers } = response
  return { status, id: headers.get("x-request-id") ?? "", headers, body: (await response.json()) as Answer["body"] }
}

/** A key with one hard budget, and its limit. */
async function keyWith(app: TestApp, unbounded: Policy, budget: object = { kind: "usd", window: "month", cap: "100" }) {
  const limits = [{ ...budget, unbounded }] as never
  const { id, key } = await app.createKey({ limits })
  const { body } = await app.admin("GET", `/admin/v1/limits?key_id=${id}`)
  return { id, key, limit: body.data[0]?.id ?? "" }
}

describe("calls that cannot be bounded", () => {
  let provider: FakeProvider
  let app: TestApp
  let response = ""
  let file = ""
  let key = ""
  let cached = ""

  beforeAll(async () => {
    provider = await startFakeProvider()
    app = await startTestApp(threeApis(provider, "provider_objects: { shared_by: organization }"))
    // One organization shares its objects, so that other keys may refer to them.
    key = (await app.createKey()).key
    response = (await post(app.url, key, "/v1/responses", { model: "gpt-5-mini", input: "hi" })).body.id ?? ""
    file = (await post(app.url, key, "/v1/files", { purpose: "batch" })).body.id ?? ""
    cached = (await post(app.url, key, "/v1beta/cachedContents", { model: "models/gemini-2.5-flash" })).body.name ?? ""
  })
  beforeEach(() => {
    provider.requests.length = 0
  })
  afterAll(async () => {
    await app?.close()
    await provider?.stop()
  })

  const chat = (content: object, more: object = {}) =>
    ["/v1/chat/completions", { model: "fast", messages: [{ role: "user", content }], ...more }] as const
  const sound = [{ type: "input_audio", input_audio: { data: "A".repeat(3_000), format: "wav" } }]
  const message = (content: unknown, more: object = {}) =>
    ["/v1/messages", { model: "smart", max_tokens: 10, messages: [{ role: "user", content }], ...more }] as const
  const generate = (parts: object[], more: object = {}) =>
    ["/v1beta/models/quick:generateContent", { contents: [{ parts }], ...more }] as const
  const respond = (more: object) => ["/v1/responses", { model: "gpt-5-mini", input: "hi", ...more }] as const

  const CALLS: readonly (readonly [Api, string, () => readonly [path: string, body: object]])[] = [
    ["openai", "audio", () => chat(sound)],
    ["openai", "predicted_output", () => chat([], { prediction: { type: "content", content: "x" } })],
    ["openai", "server_tool", () => chat([], { web_search_options: {} })],
    ["openai", "routed_model", () => chat([], { models: ["gpt-4o"] })],
    ["openai", "unknown_content", () => chat([{ type: "hologram" }])],
    ["openai", "unknown_member", () => chat([], { dreams: {} })],
    ["openai", "server_context", () => respond({ previous_response_id: response })],
    ["openai", "server_tool", () => respond({ tools: [{ type: "web_search" }], max_tool_calls: 2 })],
    ["openai", "later_usage", () => respond({ background: true })],
    [
      "openai",
      "file_content",
      () => respond({ input: [{ role: "user", content: [{ type: "input_file", file_id: file }] }] }),
    ],
    [
      "openai",
      "remote_content",
      () =>
        respond({ input: [{ role: "user", content: [{ type: "input_file", file_url: "https://example.com/a" }] }] }),
    ],
    ["openai", "open_output", () => ["/v1/responses/compact", { model: "gpt-5-mini", input: "hi" }]],
    ["openai", "file_content", () => ["/v1/batches", { input_file_id: file, endpoint: "/v1/responses" }]],
    [
      "anthropic",
      "document",
      () => message([{ type: "document", source: { type: "base64", media_type: "application/pdf", data: "JVBERi0" } }]),
    ],
    ["anthropic", "server_tool", () => message("hi", { tools: [{ type: "web_search_20250305", name: "web_search" }] })],
    [
      "anthropic",
      "later_usage",
      () => [
        "/v1/messages/batches",
        { requests: [{ custom_id: "a", params: { ...message("hi")[1], model: "claude-sonnet-4-5" } }] },
      ],
    ],
    ["google", "cached_context", () => generate([{ text: "hi" }], { cachedContent: cached })],
    ["google", "remote_content", () => generate([{ fileData: { fileUri: "https://www.youtube.com/watch?v=1" } }])],
    [
      "google",
      "generated_media",
      () => generate([{ text: "hi" }], { generationConfig: { responseModalities: ["IMAGE"] } }),
    ],
  ]

  test.each(CALLS)(
    "with deny a call of %s is refused for its %s, in its own words, and nothing is forwarded",
    async (api, reason, ask) => {
      const budget = await keyWith(app, "deny")
      const refused = await post(app.url, budget.key, ...ask())
      expect(refused.status).toBe(403)
      const code = "call_not_bounded"
      const shapes = {
        openai: { error: { type: "permission_error", code } },
        anthropic: { type: "error", error: { type: "permission_error", code } },
        google: { error: { code: 403, status: "PERMISSION_DENIED", details: [{ reason: code }] } },
      }
      expect(refused.body).toMatchObject(shapes[api])
      const said = refused.body.error?.message ?? ""
      expect(said).toContain(`monthly budget of key ${budget.id} (limit ${budget.limit})`)
      expect(said).toContain(`(${reason}): `)
      expect(said).toContain("`unbounded` to `clamp` or `overshoot`")
      expect(provider.requests).toEqual([])
    },
  )

  // The fake provider does not compact.
  test.each(CALLS.filter(([, reason]) => reason !== "open_output"))(
    "with clamp a call of %s passes in spite of its %s, and its record says so",
    async (_, reason, ask) => {
      const answer = await post(app.url, (await keyWith(app, "clamp")).key, ...ask())
      expect(answer.status).toBe(200)
      expect(await app.record(answer.id)).toMatchObject({ bound: reason })
    },
  )

  test("with clamp what can be bounded is, and that much is held", async () => {
    const tokens = { kind: "tokens", window: "day", cap: 4_000 }
    const [path, body] = chat(sound)
    const answer = await post(app.url, (await keyWith(app, "clamp", tokens)).key, path, body)
    expect(answer.status).toBe(200)
    const asked = Number(provider.requests[0]?.json.max_completion_tokens)
    expect(asked).toBeGreaterThan(1_000)
    expect(asked).toBeLessThan(2_000)
    expect(answer.headers.get("x-tallygate-max-output-tokens")).toBe(String(asked))
  })

  test("with overshoot it is forwarded as it is, held at what is likely, and refused when that has no room", async () => {
    const budget = await keyWith(app, "overshoot", { kind: "tokens", window: "day", cap: 3_000 })
    const [path, body] = chat(sound)
    expect((await post(app.url, budget.key, path, body)).status).toBe(200)
    expect(provider.requests[0]?.json).toEqual({ ...body, model: "gpt-4o-mini" })
    const full = await keyWith(app, "overshoot", { kind: "tokens", window: "day", cap: 100 })
    expect(await post(app.url, full.key, path, body)).toMatchObject({
      status: 429,
      body: { error: { code: "insufficient_quota" } },
    })
  })

  test("of several limits the strictest decides, and one that refuses nothing has no say", async () => {
    const usd = { kind: "usd", cap: "100" }
    const of = async (...limits: object[]) => {
      const { key } = await app.createKey({ limits: limits as never })
      return (await post(app.url, key, ...chat(sound))).status
    }
    expect(
      await of({ ...usd, window: "day", unbounded: "overshoot" }, { ...usd, window: "month", unbounded: "deny" }),
    ).toBe(403)
    expect(await of({ ...usd, window: "day", unbounded: "deny", enforcement: "soft" })).toBe(200)
    expect(await of({ ...usd, window: "day", unbounded: "deny", enforcement: "shadow" })).toBe(200)
    expect(await of({ kind: "requests", window: "day", cap: 5, unbounded: "deny" })).toBe(200)
    expect(await of({ kind: "tokens", window: "minute", cap: 50_000, unbounded: "deny" })).toBe(200)
  })

  test("a batch that no budget has room for is refused as it is made; what fits of it is not held any longer", async () => {
    const requests = (count: number) => ({
      requests: Array.from({ length: count }, (_, at) => ({
        custom_id: `r${at}`,
        params: { ...message("hi")[1], model: "claude-sonnet-4-5", max_tokens: 10_000 },
      })),
    })
    // $15 a million tokens of output, half of it in batches: 10,000 are $0.075.
    const budget = await keyWith(app, "clamp", { kind: "usd", window: "month", cap: "0.2" })
    const [small, large] = [requests(2), requests(3)]
    expect((await post(app.url, budget.key, "/v1/messages/batches", small)).status).toBe(200)
    expect((await post(app.url, budget.key, "/v1/messages/batches", small)).status).toBe(200)
    expect(await post(app.url, budget.key, "/v1/messages/batches", large)).toMatchObject({ status: 429 })
  })

  test("what a limit does is shown and can be changed; another word is refused", async () => {
    const { limit, key: denied } = await keyWith(app, "deny")
    expect((await app.admin("GET", `/admin/v1/limits/${limit}`)).body).toMatchObject({ unbounded: "deny" })
    const changed = await app.admin("PATCH", `/admin/v1/limits/${limit}`, { unbounded: "overshoot" })
    expect(changed).toMatchObject({ status: 200, body: { unbounded: "overshoot" } })
    expect((await post(app.url, denied, ...chat(sound))).status).toBe(200)
    expect(await app.admin("PATCH", `/admin/v1/limits/${limit}`, { unbounded: "maybe" })).toMatchObject({ status: 400 })
    const plain = await app.createKey({ limits: [{ kind: "usd", window: "day", cap: "1" }] })
    const listed = await app.admin("GET", `/admin/v1/limits?key_id=${plain.id}`)
    expect(listed.body.data[0]).toMatchObject({ unbounded: "clamp" })
  })
})

describe("bounded calls", () => {
  let server: Server
  let app: TestApp
  /** What the provider adds to the tokens that it was sent. */
  let lie = 0
  const asked: (number | null)[] = []

  /** Uses a token for each byte, and all of the output that it is asked for, but for what it says of itself. */
  beforeAll(async () => {
    server = createServer(async (request, answer) => {
      const parts: Buffer[] = []
      for await (const part of request) parts.push(part as Buffer)
      const body = Buffer.concat(parts)
      const { max_tokens: older, max_completion_tokens: newer } = JSON.parse(body.toString()) as Record<string, number>
      const max = newer ?? older ?? null
      asked.push(max)
      const usage = { prompt_tokens: 10 + lie, completion_tokens: max ?? 7, total_tokens: 10 + lie + (max ?? 7) }
      const message = { role: "assistant", content: "x" }
      answer.setHeader("content-type", "application/json")
      answer.end(
        JSON.stringify({ id: "c", model: "mock", choices: [{ index: 0, message, finish_reason: "length" }], usage }),
      )
    }).listen(0, "127.0.0.1")
    await new Promise((resolve) => server.once("listening", resolve))
    app = await startTestApp(pricedConfig(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`))
  })
  beforeEach(() => {
    asked.length = 0
    lie = 0
  })
  afterAll(async () => {
    await app?.close()
    server?.close()
  })

  const call = (key: string, more: object = {}) =>
    post(app.url, key, "/v1/chat/completions", {
      model: "mock",
      messages: [{ role: "user", content: "hi" }],
      max_tokens: 1_000,
      ...more,
    })
  const spent = (records: readonly UsageRecord[]) =>
    records.reduce((sum, record) => sum + record.input_uncached_tokens + record.output_tokens, 0)
  const recordsOf = (answers: readonly Answer[]) =>
    Promise.all(answers.filter(({ status }) => status === 200).map(({ id }) => app.record(id)))

  test("one caller uses a budget to its end: the last answer is as long as there is room for, and it is told", async () => {
    const { key } = await keyWith(app, "deny", { kind: "tokens", window: "lifetime", cap: 5_000 })
    const answers: Answer[] = []
    do answers.push(await call(key))
    while (answers.at(-1)?.status === 200 && answers.length < 50)
    expect(answers.at(-1)).toMatchObject({ status: 429, body: { error: { code: "insufficient_quota" } } })
    const records = await recordsOf(answers)
    expect(spent(records)).toBeLessThanOrEqual(5_000)
    expect(spent(records)).toBeGreaterThanOrEqual(4_750)
    expect(asked.at(0)).toBe(1_000)
    expect(asked.at(-1)).toBeLessThan(1_000)
    expect(answers[0]?.headers.get("x-tallygate-max-output-tokens")).toBeNull()
    expect(answers.at(-2)?.headers.get("x-tallygate-max-output-tokens")).toBe(String(asked.at(-1)))
    expect(new Set(records.map(({ bound }) => bound))).toEqual(new Set(["bounded"]))
  })

  test("eight callers at once never use more than there is, in tokens or in money", async () => {
    for (const budget of [
      { kind: "tokens", window: "month", cap: 20_000 },
      { kind: "usd", window: "day", cap: "0.02" },
    ]) {
      const { key } = await keyWith(app, "deny", budget)
      const answers: Answer[] = []
      const caller = async () => {
        for (let refused = 0; refused < 3 && answers.length < 400; ) {
          const answer = await call(key, { max_tokens: 100 + 37 * (answers.length % 20) })
          answers.push(answer)
          if (answer.status !== 200) refused++
        }
      }
      await Promise.all(Array.from({ length: 8 }, caller))
      const records = await recordsOf(answers)
      expect(records.length).toBeGreaterThan(10)
      const used =
        budget.kind === "tokens" ? spent(records) : records.reduce((sum, { cost_usd }) => sum + Number(cost_usd), 0)
      expect(used).toBeLessThanOrEqual(Number(budget.cap))
      expect(used).toBeGreaterThan(Number(budget.cap) * 0.9)
    }
  })

  test("a call that leaves its output open is asked for what is held, and leaves room for others", async () => {
    const { key } = await keyWith(app, "deny", { kind: "tokens", window: "day", cap: 60_000 })
    const open = await call(key, { max_tokens: undefined })
    expect(open.status).toBe(200)
    expect(asked).toEqual([16_384])
    expect(open.headers.get("x-tallygate-max-output-tokens")).toBe("16384")
  })

  test("less than an answer is not asked for, and a soft limit shortens nothing", async () => {
    const tight = await keyWith(app, "clamp", { kind: "tokens", window: "day", cap: 250 })
    const refused = await call(tight.key, { messages: [{ role: "user", content: "x".repeat(40) }] })
    expect(refused).toMatchObject({
      status: 429,
      body: { error: { message: expect.stringContaining("This call needs up to") } },
    })
    const { key } = await app.createKey({
      limits: [{ kind: "tokens", window: "day", cap: 10, enforcement: "soft" }] as never,
    })
    expect((await call(key, { max_tokens: undefined })).status).toBe(200)
    expect(asked).toEqual([null])
  })

  test("the room of a provider account's budget is asked for as well, whatever the key's own has", async () => {
    const { key } = await keyWith(app, "clamp", { kind: "tokens", window: "day", cap: 9_000 })
    // A model that nobody has called, since the budget starts from what was used.
    const model = "mock-of-its-own"
    const scope = { provider_account: "mock/default", model }
    const budget = { scope, kind: "tokens", window: "lifetime", cap: 3_000 }
    const { id } = (await app.admin("POST", "/admin/v1/limits", budget)).body
    try {
      expect((await call(key, { model, max_tokens: 20_000 })).status).toBe(200)
      expect(asked[0]).toBeGreaterThan(2_700)
      expect(asked[0]).toBeLessThan(3_000)
      expect(await call(key, { model, max_tokens: 20_000 })).toMatchObject({ status: 429 })
    } finally {
      await app.admin("DELETE", `/admin/v1/limits/${id}`)
    }
    // What the refused call held of the key's own has been given back.
    expect((await call(key, { model, max_tokens: 5_000 })).status).toBe(200)
    expect(asked[1]).toBe(5_000)
  })

  test("calls without a budget are not asked, and their records say nothing", async () => {
    const { key } = await app.createKey({ limits: [{ kind: "requests", window: "day", cap: 5 }] })
    const { id } = await call(key)
    expect(await app.record(id)).toMatchObject({ bound: "" })
  })

  test("nothing has used more than it could; a provider that counts more is found out", async () => {
    expect(await figure(app.url, "tallygate_bound_violations_total")).toBe(0)
    const bounded = await figure(app.url, 'tallygate_calls_bound_total{bound="bounded"}')
    expect(bounded).toBeGreaterThan(20)
    const { key } = await keyWith(app, "clamp")
    lie = 50_000
    await app.record((await call(key)).id)
    expect(await figure(app.url, "tallygate_bound_violations_total")).toBe(1)
    expect(await figure(app.url, 'tallygate_calls_bound_total{bound="bounded"}')).toBe(bounded + 1)
    expect(app.logged.filter((line) => line.includes("used more than was held"))).toHaveLength(1)
  })
})
