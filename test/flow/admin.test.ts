import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

let upstream: FakeUpstream
let app: TestApp
let sql: Sql

beforeAll(async () => {
  upstream = await startFakeUpstream()
  app = await startTestApp(openAiConfig(upstream.baseUrl))
  sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
})
afterAll(async () => {
  await sql?.end()
  await app?.close()
  await upstream?.stop()
})

type TestPage = Awaited<ReturnType<TestApp["admin"]>>["body"]

const create = (body: unknown) => app.admin("POST", "/admin/v1/keys", body)

describe("who may not", () => {
  test.each([undefined, "Bearer nonsense", "Basic abc", "Bearer tga_00000000000000000000000000000000000000"])(
    "%s is a 401 that says what is needed",
    async (authorization) => {
      const headers = authorization === undefined ? {} : { authorization }
      const response = await fetch(`${app.url}/admin/v1/keys`, { headers })
      expect(response.status).toBe(401)
      expect(((await response.json()) as { error: { code: string } }).error.code).toBe("invalid_api_key")
    },
  )
  test("a virtual key does not open the admin API", async () => {
    const { key } = await app.createKey()
    const response = await fetch(`${app.url}/admin/v1/keys`, { headers: { authorization: `Bearer ${key}` } })
    expect(response.status).toBe(401)
  })
  test.each(["/admin%2Fv1/keys", "//admin/v1/keys", "/admin/v1/../v1/keys", "/ADMIN/v1/keys"])(
    "%s is no way around",
    async (path) => {
      const response = await fetch(app.url + path)
      expect([401, 404]).toContain(response.status)
    },
  )
})

describe("keys", () => {
  test("an unknown field is a 400 that names it", async () => {
    expect(await create({ name: "x", limit: [] })).toMatchObject({
      status: 400,
      body: { error: { code: "unknown_field", param: "limit" } },
    })
  })

  test.each([
    [{ kind: "usd", window: "month", cap: 5 }, "cap"],
    [{ kind: "usd", window: "month", cap: "-1" }, "cap"],
    [{ kind: "usd", window: "month", cap: "0.0000000001" }, "cap"],
    [{ kind: "usd", window: "month", cap: "1e3" }, "cap"],
    [{ kind: "tokens", window: "day", cap: "1.5" }, "cap"],
    [{ kind: "tokens", window: "day", cap: -1 }, "cap"],
    [{ kind: "concurrency", window: "minute", cap: 1 }, "window"],
    [{ kind: "requests", window: "none", cap: 1 }, "window"],
    [{ kind: "requests", window: "fortnight", cap: 1 }, "window"],
    [{ kind: "money", window: "day", cap: 1 }, "kind"],
    [{ kind: "requests", window: "day", cap: 1, hard: true }, "hard"],
  ])("%o is refused, naming %s", async (limit, member) => {
    const { status, body } = await create({ name: "x", limits: [limit] })
    expect(status).toBe(400)
    expect(body.error.message).toContain(member)
  })

  test("every good combination is kept as it was given", async () => {
    const limits = [
      { kind: "requests", window: "minute", cap: "60" },
      { kind: "tokens", window: "lifetime", cap: "9000000" },
      { kind: "usd", window: "day", cap: "0.000000001" },
      { kind: "usd", window: "month", cap: "1234.5" },
      { kind: "concurrency", window: "none", cap: "3" },
    ]
    const { status, body } = await create({ name: "all", limits })
    expect(status).toBe(201)
    expect((body as unknown as { limits: object[] }).limits).toMatchObject(limits)
  })

  test("a project or user that is not there is a 404, and no key is left behind", async () => {
    const count = async () => Number((await sql`SELECT count(*)::int AS n FROM virtual_keys`)[0]?.n)
    const before = await count()
    expect(await create({ name: "x", project_id: "proj_none" })).toMatchObject({
      status: 404,
      body: { error: { param: "project_id" } },
    })
    expect(await create({ name: "x", user_id: "user_none" })).toMatchObject({
      status: 404,
      body: { error: { param: "user_id" } },
    })
    expect(await count()).toBe(before)
  })

  test("a key bound to a project and a user writes records of both", async () => {
    const project = (await app.admin("POST", "/admin/v1/projects", { name: "search" })).body.id
    const user = (await app.admin("POST", "/admin/v1/users", { name: "Ada", email: "ada@example.com" })).body.id
    expect(await app.admin("POST", "/admin/v1/projects", { name: "search" })).toMatchObject({ status: 409 })
    expect(await app.admin("POST", "/admin/v1/users", { name: "A", email: "ADA@example.com" })).toMatchObject({
      status: 409,
    })
    const { key } = await app.createKey({ project_id: project, user_id: user })
    const response = await fetch(`${app.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: '{"model":"fast","messages":[],"user":"not ada"}',
    })
    await response.text()
    const record = await app.record(response.headers.get("x-request-id") ?? "")
    expect(record).toMatchObject({ project_id: project, user_id: user, end_customer: "not ada" })
  })

  test("the secret is shown once and stands nowhere in the database", async () => {
    const { key, id } = await app.createKey()
    const { body } = await app.admin("GET", "/admin/v1/keys?limit=1000")
    expect(JSON.stringify(body)).toContain(id)
    expect(JSON.stringify(body)).not.toContain(key)
    const tables = await sql<{ name: string }[]>`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`
    for (const { name } of tables) {
      const rows = await sql`SELECT 1 FROM ${sql(name)} t WHERE t::text LIKE ${`%${key}%`}`
      expect(rows, name).toHaveLength(0)
    }
    const audit = await sql`SELECT actor FROM audit_log WHERE subject = ${id} AND action = 'key.create'`
    expect(audit).toMatchObject([{ actor: "environment" }])
  })

  test("revoking twice keeps the first instant; an unknown key is a 404", async () => {
    const { id } = await app.createKey()
    const first = (await app.admin("POST", `/admin/v1/keys/${id}/revoke`)).body as unknown as { revoked_at: string }
    const second = (await app.admin("POST", `/admin/v1/keys/${id}/revoke`)).body as unknown as { revoked_at: string }
    expect(second.revoked_at).toBe(first.revoked_at)
    expect(await app.admin("POST", "/admin/v1/keys/key_none/revoke")).toMatchObject({ status: 404 })
  })

  test("pages list every key once", async () => {
    const ids: string[] = []
    for (let after: string | null = ""; after !== null; ) {
      const page: TestPage = (await app.admin("GET", `/admin/v1/keys?limit=3&after=${after}`)).body
      ids.push(...page.data.map((row) => row.id))
      after = page.next
    }
    const rows = await sql`SELECT id FROM virtual_keys`
    expect(ids.sort()).toEqual(rows.map((row) => row.id).sort())
  })

  test("a change by another process is seen within a second", async () => {
    const other = await startTestApp(openAiConfig(upstream.baseUrl), { databaseUrl: app.databaseUrl })
    const { key, id } = await app.createKey()
    const call = async () => {
      const response = await fetch(`${app.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}` },
        body: '{"model":"fast","messages":[]}',
      })
      await response.text()
      return response.status
    }
    expect(await call()).toBe(200)
    await other.admin("POST", `/admin/v1/keys/${id}/revoke`)
    await until(async () => ((await call()) === 401 ? true : undefined), 1_500)
    await other.close()
  })
})

describe("bad input", () => {
  const raw = (body: string) =>
    fetch(`${app.url}/admin/v1/keys`, {
      method: "POST",
      headers: { authorization: "Bearer admin-key-of-the-tests-0123456789", "content-type": "application/json" },
      body,
    })

  test("a body that is no JSON", async () => {
    const response = await raw("{")
    expect([response.status, ((await response.json()) as { error: { code: string } }).error.code]).toEqual([
      400,
      "invalid_json",
    ])
  })
  test("a body that is too large", async () =>
    expect((await raw(`{"name":"${"x".repeat(3_000_000)}"}`)).status).toBe(413))
  test("an unknown route says where the routes stand", async () => {
    expect(await app.admin("GET", "/admin/v1/nothing")).toMatchObject({
      status: 404,
      body: { error: { code: "route_not_found" } },
    })
  })
})

describe("operations", () => {
  test("healthz, readyz and metrics answer on loopback without a key", async () => {
    expect((await fetch(`${app.url}/healthz`)).status).toBe(200)
    expect(await (await fetch(`${app.url}/readyz`)).json()).toMatchObject({ status: "ready" })
    const text = await (await fetch(`${app.url}/metrics`)).text()
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1] ?? "")
    expect(names).toContain("tallygate_requests_total")
    expect(names.filter((name) => !/^(tallygate|process|nodejs)_/.test(name))).toEqual([])
    expect(text).toMatch(
      /^tallygate_requests_total\{provider="openai",model="gpt-4o-mini",status="200",outcome="ok",org="\w+"\} [1-9]/m,
    )
    expect(text).not.toMatch(/"(key|user)_[0-9A-Za-z]{12}"/)
  })
  test("the OpenAPI page needs no key, and describes how to send one", async () => {
    const response = await fetch(`${app.url}/openapi.json`)
    const { components, security } = (await response.json()) as Record<string, Record<string, unknown>>
    expect(components?.securitySchemes).toMatchObject({ adminKey: { type: "http", scheme: "bearer" } })
    expect(security).toEqual([{ adminKey: [] }])
  })
})
