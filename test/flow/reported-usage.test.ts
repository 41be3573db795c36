/** Usage of calls that did not pass the proxy is told to it, and lands where that of calls does: over the whole app. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { ADMIN_KEY, openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

type Body = Record<string, unknown> & {
  id: string
  over_limit: { limit_id: string; used: string; cap: string; kind: string }[]
  data: (Record<string, unknown> & {
    index: number
    id: string
    error: { code: string; param: string; message: string }
  })[]
  error: { code: string; param: string | null; message: string }
}
type Answer = { status: number; headers: Headers; body: Body }

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

let app: TestApp
let sql: Sql
let counter = 0

beforeAll(async () => {
  app = await startTestApp(openAiConfig("http://127.0.0.1:9/v1"))
  sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
})
afterAll(async () => {
  await sql?.end()
  await app?.close()
})

async function post(secret: string, path: string, body: unknown, to = app): Promise<Answer> {
  const response = await fetch(to.url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  })
  return { status: response.status, headers: response.headers, body: (await response.json()) as Body }
}
const fresh = () => `n${counter++}`
const chat = <More extends object>(more: More = {} as More) => ({
  provider: "openai",
  model: "gpt-4o-mini",
  input_tokens: 1000,
  output_tokens: 100,
  ...more,
})
const limit = (kind: string, window: string, cap: string | number) => ({ kind, window, cap })
const standing = async (key: string, index = 0) => {
  const response = await fetch(`${app.url}/v1/key`, { headers: { authorization: `Bearer ${key}` } })
  const { limits } = (await response.json()) as { limits: { used: string; id: string }[] }
  return limits[index]
}
const usedIs = (key: string, used: string, index = 0) =>
  until(async () => ((await standing(key, index))?.used === used ? true : undefined), 30_000)

describe("a report", () => {
  test("is a record of the ledger with everything that was said, priced by the book", async () => {
    const { id: keyId, key } = await app.createKey({ limits: [limit("usd", "month", "5")] })
    const said = chat({
      tier: "batch",
      tool: "render",
      request_type: "summarise",
      cache_read_tokens: 400,
      reasoning_tokens: 20,
      end_customer: "acme",
      conversation: "c-1",
      tags: ["team:video"],
      metadata: { job: "7" },
      duration_ms: 1234.4,
      time: new Date(Date.now() - 3 * MINUTE_MS).toISOString(),
      idempotency_key: fresh(),
    })
    const { status, body } = await post(key, "/v1/usage", said)
    expect({ status, ...body }).toMatchObject({ status: 201, duplicate: false, cost_source: "book", over_limit: [] })
    const record = await app.record(body.id)
    expect(record).toMatchObject({
      kind: "report",
      key_id: keyId,
      endpoint: "usage.report",
      provider: "openai",
      model_served: "gpt-4o-mini",
      tier_served: "batch",
      tool: "render",
      operation: "summarise",
      input_uncached_tokens: 600,
      cache_read_tokens: 400,
      output_tokens: 100,
      reasoning_tokens: 20,
      end_customer: "acme",
      conversation: "c-1",
      tags: ["team:video"],
      metadata: { job: "7" },
      duration_ms: 1234,
      outcome: "ok",
      end_state: "complete",
      usage_source: "reported",
      price_state: "priced",
      cost_usd: body.cost_usd,
      client_request_id: said.idempotency_key,
    })
    expect(Date.parse(record.time)).toBe(Date.parse(said.time))
    await usedIs(key, String(record.cost_usd))
  })

  test("names its cost, 0 included; the book's own stands beside it", async () => {
    const { key } = await app.createKey({ limits: [limit("usd", "month", "5")] })
    const paid = await post(key, "/v1/usage", chat({ cost_usd: "0.25" }))
    expect(paid.body).toMatchObject({ cost_usd: "0.25", cost_source: "reported", book_cost_usd: "0.00021" })
    const free = await post(key, "/v1/usage", chat({ cost_usd: "0" }))
    expect(free.body).toMatchObject({ cost_usd: "0", cost_source: "reported", price_state: "priced" })
    expect(await app.record(free.body.id)).toMatchObject({
      cost_usd: "0",
      book_cost_usd: "0.00021",
      price_state: "priced",
    })
    await usedIs(key, "0.25")
  })

  test("counts what is not tokens, and is unpriced where no price is known, never 0", async () => {
    const { key } = await app.createKey()
    const video = { provider: "acme-video", model: "v1", units: 37.5, unit_type: "seconds" }
    const unpriced = await post(key, "/v1/usage", video)
    expect(unpriced.body).toMatchObject({ price_state: "unpriced", cost_usd: null })
    expect(await app.record(unpriced.body.id)).toMatchObject({ units: 37.5, unit_type: "seconds", cost_usd: null })
    const speech = { provider: "openai", model: "whisper-1", units: 60, unit_type: "seconds" }
    expect((await post(key, "/v1/usage", speech)).body).toMatchObject({ price_state: "priced", cost_usd: "0.006" })
    const failed = await post(key, "/v1/usage", { provider: "acme-video", model: "v1", error: "content_filter" })
    expect(await app.record(failed.body.id)).toMatchObject({
      outcome: "error",
      error_code: "content_filter",
      price_state: "free",
    })
  })

  test("is written whatever the limits say, and names those that it passed", async () => {
    const { key } = await app.createKey({ limits: [limit("tokens", "day", 500), limit("requests", "month", 100)] })
    const { status, body } = await post(key, "/v1/usage", chat())
    expect(status).toBe(201)
    expect(body.over_limit).toMatchObject([{ kind: "tokens", cap: "500", used: "1100" }])
    expect(body.over_limit[0]?.limit_id).toBe((await standing(key))?.id)
    await usedIs(key, "1100")
    const call = await post(key, "/v1/chat/completions", { model: "fast", messages: [{ role: "user", content: "x" }] })
    expect(call).toMatchObject({ status: 429, body: { error: { code: "insufficient_quota" } } })
  })

  test("sent again under its key is booked once, and under the same key with other content not at all", async () => {
    const { key } = await app.createKey({ limits: [limit("requests", "month", 100)] })
    const said = chat({ idempotency_key: fresh() })
    const first = await post(key, "/v1/usage", said)
    const second = await post(key, "/v1/usage", said)
    expect(second).toMatchObject({
      status: 200,
      body: { duplicate: true, id: first.body.id, cost_usd: first.body.cost_usd },
    })
    await app.record(first.body.id)
    expect((await post(key, "/v1/usage", said)).body).toMatchObject({ duplicate: true, id: first.body.id })
    const other = await post(key, "/v1/usage", { ...said, output_tokens: 101 })
    expect(other).toMatchObject({ status: 409, body: { error: { code: "conflict", param: "idempotency_key" } } })
    expect(other.body.error.message).toContain(first.body.id)
    await usedIs(key, "1")
    const stranger = await app.createKey()
    expect((await post(stranger.key, "/v1/usage", said)).body).toMatchObject({ duplicate: false })
  })

  test("of an earlier day counts in the windows of its own time, and not in those of now", async () => {
    const { id: keyId, key } = await app.createKey({
      limits: [limit("requests", "day", 1), limit("requests", "lifetime", 100)],
    })
    const time = new Date(Date.now() - 3 * DAY_MS).toISOString()
    for (const _ of [1, 2, 3]) expect((await post(key, "/v1/usage", chat({ time }))).body.over_limit).toEqual([])
    await usedIs(key, "3", 1)
    expect((await standing(key))?.used).toBe("0")
    await until(async () => {
      const rows = await sql<{ settled: number }[]>`
        SELECT settled::int AS settled FROM limit_usage WHERE subject = ${keyId} AND window_id = ${time.slice(0, 10)}`
      return rows[0]?.settled === 3 ? true : undefined
    })
  })
})

describe("a report that is wrong", () => {
  const now = Date.now()
  test.each<[string, object | string, string | null, RegExp]>([
    ["no JSON", "{", null, /not valid JSON/],
    ["a list", [], null, /Send a record/],
    ["no provider", { model: "m", input_tokens: 1 }, "provider", /provider/],
    ["no model and no cost", { provider: "p", input_tokens: 1 }, "model", /cost_usd/],
    ["nothing used", { provider: "p", model: "m" }, "input_tokens", /how much was used/],
    ["a negative count", chat({ output_tokens: -1 }), "output_tokens", /output_tokens/],
    ["a fraction of a token", chat({ output_tokens: 1.5 }), "output_tokens", /output_tokens/],
    ["a huge count", chat({ output_tokens: 1e15 }), "output_tokens", /output_tokens/],
    ["an infinite count", `{"provider":"p","model":"m","output_tokens":1e999}`, "output_tokens", /output_tokens/],
    ["NaN", `{"provider":"p","model":"m","output_tokens":NaN}`, null, /not valid JSON/],
    ["units of nothing", { provider: "p", model: "m", units: 3 }, "unit_type", /12.5 seconds/],
    ["a cost that is a number", chat({ cost_usd: 0.1 }), "cost_usd", /cost_usd/],
    ["a cost with an exponent", chat({ cost_usd: "1e3" }), "cost_usd", /exponent/],
    ["a negative cost", chat({ cost_usd: "-1" }), "cost_usd", /adjustment/],
    ["a cost of a trillion", chat({ cost_usd: "999999999999" }), "cost_usd", /billion/],
    ["more cached than input", chat({ input_tokens: 5, cache_read_tokens: 6 }), "input_tokens", /cached/],
    ["input told twice", chat({ input_uncached_tokens: 999 }), "input_tokens", /sum/],
    ["more reasoning than output", chat({ reasoning_tokens: 101 }), "reasoning_tokens", /part/],
    ["two operations", chat({ operation: "a", request_type: "b" }), "request_type", /differ/],
    ["too old", chat({ time: new Date(now - 35 * DAY_MS - MINUTE_MS).toISOString() }), "time", /35 days/],
    ["too far ahead", chat({ time: new Date(now + 7 * MINUTE_MS).toISOString() }), "time", /5 minutes/],
    ["no time", chat({ time: "yesterday" }), "time", /time/],
    ["an unknown field", chat({ tokens: 5 }), "tokens", /openapi/],
    ["a control character", chat({ tool: "a\u0000b" }), "tool", /control/],
    ["half a character", chat({ tool: "\ud800" }), "tool", /128 bytes/],
    ["a long text", chat({ conversation: "x".repeat(129) }), "conversation", /128 bytes/],
    ["another project", chat({ project_id: "proj_x" }), "project_id", /own project/],
    ["a user that it may not name", chat({ user: "ada@example.com" }), "user", /attribute_users/],
    ["an admin's field", chat({ key_id: "key_x" }), "key_id", /key_id/],
    ["too many at once", { records: Array.from({ length: 1001 }, () => chat()) }, "records", /1000/],
    ["none at once", { records: [] }, "records", /1 to 1000/],
  ])("(%s) is refused with what is wrong and where", async (_, body, param, message) => {
    const { key } = await app.createKey()
    const { status, body: answer } = await post(key, "/v1/usage", body)
    expect(status, JSON.stringify(answer)).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(404)
    expect(answer.error.param).toBe(param)
    expect(answer.error.message).toMatch(message)
  })

  test("does not keep the others of its batch from being booked", async () => {
    const { key } = await app.createKey({ limits: [limit("requests", "month", 100)] })
    const again = chat({ idempotency_key: fresh() })
    const records = [chat(), chat({ output_tokens: -1 }), again, again, { ...again, output_tokens: 5 }, "x", chat()]
    const { status, body } = await post(key, "/v1/usage", { records })
    expect(status).toBe(200)
    expect(body).toMatchObject({ booked: 3, duplicates: 1, failed: 3 })
    expect(body.data.map(({ index, error, duplicate }) => [index, error?.code ?? duplicate])).toEqual([
      [0, false],
      [1, "invalid_request"],
      [2, false],
      [3, true],
      [4, "conflict"],
      [5, "invalid_request"],
      [6, false],
    ])
    expect(body.data[1]?.error.param).toBe("output_tokens")
    expect(body.data[3]?.id).toBe(body.data[2]?.id)
    await usedIs(key, "3")
  })

  test("is refused without a key that works", async () => {
    expect((await post("tg_nobody", "/v1/usage", chat())).status).toBe(401)
    expect((await post(ADMIN_KEY, "/v1/usage", chat())).status).toBe(401)
    const { id, key } = await app.createKey()
    await app.admin("POST", `/admin/v1/keys/${id}/revoke`)
    expect((await post(key, "/v1/usage", chat())).status).toBe(401)
  })
})

describe("whose usage it is", () => {
  test("a key that is bound to a user reports for that user; one that may name users for them, limits and all", async () => {
    const email = `${fresh()}@example.com`
    const user = (await app.admin("POST", "/admin/v1/users", { name: "Ada", email })).body.id
    const other = (await app.admin("POST", "/admin/v1/users", { name: "Bob" })).body.id
    await app.admin("POST", "/admin/v1/limits", { scope: { user_id: user }, ...limit("requests", "month", 1) })
    const bound = await app.createKey({ user_id: user })
    expect((await post(bound.key, "/v1/usage", chat({ user: other }))).body.error).toMatchObject({
      param: "user",
      code: "not_permitted",
    })
    expect((await post(bound.key, "/v1/usage", chat({ user: email }))).status).toBe(201)
    const free = await app.createKey({ attribute_users: true })
    const { body } = await post(free.key, "/v1/usage", chat({ user: email }))
    expect(body.over_limit).toMatchObject([{ scope: "user", used: "2", cap: "1" }])
    expect(await app.record(body.id)).toMatchObject({ user_id: user, key_id: free.id })
    expect((await post(free.key, "/v1/usage", chat({ user: "nobody@x" }))).body.error).toMatchObject({
      code: "unknown_user",
    })
  })

  test("an admin reports for a project, and for a user or key in it, within the role's scope", async () => {
    const [own, foreign] = [fresh(), fresh()]
    const project = (await app.admin("POST", "/admin/v1/projects", { name: own })).body.id
    const elsewhere = (await app.admin("POST", "/admin/v1/projects", { name: foreign })).body.id
    await app.admin("POST", "/admin/v1/limits", { scope: { project_id: project }, ...limit("tokens", "month", 1000) })
    const { id: keyId, key } = await app.createKey({ project_id: project, limits: [limit("requests", "month", 9)] })
    const scope = { project_id: project }
    const admin = (await app.admin("POST", "/admin/v1/admin-keys", { name: own, role: "admin", scope })).body.key
    const viewer = (await app.admin("POST", "/admin/v1/admin-keys", { name: own, role: "viewer", scope })).body.key
    const records = [
      chat({ project_id: project, key_id: keyId }),
      chat({ project_id: elsewhere }),
      chat({ project_id: project, key_id: "key_nobody" }),
      chat({ project_id: project }),
    ]
    const { status, body } = await post(admin, "/admin/v1/usage/records", { records })
    expect(status).toBe(200)
    expect(body.data.map(({ error }) => error?.code ?? "booked")).toEqual([
      "booked",
      "not_found",
      "invalid_request",
      "booked",
    ])
    expect(await app.record(body.data[0]?.id ?? "")).toMatchObject({ project_id: project, key_id: keyId })
    expect(await app.record(body.data[3]?.id ?? "")).toMatchObject({ project_id: project, key_id: "" })
    expect(body.data[3]?.over_limit).toMatchObject([{ kind: "tokens", used: "2200" }])
    await usedIs(key, "1", 1)
    expect((await post(viewer, "/admin/v1/usage/records", chat({ project_id: project }))).status).toBe(403)
    const unseen = await post(viewer, "/admin/v1/usage/records", { records: [chat({ project_id: elsewhere })] })
    expect(unseen.body.data[0]?.error.code).toBe("not_found")
    expect((await post(viewer, "/admin/v1/usage/records", { records: ["x"] })).status).toBe(403)
  })
})

describe("a hold", () => {
  test("takes room as a call does, until the report that names it; then the report has taken its place", async () => {
    const { key } = await app.createKey({ limits: [limit("tokens", "day", 2000)] })
    const held = await post(key, "/v1/usage/hold", chat({ input_tokens: 1500 }))
    expect(held.status).toBe(201)
    expect(Date.parse(String(held.body.expires_at))).toBeGreaterThan(Date.now() + 14 * MINUTE_MS)
    const refused = await post(key, "/v1/usage/hold", chat({ input_tokens: 500 }))
    expect(refused).toMatchObject({ status: 429, body: { error: { code: "insufficient_quota" } } })
    expect(refused.headers.get("x-should-retry")).toBe("false")
    const report = chat({ hold_id: held.body.hold_id, idempotency_key: fresh() })
    expect((await post(key, "/v1/usage", report)).body).toMatchObject({ hold: "released", over_limit: [] })
    expect((await post(key, "/v1/usage", report)).body).toMatchObject({ duplicate: true, hold: "not_found" })
    expect((await post(key, "/v1/usage/hold", chat({ input_tokens: 800 }))).status).toBe(201)
    expect((await post(key, "/v1/usage/hold", chat({ input_tokens: 1 }))).status).toBe(429)
  })

  test("expires by itself, and nobody else ends it", async () => {
    const { key } = await app.createKey({ limits: [limit("tokens", "day", 2000)] })
    const stranger = await app.createKey()
    const held = await post(key, "/v1/usage/hold", chat({ input_tokens: 1500, expires_in: 1 }))
    const theirs = await post(stranger.key, "/v1/usage", chat({ hold_id: held.body.hold_id }))
    expect(theirs.body).toMatchObject({ duplicate: false, hold: "not_found" })
    const room = () => post(key, "/v1/usage/hold", chat({ input_tokens: 1500 }))
    expect((await room()).status).toBe(429)
    await until(async () => ((await room()).status === 201 ? true : undefined), 30_000)
    const late = await post(key, "/v1/usage", chat({ hold_id: held.body.hold_id }))
    expect(late).toMatchObject({ status: 201, body: { hold: "not_found" } })
  })

  test("on a budget in money needs a price, or to be told the cost; and bounds", async () => {
    const { key } = await app.createKey({ limits: [limit("usd", "month", "1")] })
    const video = { provider: "acme-video", model: "v1", units: 10, unit_type: "seconds" }
    expect((await post(key, "/v1/usage/hold", video)).body.error).toMatchObject({
      code: "model_not_priced",
      param: "cost_usd",
    })
    expect((await post(key, "/v1/usage/hold", { ...video, cost_usd: "0.9" })).status).toBe(201)
    expect((await post(key, "/v1/usage/hold", { ...video, cost_usd: "0.2" })).status).toBe(429)
    expect((await post(key, "/v1/usage/hold", { ...video, expires_in: 90_000 })).body.error.param).toBe("expires_in")
  })
})

describe("a correction", () => {
  const adjust = (id: string, body: object) => post(ADMIN_KEY, `/admin/v1/usage/records/${id}/adjustments`, body)
  const booked = async (more: object = {}) => {
    const made = await app.createKey({ limits: [limit("tokens", "month", 100_000), limit("usd", "month", "9")] })
    const { body } = await post(made.key, "/v1/usage", chat(more))
    return { ...made, record: await app.record(body.id) }
  }

  test("is an entry beside the record, at its time; every sum and every limit is corrected, nothing is changed", async () => {
    const { key, record } = await booked()
    const { status, body } = await adjust(record.id, {
      output_tokens: -100,
      reason: "counted twice",
      idempotency_key: fresh(),
    })
    expect({ status, ...body }).toMatchObject({ status: 201, adjusts_id: record.id, cost_usd: "-0.00006" })
    const entry = await app.record(body.id)
    expect(entry).toMatchObject({
      kind: "adjustment",
      adjusts_id: record.id,
      time: record.time,
      output_tokens: -100,
      cost_usd: "-0.00006",
      metadata: { reason: "counted twice" },
    })
    expect(await app.record(record.id)).toEqual(record)
    await usedIs(key, "1000")
    await usedIs(key, "0.00015", 1)
    const summary = await app.admin("GET", `/admin/v1/usage/summary?key=${record.key_id}&range=today`)
    expect(summary.body.totals).toMatchObject({ cost_usd: "0.00015" })
    const audit = await app.admin("GET", `/admin/v1/audit?subject=${record.id}`)
    expect(audit.body.data).toMatchObject([
      { action: "usage.adjust", after: { adjustment_id: body.id, output_tokens: -100 } },
    ])
  })

  test("is booked once, and takes no more than there is, over all corrections", async () => {
    const { key, record } = await booked()
    const correction = { output_tokens: -60, reason: "r", idempotency_key: fresh() }
    const answers = await Promise.all([1, 2, 3].map(() => adjust(record.id, correction)))
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1)
    expect(answers.map(({ body }) => body.duplicate).sort()).toEqual([false, true, true])
    expect((await adjust(record.id, { ...correction, output_tokens: -61 })).status).toBe(409)
    const beyond = await adjust(record.id, { output_tokens: -41, reason: "r" })
    expect(beyond).toMatchObject({ status: 400, body: { error: { param: "output_tokens" } } })
    expect((await adjust(record.id, { cost_usd: "-1", reason: "r" })).body.error.param).toBe("cost_usd")
    expect((await adjust(record.id, { output_tokens: -40, reason: "r" })).status).toBe(201)
    await usedIs(key, "1000")
    expect(
      (await adjust(String(answers[0]?.body.id), { output_tokens: 1, reason: "r" })).status,
    ).toBeGreaterThanOrEqual(400)
  })

  test("of a cost that was reported says the cost, and every one says why", async () => {
    const { key, record } = await booked({ cost_usd: "2" })
    expect((await adjust(record.id, { output_tokens: -1, reason: "r" })).body.error.param).toBe("cost_usd")
    expect((await adjust(record.id, { cost_usd: "-0.5" })).body.error.param).toBe("reason")
    expect((await adjust(record.id, { reason: "r" })).body.error.message).toMatch(/Nothing/)
    expect((await adjust(record.id, { cost_usd: "-0.5", reason: "r" })).status).toBe(201)
    await usedIs(key, "1.5", 1)
    expect((await adjust("00000000-0000-7000-8000-000000000000", { cost_usd: "1", reason: "r" })).status).toBe(404)
  })
})

test("metrics count what is reported, providers that nobody knows together", async () => {
  const { key } = await app.createKey()
  await post(key, "/v1/usage", { provider: fresh(), model: "m", units: 1, unit_type: "images" })
  await post(key, "/v1/usage", chat())
  const page = await (await fetch(`${app.url}/metrics`)).text()
  expect(page).toMatch(/tallygate_reported_records_total\{provider="openai"\} [1-9]/)
  expect(page).toMatch(/tallygate_reported_records_total\{provider="other"\} [1-9]/)
  expect(page).not.toMatch(/tallygate_requests_total\{[^}]*provider="openai"[^}]*status="0"/)
})
