import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

type ShownLimit = { id: string; scope: Record<string, string>; kind: string; window: string; cap: string }

let upstream: FakeUpstream
let app: TestApp
let sql: Sql
let organizationId: string
let made = 0

beforeAll(async () => {
  upstream = await startFakeUpstream()
  app = await startTestApp(openAiConfig(upstream.baseUrl))
  sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
  organizationId = (await sql<{ id: string }[]>`SELECT id FROM organizations`)[0]?.id ?? ""
})
beforeEach(() => upstream.reset())
afterAll(async () => {
  await sql?.end()
  await app?.close()
  await upstream?.stop()
})

const project = async () => (await app.admin("POST", "/admin/v1/projects", { name: `project ${++made}` })).body.id
const user = async () => (await app.admin("POST", "/admin/v1/users", { name: `user ${++made}` })).body.id
const post = (wanted: object) => app.admin("POST", "/admin/v1/limits", wanted)

async function limit(scope: object, wanted: object = {}): Promise<ShownLimit> {
  const { status, body } = await post({ scope, kind: "requests", window: "day", cap: 1, ...wanted })
  if (status !== 201) throw new Error(`making a limit answered ${status}: ${JSON.stringify(body)}`)
  return body as unknown as ShownLimit
}

function patch(id: string, change: object) {
  return app.admin("PATCH", `/admin/v1/limits/${id}`, change)
}

function remove(id: string) {
  return app.admin("DELETE", `/admin/v1/limits/${id}`)
}

function body(model = "gpt-4o-mini", more: object = {}): string {
  return JSON.stringify({ model, messages: [{ role: "user", content: "hi" }], ...more })
}

async function call({ key }: { key: string }, text = body(), url = app.url) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` }
  const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body: text })
  const answer = (await response.json()) as { error?: { code: string; message: string } }
  return { status: response.status, message: answer.error?.message ?? "", code: answer.error?.code }
}

/** The records of these keys, as soon as there are `count` of them. */
function recordsOf(keys: readonly { id: string }[], count: number) {
  return until(async () => {
    const pages = keys.map(({ id }) => app.admin("GET", `/admin/v1/usage/records?limit=1000&key=${id}`))
    const records = (await Promise.all(pages)).flatMap((page) => page.body.data)
    return records.length >= count ? records : undefined
  })
}

describe("a limit counts for everything under its scope", () => {
  test("two keys of a project share its tokens: of a hundred concurrent calls, those that fit go through", async () => {
    // Each call uses exactly what it holds: a token for each byte of its body, and max_tokens.
    const bytes = Buffer.byteLength(body("gpt-4o-mini-p100-o60", { max_tokens: 60 }))
    const text = body(`gpt-4o-mini-p${bytes}-o60`, { max_tokens: 60 })
    const of = { project_id: await project() }
    await limit(of, { kind: "tokens", cap: (bytes + 60) * 10 })
    const keys = [await app.createKey(of), await app.createKey(of)] as const
    const answers = await Promise.all(Array.from({ length: 100 }, (_, at) => call(keys[at % 2 === 0 ? 0 : 1], text)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(90)
    expect(answers.find(({ status }) => status === 429)?.message).toContain(`project ${of.project_id}`)
    const records = await recordsOf(keys, 10)
    expect(records.map((record) => record.input_uncached_tokens + record.output_tokens)).toEqual(
      Array(10).fill(bytes + 60),
    )
  })

  test("two keys of a project never cost more than its dollars", async () => {
    const of = { project_id: await project() }
    await limit(of, { kind: "usd", window: "month", cap: "0.001" })
    const keys = [await app.createKey(of), await app.createKey(of)] as const
    const text = body("fast", { max_tokens: 16 })
    const answers = await Promise.all(Array.from({ length: 100 }, (_, at) => call(keys[at % 2 === 0 ? 0 : 1], text)))
    const passed = answers.filter(({ status }) => status === 200).length
    expect(passed).toBeGreaterThanOrEqual(10)
    expect(passed).toBeLessThan(100)
    const records = await recordsOf(keys, passed)
    const picos = records.reduce((sum, { cost_usd: cost }) => sum + BigInt(`${cost?.slice(2).padEnd(12, "0")}`), 0n)
    expect(picos).toBeLessThanOrEqual(1_000_000_000n)
  })

  test("a user's limit applies to that user's keys in two projects, and to nobody else's", async () => {
    const ada = await user()
    const projects = [await project(), await project()] as const
    const first = await app.createKey({ project_id: projects[0], user_id: ada })
    const second = await app.createKey({ project_id: projects[1], user_id: ada })
    const other = await app.createKey({ project_id: projects[0], user_id: await user() })
    await limit({ user_id: ada }, { cap: 3 })
    for (const key of [first, second, first]) expect((await call(key)).status).toBe(200)
    for (const key of [second, first]) {
      expect(await call(key)).toMatchObject({ status: 429, message: expect.stringContaining(`user ${ada}`) })
    }
    expect((await call(other)).status).toBe(200)
  })

  test("the organization's limit refuses all, and frees all when it is deleted", async () => {
    const first = await app.createKey()
    const second = await app.createKey({ project_id: await project(), user_id: await user() })
    const { id } = await limit({ organization_id: organizationId }, { cap: 1_000_000 })
    expect((await call(first)).status).toBe(200)
    // It starts from what the ledger has of today.
    const shown = await app.admin("GET", `/admin/v1/limits/${id}`)
    const { settled } = shown.body as unknown as { settled: string }
    expect((await patch(id, { cap: Number(settled) })).status).toBe(200)
    for (const key of [first, second]) {
      const refused = { status: 429, message: expect.stringContaining(`organization ${organizationId} (limit ${id})`) }
      expect(await call(key)).toMatchObject(refused)
    }
    expect((await remove(id)).status).toBe(200)
    for (const key of [first, second]) expect((await call(key)).status).toBe(200)
  })

  test("calls in flight are counted over all keys of the scope", async () => {
    const of = { project_id: await project() }
    await limit(of, { kind: "concurrency", window: "none", cap: 1 })
    const [first, second] = [await app.createKey(of), await app.createKey(of)]
    const running = fetch(`${app.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${first.key}` },
      body: body("gpt-4o-mini-c20-d20", { stream: true }),
    })
    await upstream.waitForRequest(1)
    expect(await call(second)).toMatchObject({ status: 429, code: "rate_limit_exceeded" })
    await (await running).text()
    expect((await call(second)).status).toBe(200)
  })
})

describe("all limits of a call are taken, or none", () => {
  test("a refusal names the scope that refuses, and takes nothing from the others", async () => {
    const [project_id, user_id] = [await project(), await user()]
    const key = await app.createKey({ project_id, user_id })
    await limit({ project_id }, { cap: 5 })
    const ofUser = await limit({ user_id }, { cap: 1 })
    await limit({ key_id: key.id }, { cap: 5 })
    await limit({ key_id: key.id }, { kind: "concurrency", window: "none", cap: 1 })
    expect((await call(key)).status).toBe(200)
    for (let refused = 0; refused < 20; refused++) {
      expect(await call(key)).toMatchObject({ status: 429, message: expect.stringContaining(`limit ${ofUser.id}`) })
    }
    await patch(ofUser.id, { cap: 100 })
    for (let passed = 0; passed < 4; passed++) expect((await call(key)).status).toBe(200)
    expect(await call(key)).toMatchObject({ status: 429, message: expect.stringContaining(`project ${project_id}`) })
  })

  test("a record is charged to each of the limits, with its subject", async () => {
    const [project_id, user_id] = [await project(), await user()]
    const key = await app.createKey({ project_id, user_id })
    const limits = [
      await limit({ project_id }, { cap: 5 }),
      await limit({ user_id }, { cap: 5 }),
      await limit({ key_id: key.id }, { cap: 5 }),
    ]
    await call(key)
    const [record] = await recordsOf([key], 1)
    const subjects = [project_id, user_id, key.id]
    expect(record?.charges).toMatchObject(
      limits.map(({ id }, at) => ({ limit_id: id, subject: subjects[at], amount: "1" })),
    )
  })
})

describe("a limit changes while calls go on", () => {
  test("what is used survives each change of the cap, and a restart", async () => {
    const key = await app.createKey()
    const { id } = await limit({ key_id: key.id }, { cap: 100 })
    for (let passed = 0; passed < 3; passed++) expect((await call(key)).status).toBe(200)
    expect(await patch(id, { cap: 3 })).toMatchObject({ status: 200, body: { id, cap: "3" } })
    expect(await call(key)).toMatchObject({ status: 429, message: expect.stringContaining("3 requests used") })
    await patch(id, { cap: 5 })
    for (let passed = 0; passed < 2; passed++) expect((await call(key)).status).toBe(200)
    const refused = { status: 429, message: expect.stringContaining("5 requests used") }
    expect(await call(key)).toMatchObject(refused)
    await recordsOf([key], 5)
    const restarted = await startTestApp(openAiConfig(upstream.baseUrl), { databaseUrl: app.databaseUrl })
    expect(await call(key, body(), restarted.url)).toMatchObject(refused)
    await restarted.close()
  })

  test("a limit deleted under a running call leaves the call and its charge as they were", async () => {
    const key = await app.createKey()
    const { id } = await limit({ key_id: key.id }, { kind: "concurrency", window: "none", cap: 1 })
    const budget = await limit({ key_id: key.id }, { cap: 1 })
    const running = fetch(`${app.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key.key}` },
      body: body("gpt-4o-mini-c20-d20", { stream: true }),
    })
    await upstream.waitForRequest(1)
    await remove(id)
    await remove(budget.id)
    expect((await call(key)).status).toBe(200)
    expect((await (await running).text()).trimEnd().endsWith("data: [DONE]")).toBe(true)
    const charges = (await recordsOf([key], 2)).map((record) => record.charges)
    expect(charges).toContainEqual([expect.objectContaining({ limit_id: budget.id, amount: "1" })])
    expect(charges).toContainEqual([])
  })

  test("each change is audited with what was and what is, and raises the directory's version", async () => {
    const version = async () =>
      BigInt((await sql<{ version: string }[]>`SELECT version FROM directory_version`)[0]?.version ?? "0")
    const before = await version()
    const { id } = await limit({ organization_id: organizationId }, { kind: "usd", window: "month", cap: "2000000" })
    await patch(id, { cap: "1.5", on_store_failure: "deny" })
    await remove(id)
    // Adding up what it starts from raises it as well.
    expect(await version()).toBeGreaterThanOrEqual(before + 3n)
    const rows = await sql`SELECT actor, action, before, after FROM audit_log WHERE subject = ${id} ORDER BY at`
    expect(rows).toMatchObject([
      { actor: "environment", action: "limit.create", before: null, after: { cap: "2000000000000000" } },
      {
        action: "limit.change",
        before: { cap: "2000000000000000", on_store_failure: "local" },
        after: { cap: "1500000000", on_store_failure: "deny" },
      },
      { action: "limit.delete", before: { cap: "1500000000" }, after: null },
    ])
  })
})

describe("how limits are written", () => {
  test("a limit is shown as it was given, with its defaults", async () => {
    const project_id = await project()
    expect(await limit({ project_id }, { kind: "usd", window: "month", cap: "200.00" })).toMatchObject({
      scope: { project_id },
      organization_id: organizationId,
      kind: "usd",
      window: "month",
      cap: "200",
      on_store_failure: "local",
      time_zone: "UTC",
      anchor_day: 1,
    })
    const given = { window: "month", cap: "7", on_store_failure: "deny", time_zone: "Asia/Tokyo", anchor_day: 15 }
    expect(await limit({ project_id }, given)).toMatchObject(given)
    const key = await app.admin("POST", "/admin/v1/keys", { name: "k", limits: [{ kind: "tokens", ...given, cap: 0 }] })
    expect(key.body).toMatchObject({ limits: [{ ...given, cap: "0" }] })
    const refused = await call(key.body)
    expect(refused.message).toContain("more than the whole monthly token limit")
  })

  test("a window begins on its anchor day in its zone", async () => {
    const key = await app.createKey()
    const { id } = await limit({ key_id: key.id }, { window: "month", time_zone: "Asia/Tokyo", anchor_day: 15 })
    await call(key)
    expect((await call(key)).message).toMatch(/resets at \d{4}-\d{2}-15T00:00:00\+09:00 \(Asia\/Tokyo\)/)
    const [record] = await recordsOf([key], 1)
    expect(record?.charges).toMatchObject([{ limit_id: id, window: expect.stringMatching(/^\d{4}-\d{2}@15$/) }])
  })

  test.each([
    [{ scope: {} }, 400, "invalid_request", "scope"],
    [{ scope: { key_id: "key_none", user_id: "user_none" } }, 400, "invalid_request", "scope"],
    [{ scope: { team_id: "team_none" } }, 400, "unknown_field", "team_id"],
    [{ scope: { key_id: "key_none" } }, 404, "not_found", "scope.key_id"],
    [{ scope: { user_id: "user_none" } }, 404, "not_found", "scope.user_id"],
    [{ scope: { project_id: "proj_none" } }, 404, "not_found", "scope.project_id"],
    [{ scope: { organization_id: "org_none" } }, 404, "not_found", "scope.organization_id"],
    [{ hard: true }, 400, "unknown_field", "hard"],
    [{ kind: "concurrency", window: "minute" }, 400, "invalid_request", "window"],
    [{ kind: "requests", window: "none" }, 400, "invalid_request", "window"],
    [{ kind: "usd", window: "day", cap: 5 }, 400, "invalid_request", "cap"],
    [{ cap: "1.5" }, 400, "invalid_request", "cap"],
    [{ cap: -1 }, 400, "invalid_request", "cap"],
    [{ on_store_failure: "ignore" }, 400, "invalid_request", "on_store_failure"],
    [{ time_zone: "Europe/Nowhere" }, 400, "invalid_request", "time_zone"],
    [{ time_zone: "+01:00" }, 400, "invalid_request", "time_zone"],
    [{ window: "lifetime", time_zone: "Europe/Berlin" }, 400, "invalid_request", "time_zone"],
    [{ window: "day", anchor_day: 2 }, 400, "invalid_request", "anchor_day"],
    [{ window: "month", anchor_day: 32 }, 400, "invalid_request", "anchor_day"],
  ])("%o is a %i %s that names %s, and leaves nothing behind", async (wanted, status, code, param) => {
    const count = async () => Number((await sql`SELECT count(*)::int AS n FROM limits`)[0]?.n)
    const before = await count()
    const scope = { organization_id: organizationId }
    const answer = await post({ scope, kind: "requests", window: "day", cap: 1, ...wanted })
    expect(answer).toMatchObject({ status, body: { error: { code, param } } })
    expect(await count()).toBe(before)
  })

  test("a change is checked like a new limit, by the limit's own kind", async () => {
    const { id } = await limit({ project_id: await project() }, { kind: "usd", window: "day", cap: "5" })
    expect(await patch(id, { cap: 5 })).toMatchObject({ status: 400, body: { error: { param: "cap" } } })
    expect(await patch(id, { window: "day" })).toMatchObject({
      status: 400,
      body: { error: { code: "unknown_field" } },
    })
    expect(await patch(id, {})).toMatchObject({
      status: 400,
      body: { error: { message: expect.stringContaining("cap") } },
    })
    expect(await patch(id, { on_store_failure: "allow" })).toMatchObject({ status: 200, body: { cap: "5" } })
    expect(await patch("lim_none", { cap: 5 })).toMatchObject({ status: 404, body: { error: { param: "id" } } })
    expect(await remove("lim_none")).toMatchObject({ status: 404, body: { error: { param: "id" } } })
    await remove(id)
    expect(await remove(id)).toMatchObject({ status: 404 })
  })

  test("a subject has twenty limits at most, however many come at once", async () => {
    const scope = { project_id: await project() }
    const wanted = { scope, kind: "requests", window: "day", cap: 1 }
    const answers = await Promise.all(Array.from({ length: 30 }, () => post(wanted)))
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(20)
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(10)
  })

  test("pages list every limit once, and those of one scope when it is named", async () => {
    const key = await app.createKey({ limits: [{ kind: "requests", window: "day", cap: 9 }] })
    const own = await limit({ key_id: key.id })
    const ids: string[] = []
    for (let after: string | null = ""; after !== null; ) {
      const page: TestPage = (await app.admin("GET", `/admin/v1/limits?limit=7&after=${after}`)).body
      ids.push(...page.data.map((row) => row.id))
      after = page.next
    }
    const rows = await sql`SELECT id FROM limits`
    expect(ids.sort()).toEqual(rows.map((row) => row.id).sort())
    const ofKey = (await app.admin("GET", `/admin/v1/limits?key_id=${key.id}`)).body.data as unknown as ShownLimit[]
    expect(ofKey.map(({ scope }) => scope)).toEqual([{ key_id: key.id }, { key_id: key.id }])
    expect(ofKey.map(({ id }) => id)).toContain(own.id)
    const several = await app.admin("GET", "/admin/v1/limits?key_id=a&user_id=b")
    expect(several).toMatchObject({ status: 400 })
    expect(await app.admin("GET", "/admin/v1/limits?team_id=b")).toMatchObject({ status: 400 })
  })

  test("without an admin key nobody reads or writes limits", async () => {
    const { key } = await app.createKey()
    const routes = [
      ["GET", ""],
      ["POST", ""],
      ["PATCH", "/lim_none"],
      ["DELETE", "/lim_none"],
    ] as const
    for (const [method, tail] of routes) {
      const response = await fetch(`${app.url}/admin/v1/limits${tail}`, {
        method,
        headers: { authorization: `Bearer ${key}` },
      })
      expect(response.status).toBe(401)
    }
  })
})

type TestPage = Awaited<ReturnType<TestApp["admin"]>>["body"]
