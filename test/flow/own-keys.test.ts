/** Key holders see to their own keys, within what their project allows; what is not theirs is not there. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { Browser } from "../support/browser.ts"
import { ADMIN_KEY, startTestApp, type TestApp } from "../support/test-app.ts"

const DAY_MS = 86_400_000

let app: TestApp
let sql: Sql
let counter = 0

beforeAll(async () => {
  app = await startTestApp("sandbox: true\n")
  sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
})
afterAll(async () => {
  await sql?.end()
  await app?.close()
})

type Body = Record<string, unknown> & {
  id: string
  key: string
  data: Record<string, unknown>[]
  error: { code: string; param: string; message: string }
}

async function ask(
  secret: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: Body }> {
  const response = await fetch(app.url + path, {
    method,
    headers: {
      authorization: `Bearer ${secret}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json()) as Body }
}

async function project(keyDefaults: object = { keys_per_member_max: 10 }): Promise<string> {
  const made = await app.admin("POST", "/admin/v1/projects", { name: `p${counter++}`, key_defaults: keyDefaults })
  expect(made.status, JSON.stringify(made.body)).toBe(201)
  return made.body.id
}

/** A member of the project with a key there. */
async function holder(projectId: string, wanted: object = {}, kind = "users") {
  const user = (await app.admin("POST", `/admin/v1/${kind}`, { name: "Ada", project_ids: [projectId] })).body.id
  return { user, ...(await app.createKey({ project_id: projectId, user_id: user, ...wanted })) }
}
const soon = (days: number) => new Date(Date.now() + days * DAY_MS).toISOString()
const works = async (secret: string) => (await ask(secret, "GET", "/v1/models")).status === 200

describe("who may not", () => {
  test.each([
    ["nobody", {}, 401, "invalid_api_key"],
    ["an admin key", { authorization: `Bearer ${ADMIN_KEY}` }, 401, "invalid_api_key"],
    ["a key that nobody issued", { "x-api-key": "tg_x" }, 401, "invalid_api_key"],
    ["two keys at once", { "x-api-key": "tg_x", authorization: "Bearer tg_y" }, 400, "conflicting_api_keys"],
    ["a session that has ended", { cookie: `__Host-tallygate=${"a".repeat(43)}` }, 401, "not_logged_in"],
  ])("%s", async (_who, headers, status, code) => {
    const response = await fetch(`${app.url}/v1/keys`, { headers })
    expect([response.status, ((await response.json()) as Body).error.code]).toEqual([status, code])
    expect(response.headers.get("cache-control")).toBe("no-store")
  })
  test("the session of an admin key, which has no keys of its own", async () => {
    const browser = new Browser(app.url)
    await browser.logIn({ admin_key: ADMIN_KEY })
    expect((await browser.get("/v1/keys")).body.error?.code).toBe("not_permitted")
  })
  test("a key from an address that it may not be used from", async () => {
    const { key } = await app.createKey({ ip_allow: ["192.0.2.1"] })
    expect((await ask(key, "GET", "/v1/keys")).body.error.code).toBe("address_not_allowed")
  })
  test("a session without its token, for whatever changes something", async () => {
    const { key, id } = await app.createKey()
    const browser = new Browser(app.url)
    await browser.logIn({ key })
    for (const path of ["/v1/keys", `/v1/keys/${id}/rotate`, `/v1/keys/${id}/revoke`]) {
      const body = path === "/v1/keys" ? { name: "x" } : {}
      const answer = await browser.post(path, body, { "x-tallygate-csrf": null })
      expect([path, answer.body.error?.code]).toEqual([path, "csrf_refused"])
    }
    expect(await works(key)).toBe(true)
  })
})

describe("a key that is bound to nobody", () => {
  test("sees, rotates and revokes itself alone, and makes none", async () => {
    const [mine, other] = [await app.createKey(), await app.createKey()]
    expect((await ask(mine.key, "GET", "/v1/keys")).body.data).toMatchObject([{ id: mine.id }])
    for (const act of ["rotate", "revoke"])
      expect((await ask(mine.key, "POST", `/v1/keys/${other.id}/${act}`, {})).status).toBe(404)
    expect((await ask(mine.key, "POST", "/v1/keys", { name: "x" })).body.error.code).toBe("not_permitted")
    const rotated = await ask(mine.key, "POST", `/v1/keys/${mine.id}/rotate`, { overlap_seconds: 0 })
    expect(rotated.status).toBe(201)
    expect([await works(mine.key), await works(rotated.body.key)]).toEqual([false, true])
    const revoked = await ask(rotated.body.key, "POST", `/v1/keys/${mine.id}/revoke`)
    expect(revoked.body.revoked_at).not.toBeNull()
    expect([await works(rotated.body.key), await works(other.key)]).toEqual([false, true])
    const audit =
      await sql`SELECT actor, action FROM audit_log WHERE subject = ${mine.id} AND actor = ${mine.id} ORDER BY at`
    expect(audit.map(({ action }) => action)).toEqual(["key.rotate", "key.revoke"])
  })
  test("goes on with its old secret for as long as was said", async () => {
    const { id, key } = await app.createKey()
    const { body } = await ask(key, "POST", `/v1/keys/${id}/rotate`, { overlap_seconds: 60 })
    expect([await works(key), await works(body.key)]).toEqual([true, true])
  })
})

describe("a user's keys", () => {
  test("are those of the user, wherever they are; another's do not exist, nor do the admins' words about them", async () => {
    const [here, there] = [await project(), await project()]
    const ada = await holder(here, { metadata: { ticket: "secret-ticket" }, external_id: `x${counter++}` })
    const second = await app.createKey({ project_id: there, user_id: ada.user })
    const eve = await holder(here)
    const listed = await ask(ada.key, "GET", "/v1/keys")
    expect(listed.body.data.map(({ id }) => id).toSorted()).toEqual([ada.id, second.id].toSorted())
    expect(JSON.stringify(listed.body)).not.toMatch(/secret-ticket|external_id|metadata/)
    for (const act of ["rotate", "revoke"]) {
      const foreign = await ask(ada.key, "POST", `/v1/keys/${eve.id}/${act}`, {})
      const never = await ask(ada.key, "POST", `/v1/keys/key_none/${act}`, {})
      expect(foreign.status).toBe(404)
      expect(JSON.stringify(foreign.body)).toBe(JSON.stringify(never.body).replace("key_none", eve.id))
    }
    expect((await ask(ada.key, "POST", `/v1/keys/${second.id}/revoke`)).status).toBe(200)
    expect([await works(second.key), await works(eve.key)]).toEqual([false, true])
  })
  test("come in pages", async () => {
    const ada = await holder(await project())
    for (const name of ["a", "b"]) await ask(ada.key, "POST", "/v1/keys", { name })
    const first = await ask(ada.key, "GET", "/v1/keys?limit=2")
    const rest = await ask(ada.key, "GET", `/v1/keys?limit=2&after=${String(first.body.next)}`)
    expect([first.body.data.length, rest.body.data.length, rest.body.next]).toEqual([2, 1, null])
  })
  test("are made by a service account's key just so", async () => {
    const robot = await holder(await project({ keys_per_member_max: 2 }), {}, "service-accounts")
    expect((await ask(robot.key, "POST", "/v1/keys", { name: "second" })).body.user_id).toBe(robot.user)
    expect((await ask(robot.key, "POST", "/v1/keys", { name: "third" })).status).toBe(403)
  })
  test("are seen to by a session of the user's key, and the audit log names the key", async () => {
    const ada = await holder(await project())
    const browser = new Browser(app.url)
    await browser.logIn({ key: ada.key })
    const made = await browser.post("/v1/keys", { name: "from the browser", tags: ["team:search"] })
    expect(made.status, made.text).toBe(201)
    expect(made.body).toMatchObject({ user_id: ada.user, tags: ["team:search"] })
    expect(await works(String(made.body.key))).toBe(true)
    expect(await sql`SELECT actor FROM audit_log WHERE subject = ${String(made.body.id)}`).toEqual([{ actor: ada.id }])
  })
})

describe("a new key stays within the project's defaults", () => {
  const DEFAULTS = {
    keys_per_member_max: 10,
    expires_in_days_max: 30,
    allowed_models: ["gpt-*", "sandbox/echo"],
    max_output_tokens: 500,
  }
  let member: Awaited<ReturnType<typeof holder>>
  beforeAll(async () => {
    member = await holder(await project(DEFAULTS))
  })
  const make = (more: object = {}) => ask(member.key, "POST", "/v1/keys", { name: "n", ...more })

  test("and gets as much as they allow where it asks for nothing", async () => {
    const { status, body } = await make()
    expect(status, JSON.stringify(body)).toBe(201)
    expect(body).toMatchObject({
      allowed_models: DEFAULTS.allowed_models,
      max_output_tokens: 500,
      limits: [],
      unmetered: "deny",
    })
    expect(Math.abs(Date.parse(String(body.expires_at)) - Date.now() - 30 * DAY_MS)).toBeLessThan(60_000)
  })
  test.each([
    [{ allowed_models: ["gpt-4o"] }],
    [{ allowed_models: ["gpt-4*", "sandbox/echo"] }],
    [{ allowed_models: ["gpt-*"] }],
    [{ allowed_models: [] }],
    [{ expires_at: soon(29) }],
  ])("and may be narrower: %j", async (more) => {
    const { status, body } = await make(more)
    expect(status).toBe(201)
    expect(body).toMatchObject(more)
  })
  test.each([
    [{ allowed_models: ["claude-*"] }, "allowed_models", "key_defaults.allowed_models"],
    [{ allowed_models: ["gpt-4o", "*"] }, "allowed_models", "* is not within"],
    [{ allowed_models: ["gpt*"] }, "allowed_models", "gpt* is not within"],
    [{ allowed_models: ["sandbox/*"] }, "allowed_models", "sandbox/* is not within"],
    [{ allowed_models: null }, "allowed_models", "every model is not within"],
    [{ expires_at: soon(31) }, "expires_at", "expires_in_days_max"],
    [{ expires_at: null }, "expires_at", "expires_in_days_max"],
    [{ expires_at: soon(-1) }, "expires_at", "in the past"],
  ])("and not wider: %j", async (more, param, words) => {
    const { status, body } = await make(more)
    expect([status, body.error?.param]).toEqual([400, param])
    expect(body.error.message).toContain(words)
  })
  test.each(["max_output_tokens", "limits", "unmetered", "user_id", "ip_allow", "metadata"])(
    "and says nothing of %s",
    async (member) => {
      expect((await make({ [member]: null })).body.error).toMatchObject({ code: "unknown_field", param: member })
    },
  )
  test("which make none where nobody has said that members may", async () => {
    const ada = await holder(await project({}))
    const { status, body } = await ask(ada.key, "POST", "/v1/keys", { name: "x" })
    expect(status).toBe(403)
    expect(body.error.message).toContain("keys_per_member_max")
  })
  test("which count keys that work, in this project, also of those that come at once", async () => {
    const id = await project({ keys_per_member_max: 3 })
    const ada = await holder(id)
    const all = await Promise.all(Array.from({ length: 5 }, () => ask(ada.key, "POST", "/v1/keys", { name: "n" })))
    expect(all.map(({ status }) => status).toSorted()).toEqual([201, 201, 403, 403, 403])
    const made = all.find(({ status }) => status === 201)?.body
    expect(all.find(({ status }) => status === 403)?.body.error.message).toContain("You have 3 of at most 3 keys")
    await ask(ada.key, "POST", `/v1/keys/${made?.id}/revoke`)
    expect((await ask(ada.key, "POST", "/v1/keys", { name: "n" })).status).toBe(201)
  })
  test("of a project that the user is a member of, and of no other", async () => {
    const [mine, others] = [await project(), await project()]
    const ada = await holder(mine)
    const foreign = await ask(ada.key, "POST", "/v1/keys", { name: "x", project_id: others })
    expect([foreign.status, foreign.body.error.param]).toEqual([404, "project_id"])
    await app.admin("PUT", `/admin/v1/projects/${others}/members/${ada.user}`)
    expect((await ask(ada.key, "POST", "/v1/keys", { name: "x", project_id: others })).body.project_id).toBe(others)
    await app.admin("DELETE", `/admin/v1/projects/${mine}/members/${ada.user}`)
    expect((await ask(ada.key, "POST", "/v1/keys", { name: "x" })).status).toBe(404)
  })
})

describe("a key passes on no more than it has", () => {
  test("models, endpoints, addresses, caps and its end go with it", async () => {
    const id = await project({ keys_per_member_max: 9, allowed_models: ["gpt-*", "claude-*"] })
    const narrow = {
      allowed_models: ["gpt-4o", "o3"],
      allowed_endpoints: ["chat.*"],
      ip_allow: ["127.0.0.0/8"],
      max_output_tokens: 7,
    }
    const ada = await holder(id, { ...narrow, expires_at: soon(2) })
    const { body } = await ask(ada.key, "POST", "/v1/keys", { name: "x" })
    expect(body).toMatchObject({ ...narrow, allowed_models: ["gpt-4o"] })
    expect(Date.parse(String(body.expires_at))).toBeLessThanOrEqual(Date.now() + 2 * DAY_MS)
    expect(
      (await ask(ada.key, "POST", "/v1/keys", { name: "x", allowed_models: ["claude-x"] })).body.error.message,
    ).toContain("of the key that asks")
    expect((await ask(ada.key, "POST", "/v1/keys", { name: "x", expires_at: soon(3) })).body.error.param).toBe(
      "expires_at",
    )
  })
  test("and one with limits of its own makes none without them", async () => {
    const limits = [{ kind: "usd", window: "month", cap: "5" }]
    const ada = await holder(await project(), { limits })
    const { status, body } = await ask(ada.key, "POST", "/v1/keys", { name: "x" })
    expect([status, body.error.code]).toEqual([403, "not_permitted"])
  })
})

describe("a person who is logged in", () => {
  test("makes keys in the only project, names one of several, and none of nobody's", async () => {
    const [here, there] = [await project(), await project()]
    const { id, email } = {
      id: (await app.admin("POST", "/admin/v1/users", { name: "Ada", email: "ada@example.com", project_ids: [here] }))
        .body.id,
      email: "ada@example.com",
    }
    await app.admin("PUT", `/admin/v1/users/${id}/password`, { password: "a password for this test" })
    const browser = new Browser(app.url)
    await browser.logIn({ email, password: "a password for this test" })
    const made = await browser.post("/v1/keys", { name: "mine" })
    expect(made.body).toMatchObject({ project_id: here, user_id: id })
    expect(await sql`SELECT actor FROM audit_log WHERE subject = ${String(made.body.id)}`).toEqual([{ actor: id }])
    await app.admin("PUT", `/admin/v1/projects/${there}/members/${id}`)
    expect((await browser.post("/v1/keys", { name: "mine" })).body.error).toMatchObject({
      code: "invalid_request",
      param: "project_id",
    })
    expect((await browser.post("/v1/keys", { name: "mine", project_id: there })).status).toBe(201)
    const rotated = await browser.post(`/v1/keys/${String(made.body.id)}/rotate`)
    expect([await works(String(made.body.key)), await works(String(rotated.body.key))]).toEqual([false, true])
    expect((await browser.get("/v1/keys")).body.data).toHaveLength(2)
  })
})

test("/v1/keys is no door of the data plane, and what only looks like it is none of ours", async () => {
  const { key } = await app.createKey()
  expect((await ask(key, "PUT", "/v1/keys/x/rotate")).body.error.message).toContain("/openapi.json")
  expect((await ask(key, "GET", "/v1/keyspace")).body.error.code).not.toBe("route_not_found")
})
