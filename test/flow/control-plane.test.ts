import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openPostgres } from "../../src/platform/postgres.ts"
import { ADMIN_KEY, startTestApp, type TestApp, until } from "../support/test-app.ts"

type Row = Record<string, unknown> & { id: string }

let app: TestApp
/** Another proxy on the same database. */
let other: TestApp
beforeAll(async () => {
  app = await startTestApp("sandbox: true")
  other = await startTestApp("sandbox: true", { databaseUrl: app.databaseUrl })
})
afterAll(async () => {
  await other?.close()
  await app?.close()
})

async function admin(method: string, route: string, body?: unknown): Promise<{ status: number; body: Row }> {
  return (await app.admin(method, `/admin/v1/${route}`, body)) as unknown as { status: number; body: Row }
}

async function made(route: string, body: unknown): Promise<Row> {
  const answer = await admin("POST", route, body)
  if (answer.status !== 201) throw new Error(JSON.stringify(answer))
  return answer.body
}

async function rows(route: string): Promise<Row[]> {
  return ((await admin("GET", route)).body as unknown as { data: Row[] }).data
}

async function call(proxy: TestApp, key: unknown): Promise<{ status: number; message: string; id: string }> {
  const response = await fetch(`${proxy.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "sandbox/echo", messages: [{ role: "user", content: "hi" }] }),
  })
  const body = (await response.json()) as { error?: { message: string } }
  return { status: response.status, message: body.error?.message ?? "", id: response.headers.get("x-request-id") ?? "" }
}

/** The status that both proxies answer, once they agree on it: a change is seen everywhere within a second. */
async function agreed(key: unknown, status: number): Promise<string> {
  const began = Date.now()
  const found = await until(async () => {
    const both = await Promise.all([call(app, key), call(other, key)])
    return both.every((answer) => answer.status === status) ? both[1] : undefined
  })
  // Generous beyond the second that is promised: this machine may be busy.
  expect(Date.now() - began).toBeLessThan(5_000)
  return found?.message ?? ""
}

describe("what is disabled", () => {
  test.each(["organization", "project", "user"] as const)(
    "an %s refuses every key under it, until it is enabled",
    async (what) => {
      const organization = await made("organizations", { name: `o-${what}` })
      const project = await made("projects", { name: "p", organization_id: organization.id })
      const user = await made("users", { name: "u", organization_id: organization.id })
      const { key } = await made("keys", { name: "k", project_id: project.id, user_id: user.id })
      await agreed(key, 200)
      const { id } = { organization, project, user }[what]
      const disabled = await admin("PATCH", `${what}s/${id}`, { disabled: true })
      expect(disabled.body.disabled_at).not.toBeNull()
      expect(await agreed(key, 401)).toContain(`The ${what} that this virtual key`)
      // Twice is no fault, and keeps the first instant.
      expect((await admin("PATCH", `${what}s/${id}`, { disabled: true })).body.disabled_at).toBe(
        disabled.body.disabled_at,
      )
      expect((await admin("PATCH", `${what}s/${id}`, { disabled: false })).body.disabled_at).toBeNull()
      await agreed(key, 200)
    },
  )
})

describe("a rotated key", () => {
  test("works with both secrets while they overlap, then with the new one alone", async () => {
    const { id, key: first } = await made("keys", { name: "k" })
    const second = await made(`keys/${id}/rotate`, { overlap_seconds: 3_600 })
    expect(second.key).not.toBe(first)
    expect(new Date(String(second.previous_valid_until)).getTime()).toBeGreaterThan(Date.now() + 3_500_000)
    await agreed(first, 200)
    await agreed(second.key, 200)
    // A second rotation leaves the secret before it, and no older one.
    const third = await made(`keys/${id}/rotate`, { overlap_seconds: 2 })
    await agreed(first, 401)
    await agreed(third.key, 200)
    const message = await agreed(second.key, 401)
    expect(message).toMatch(/was replaced by a rotation and ended at .*Z\. Use the new one\./)
    const [record] = await until(async () => {
      const { data } = (await app.admin("GET", `/admin/v1/usage/records?key=${id}`)).body
      return data.length >= 6 ? data : undefined
    })
    expect(record?.key_id).toBe(id)
  })
  test("stops its old secret at once where no overlap is asked for, and a revoked one gets no new secret", async () => {
    const { id, key: first } = await made("keys", { name: "k" })
    await agreed(first, 200)
    const { key: second } = await made(`keys/${id}/rotate`, {})
    expect((await call(app, first)).status).toBe(401)
    await agreed(first, 401)
    await agreed(second, 200)
    await admin("POST", `keys/${id}/revoke`)
    expect(await admin("POST", `keys/${id}/rotate`, {})).toMatchObject({ status: 409 })
    expect(await admin("POST", `keys/${id}/rotate`, { overlap_seconds: -1 })).toMatchObject({ status: 400 })
    await agreed(second, 401)
  })
})

test("a key's tags stand on every call of it, before the call's own", async () => {
  const { key } = await made("keys", { name: "k", tags: ["team:search", "prod"], metadata: { ticket: "OPS-1" } })
  const plain = await call(app, key)
  const response = await fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", "x-tallygate-tags": "prod,own" },
    body: JSON.stringify({ model: "sandbox/echo", messages: [{ role: "user", content: "hi" }] }),
  })
  await response.text()
  expect((await app.record(plain.id)).tags).toEqual(["team:search", "prod"])
  expect((await app.record(response.headers.get("x-request-id") ?? "")).tags).toEqual(["team:search", "prod", "own"])
})

describe("an import", () => {
  async function sendCsv(route: string, csv: string): Promise<{ status: number; body: Row & { data: Row[] } }> {
    const response = await fetch(`${app.url}/admin/v1/${route}`, {
      method: "POST",
      headers: { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "text/csv" },
      body: csv,
    })
    return { status: response.status, body: (await response.json()) as Row & { data: Row[] } }
  }
  test("makes users and keys once, names each row that is wrong, and lets the others through", async () => {
    const users =
      '\uFEFFexternal_id,name,email\r\ni-1,"Lovelace, Ada",ada@import.example\r\ni-2,Bob,no address\r\n,Nobody,\r\ni-4,Dan,\r\n'
    const first = await sendCsv("users/import", users)
    expect(first.status).toBe(200)
    expect(first.body).toMatchObject({ created: 2, changed: 0, unchanged: 0, failed: 2 })
    expect(first.body.data.map(({ row, external_id, status }) => [row, external_id, status])).toEqual([
      [1, "i-1", "created"],
      [2, "i-2", "failed"],
      [3, null, "failed"],
      [4, "i-4", "created"],
    ])
    expect(first.body.data[1]?.error).toContain("email")
    const again = await sendCsv("users/import", users.replace("Dan", "Daniel"))
    expect(again.body).toMatchObject({ created: 0, changed: 1, unchanged: 1, failed: 2 })
    expect(again.body.data[0]?.id).toBe(first.body.data[0]?.id)

    const keys = [
      {
        external_id: "k-1",
        name: "ada",
        user_external_id: "i-1",
        tags: ["a"],
        limits: [{ kind: "usd", window: "month", cap: "5" }],
      },
      { external_id: "k-2", name: "bob", user_external_id: "i-2" },
      { external_id: "k-3", name: "x", limits: [{ kind: "usd", window: "month", cap: 5 }] },
    ]
    const imported = await admin("POST", "keys/import", keys)
    const { data } = imported.body as unknown as { data: Row[] }
    expect(imported.body).toMatchObject({ created: 1, failed: 2 })
    expect(data[1]?.error).toBe("there is no user with the external_id i-2")
    expect(data[2]?.error).toContain("limits.0.cap: must be a decimal string")
    await agreed(data[0]?.key, 200)
    const repeated = (await admin("POST", "keys/import", keys)).body as unknown as { data: Row[] }
    expect(repeated.data[0]).toEqual({ row: 1, external_id: "k-1", status: "unchanged", id: data[0]?.id })
    const [bound] = await rows(`keys?user_id=${first.body.data[0]?.id}`)
    expect(bound).toMatchObject({ external_id: "k-1", tags: ["a"], limits: [{ kind: "usd", cap: "5" }] })
  })
  test("of what is no list, no CSV, or more than a thousand rows is refused whole", async () => {
    expect(await admin("POST", "users/import", { external_id: "x" })).toMatchObject({ status: 400 })
    const many = Array.from({ length: 1_001 }, (_, index) => ({ external_id: `m${index}`, name: "x" }))
    expect(await admin("POST", "users/import", many)).toMatchObject({
      status: 400,
      body: { error: { message: "1001 rows; send at most 1000 at once." } },
    })
    expect(await sendCsv("users/import", 'external_id,name\n"a,b\n')).toMatchObject({ status: 400 })
    expect(await rows("users?q=m1000")).toEqual([])
  })
})

describe("the audit log", () => {
  test("has a row for each write, with actor, address, before and after, and no secret", async () => {
    const { id, key } = await made("keys", { name: "before" })
    const { key: adminKey } = await made("admin-keys", { name: "auditor", role: "admin" })
    const response = await fetch(`${app.url}/admin/v1/keys/${id}`, {
      method: "PATCH",
      headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
      body: JSON.stringify({ name: "after" }),
    })
    expect(response.status).toBe(200)
    const { key: rotated } = await made(`keys/${id}/rotate`, { overlap_seconds: 60 })
    const entries = await rows(`audit?subject=${id}`)
    expect(entries.map(({ action }) => action)).toEqual(["key.rotate", "key.change", "key.create"])
    expect(entries[1]).toMatchObject({ before: { name: "before" }, after: { name: "after" }, ip: "127.0.0.1" })
    expect(entries[1]?.actor).toMatch(/^adm_/)
    const sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
    const [all] = await sql<{ text: string }[]>`SELECT string_agg(a::text, ' ') AS text FROM audit_log a`
    await sql.end()
    for (const secret of [key, adminKey, rotated, ADMIN_KEY]) expect(all?.text).not.toContain(String(secret).slice(-20))
  })
  test("is append-only, whoever asks the database", async () => {
    const sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
    try {
      await expect(sql`UPDATE audit_log SET actor = 'nobody'`).rejects.toThrow(/append-only|permission denied/)
      await expect(sql`DELETE FROM audit_log`).rejects.toThrow(/append-only|permission denied/)
      await expect(sql`TRUNCATE audit_log`).rejects.toThrow(/append-only|permission denied/)
      const granted = await sql`
        SELECT 1 FROM information_schema.role_table_grants
        WHERE table_name = 'audit_log' AND privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE')`
      expect(granted).toEqual([])
    } finally {
      await sql.end()
    }
  })
  test("is read page by page without a gap, and exported whole", async () => {
    const pages: Row[] = []
    let next: string | null = ""
    while (next !== null) {
      const query: string = next === "" ? "" : `&after=${encodeURIComponent(next)}`
      const { body } = (await admin("GET", `audit?limit=7${query}`)) as unknown as {
        body: { data: Row[]; next: string | null }
      }
      pages.push(...body.data)
      next = body.next
    }
    const response = await fetch(`${app.url}/admin/v1/audit/export`, {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    })
    const lines = (await response.text()).trimEnd().split("\n")
    expect(lines.map((line) => JSON.parse(line))).toEqual(pages)
    expect(new Set(pages.map(({ id }) => id)).size).toBe(pages.length)
    expect(pages.length).toBeGreaterThan(20)
    expect(await admin("GET", "audit?after=yesterday")).toMatchObject({ status: 400 })
  })
})

test("an erased user leaves an id, revoked keys, and nothing that says who it was", async () => {
  const user = await made("users", { name: "Grace", email: "grace@erase.example", external_id: "erase-1" })
  const { key } = await made("keys", { name: "k", user_id: user.id })
  await agreed(key, 200)
  expect((await admin("POST", `users/${user.id}/erase`)).body).toMatchObject({
    id: user.id,
    name: "erased",
    email: null,
    external_id: null,
  })
  await agreed(key, 401)
  expect(await rows("users?q=grace")).toEqual([])
})

test("users are members of many projects, of their organization alone", async () => {
  const [one, two] = [await made("projects", { name: "member-1" }), await made("projects", { name: "member-2" })]
  const user = await made("users", { name: "m", project_ids: [one.id] })
  expect(await admin("PUT", `projects/${two.id}/members/${user.id}`)).toMatchObject({ status: 200 })
  expect((await admin("GET", `users/${user.id}`)).body.project_ids).toEqual([one.id, two.id].sort())
  expect(await admin("DELETE", `projects/${one.id}/members/${user.id}`)).toMatchObject({ status: 200 })
  expect((await rows(`users?project_id=${one.id}`)).map(({ id }) => id)).toEqual([])
  const elsewhere = await made("organizations", { name: "elsewhere" })
  const stranger = await made("users", { name: "s", organization_id: elsewhere.id })
  expect(await admin("PUT", `projects/${two.id}/members/${stranger.id}`)).toMatchObject({ status: 404 })
  expect(
    await admin("POST", "users", { name: "x", organization_id: elsewhere.id, project_ids: [two.id] }),
  ).toMatchObject({
    status: 404,
    body: { error: { param: "project_ids" } },
  })
})

test("a service account has keys and usage like a user, and is none of the persons", async () => {
  const robot = await made("service-accounts", { name: "nightly" })
  const { key } = await made("keys", { name: "k", user_id: robot.id })
  const { id } = await call(app, key)
  expect((await app.record(id)).user_id).toBe(robot.id)
  expect((await admin("GET", `users/${robot.id}`)).status).toBe(404)
  expect(await rows("users?q=nightly")).toEqual([])
  expect((await rows("service-accounts?q=nightly")).map((row) => row.id)).toEqual([robot.id])
})

test("the API is described on a page of its own that names every route and loads nothing", async () => {
  const response = await fetch(`${app.url}/docs`)
  const page = await response.text()
  const { paths } = (await (await fetch(`${app.url}/openapi.json`)).json()) as { paths: Record<string, object> }
  for (const path of Object.keys(paths)) expect(page).toContain(`<code>${path}</code>`)
  expect(page).not.toMatch(/<script|https?:\/\//)
  expect(response.headers.get("content-security-policy")).toMatch(/^default-src 'none'; style-src 'nonce-/)
})
