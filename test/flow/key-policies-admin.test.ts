import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { readVirtualKey } from "../../src/identity/read-virtual-key.ts"
import { secretDigest } from "../../src/identity/secret.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { openAiConfig, startTestApp, type TestApp } from "../support/test-app.ts"

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

const POLICIES = {
  allowed_models: ["gpt-*"],
  allowed_endpoints: ["chat.completions", "files.*"],
  ip_allow: ["10.0.0.0/8", "2001:db8::1"],
  unmetered: "allow",
  attribute_users: true,
  max_output_tokens: 500,
  max_input_tokens: 100_000,
  max_cost_usd: "0.000000001",
  cap_policy: "deny",
  expires_at: "2099-01-01T00:00:00.000Z",
}
const UNRESTRICTED = {
  allowed_models: null,
  allowed_endpoints: null,
  ip_allow: null,
  unmetered: "deny",
  attribute_users: false,
  max_output_tokens: null,
  max_input_tokens: null,
  max_cost_usd: null,
  cap_policy: "clamp",
  expires_at: null,
}

const create = (more: object = {}) => app.admin("POST", "/admin/v1/keys", { name: "k", ...more })
const show = async (id: string) => (await app.admin("GET", `/admin/v1/keys/${id}`)).body
const patch = (id: string, changes: unknown) => app.admin("PATCH", `/admin/v1/keys/${id}`, changes)
const patchProject = (id: string, changes: unknown) => app.admin("PATCH", `/admin/v1/projects/${id}`, changes)
const effective = async (secret: string) => await readVirtualKey(sql, secretDigest(secret))

let projectsMade = 0
async function createProject() {
  const name = `project ${++projectsMade}`
  return { name, id: (await app.admin("POST", "/admin/v1/projects", { name })).body.id }
}

async function audited(subject: string, action: string) {
  return sql<{ actor: string; before: object; after: object }[]>`
    SELECT actor, before, after FROM audit_log WHERE subject = ${subject} AND action = ${action} ORDER BY at`
}

/** Whether a call with the key comes through, as the process that answers admins sees it at once. */
async function call(key: string) {
  const response = await fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: '{"model":"fast","messages":[]}',
  })
  await response.text()
  return response.status
}

describe("a key", () => {
  test("without policies may do all that is metered", async () => {
    const { status, body } = await create()
    expect(status).toBe(201)
    expect(body).toMatchObject(UNRESTRICTED)
    expect(body).not.toHaveProperty("max_cost_nanos")
    expect(await effective(body.key)).toMatchObject({
      allowedEndpoints: null,
      ipAllow: null,
      mayUseUnmetered: false,
      mayAttributeUsers: false,
      caps: { outputTokensMax: null, inputTokensMax: null, costNanosMax: null, policy: "clamp" },
    })
  })

  test("keeps and shows every policy as it was given, and the data plane reads it", async () => {
    const { status, body } = await create(POLICIES)
    expect(status).toBe(201)
    expect(body).toMatchObject(POLICIES)
    const { key: secret, ...rest } = body
    expect(await show(body.id)).toEqual(rest)
    const page = (await app.admin("GET", "/admin/v1/keys?limit=1000")).body
    expect(page.data.find(({ id }) => id === body.id)).toEqual(rest)
    expect(await effective(secret)).toMatchObject({
      allowedModels: POLICIES.allowed_models,
      allowedEndpoints: POLICIES.allowed_endpoints,
      ipAllow: POLICIES.ip_allow,
      mayUseUnmetered: true,
      mayAttributeUsers: true,
      caps: { outputTokensMax: 500, inputTokensMax: 100_000, costNanosMax: 1n, policy: "deny" },
    })
  })

  test("takes back what an answer showed, nulls included", async () => {
    expect((await create(UNRESTRICTED)).body).toMatchObject(UNRESTRICTED)
  })

  test("that is not there is a 404", async () => {
    const missing = { status: 404, body: { error: { code: "not_found", param: "id" } } }
    expect(await app.admin("GET", "/admin/v1/keys/key_none")).toMatchObject(missing)
    expect(await patch("key_none", { name: "x" })).toMatchObject(missing)
  })
})

describe("a change of a key", () => {
  test.each(Object.entries(POLICIES))(
    "of %s changes that and nothing else, and can be taken back",
    async (field, value) => {
      const { id } = (await create()).body
      const before = await show(id)
      const changed = { ...before, [field]: value }
      expect(await patch(id, { [field]: value })).toEqual({ status: 200, body: changed })
      expect(await show(id)).toEqual(changed)
      const cleared = UNRESTRICTED[field as keyof typeof UNRESTRICTED]
      expect(await patch(id, { [field]: cleared })).toEqual({ status: 200, body: before })
    },
  )

  test("of its name leaves every policy, limit and the secret", async () => {
    const limits = [{ kind: "requests", window: "minute", cap: "60" }]
    const { key, ...before } = (await create({ ...POLICIES, limits })).body
    expect(await patch(before.id, { name: "renamed" })).toEqual({ status: 200, body: { ...before, name: "renamed" } })
    expect(await effective(key)).toMatchObject({ id: before.id, name: "renamed" })
  })

  test("of everything at once clears everything", async () => {
    const { id } = (await create(POLICIES)).body
    expect((await patch(id, { name: "new", ...UNRESTRICTED })).body).toMatchObject({ name: "new", ...UNRESTRICTED })
  })

  test("is audited with what was and what is", async () => {
    const { id } = (await create({ ip_allow: ["192.0.2.1"] })).body
    await patch(id, { ip_allow: null, max_cost_usd: "1.5" })
    expect(await audited(id, "key.change")).toMatchObject([
      {
        actor: "environment",
        before: { ip_allow: ["192.0.2.1"], max_cost_nanos: null },
        after: { ip_allow: null, max_cost_nanos: "1500000000" },
      },
    ])
  })

  test("applies to the next call", async () => {
    const { id, key } = (await create()).body
    expect(await call(key)).toBe(200)
    await patch(id, { allowed_models: ["nothing"] })
    expect(await call(key)).not.toBe(200)
    await patch(id, { allowed_models: null })
    expect(await call(key)).toBe(200)
  })

  test("and revocations at the same time all come through", async () => {
    const { id } = (await create()).body
    const { id: projectId } = await createProject()
    const acts = Array.from({ length: 5 }, (_, at) => [
      patch(id, { max_output_tokens: at + 1 }),
      app.admin("POST", `/admin/v1/keys/${id}/revoke`),
      create({ project_id: projectId }),
      patchProject(projectId, { name: `renamed ${projectId} ${at}` }),
    ])
    const statuses = new Set((await Promise.all(acts.flat())).map(({ status }) => status))
    expect([...statuses].sort()).toEqual([200, 201])
  })
})

describe("bad input", () => {
  const BAD: readonly [field: string, value: unknown, param?: string][] = [
    ["allowed_models", [""], "allowed_models.0"],
    ["allowed_endpoints", [""], "allowed_endpoints.0"],
    ["allowed_endpoints", ["chat.completions", "/v1/chat/completions"], "allowed_endpoints.1"],
    ["allowed_endpoints", "chat.completions"],
    ["ip_allow", ["10.0.0.0/8", "10.0.0.0/33"], "ip_allow.1"],
    ["ip_allow", ["example.com"], "ip_allow.0"],
    ["unmetered", "yes"],
    ["unmetered", null],
    ["attribute_users", "true"],
    ["max_output_tokens", -1],
    ["max_output_tokens", 0],
    ["max_output_tokens", 1.5],
    ["max_output_tokens", "100"],
    ["max_input_tokens", -1],
    ["max_input_tokens", 2 ** 53],
    ["max_cost_usd", "-0.01"],
    ["max_cost_usd", "0.0000000001"],
    ["max_cost_usd", "1e3"],
    ["max_cost_usd", 0.5],
    ["cap_policy", "cut"],
    ["expires_at", "tomorrow"],
  ]
  test.each(BAD)("%s: %j is a 400 that names it, on a new key and in a change", async (field, value, param = field) => {
    const { id } = (await create(POLICIES)).body
    const before = await show(id)
    for (const answer of [await create({ [field]: value }), await patch(id, { [field]: value })]) {
      expect(answer).toMatchObject({ status: 400, body: { error: { code: "invalid_request", param } } })
    }
    expect(await show(id)).toEqual(before)
  })

  test("an unknown field is a 400 that names it, and a change of nothing is one too", async () => {
    const { id } = (await create()).body
    const { id: projectId } = await createProject()
    for (const change of [(body: object) => patch(id, body), (body: object) => patchProject(projectId, body)]) {
      expect(await change({ max_costs: "1" })).toMatchObject({
        status: 400,
        body: { error: { code: "unknown_field", param: "max_costs" } },
      })
      expect(await change({})).toMatchObject({ status: 400, body: { error: { code: "invalid_request" } } })
    }
    for (const field of ["project_id", "user_id", "limits", "revoked_at", "key"]) {
      expect(await patch(id, { [field]: null })).toMatchObject({ status: 400, body: { error: { param: field } } })
    }
  })

  test.each(BAD.filter(([field]) => /^(max_|cap_)/.test(field)))("%s: %j on a project", async (field, value) => {
    const { id } = await createProject()
    expect(await patchProject(id, { [field]: value })).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_request", param: field } },
    })
  })
})

describe("a project", () => {
  const CAPS = { max_output_tokens: 50, max_input_tokens: 9_000, max_cost_usd: "2.5", cap_policy: "deny" }

  test("has caps that are shown, changed one by one, cleared and audited", async () => {
    const { id, name } = await createProject()
    const { status, body } = await patchProject(id, CAPS)
    expect([status, body]).toEqual([200, expect.objectContaining({ id, name, ...CAPS })])
    expect((await patchProject(id, { max_input_tokens: null })).body).toEqual({ ...body, max_input_tokens: null })
    expect((await patchProject(id, { name: `${name} renamed` })).body).toEqual({
      ...body,
      max_input_tokens: null,
      name: `${name} renamed`,
    })
    const rows = await audited(id, "project.change")
    expect(rows).toHaveLength(3)
    expect(rows[0]).toMatchObject({ before: { max_cost_nanos: null }, after: { max_cost_nanos: "2500000000" } })
  })

  test("shares its caps with its keys, from the next call on, the smaller of each", async () => {
    const { id } = await createProject()
    const { key } = (await create({ project_id: id, max_output_tokens: 40, max_cost_usd: "3" })).body
    const other = (await create({ project_id: id })).body.key
    await patchProject(id, CAPS)
    expect((await effective(key))?.caps).toEqual({
      outputTokensMax: 40,
      inputTokensMax: 9_000,
      costNanosMax: 2_500_000_000n,
      policy: "deny",
    })
    expect((await effective(other))?.caps).toEqual({
      outputTokensMax: 50,
      inputTokensMax: 9_000,
      costNanosMax: 2_500_000_000n,
      policy: "deny",
    })
    const version = async () => (await sql<{ version: string }[]>`SELECT version FROM directory_version`)[0]?.version
    const before = Number(await version())
    await patchProject(id, { cap_policy: "clamp" })
    expect(Number(await version())).toBe(before + 1)
    expect((await effective(key))?.caps.policy).toBe("clamp")
  })

  test("that is not there is a 404, a name that is taken a 409", async () => {
    const one = await createProject()
    const other = await createProject()
    expect(await patchProject("proj_none", { name: "x" })).toMatchObject({
      status: 404,
      body: { error: { param: "id" } },
    })
    expect(await patchProject(other.id, { name: one.name })).toMatchObject({
      status: 409,
      body: { error: { code: "conflict", param: "name" } },
    })
  })

  test("by the name of default keeps it, since keys without a project go there", async () => {
    const [row] = await sql<{ id: string }[]>`SELECT id FROM projects WHERE name = 'default'`
    const id = row?.id ?? ""
    expect(await patchProject(id, { name: "main" })).toMatchObject({ status: 409, body: { error: { param: "name" } } })
    expect(await patchProject(id, { name: "default", max_output_tokens: 7 })).toMatchObject({ status: 200 })
    const { key } = (await create()).body
    expect((await effective(key))?.caps.outputTokensMax).toBe(7)
    expect(await patchProject(id, { max_output_tokens: null })).toMatchObject({ status: 200 })
  })
})
