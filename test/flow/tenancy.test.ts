/** Each kind of provider object, named in every way there is by another organization's key: it does not exist. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { createVirtualKey } from "../../src/identity/key-registry.ts"
import { openPostgres } from "../../src/platform/postgres.ts"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"

let provider: FakeProvider
const apps: TestApp[] = []

beforeAll(async () => {
  provider = await startFakeProvider()
})
beforeEach(() => provider.reset())
afterAll(async () => {
  for (const app of apps) await app.close()
  await provider?.stop()
})

type Tenants = { app: TestApp; owner: string; sameProject: string; otherProject: string; otherOrganization: string }

async function tenants(objects: string): Promise<Tenants> {
  const app = await startTestApp(threeApis(provider, `provider_objects: { ${objects} }`))
  apps.push(app)
  const project = await app.admin("POST", "/admin/v1/projects", { name: "another" })
  const key = async (wanted = {}) => (await app.createKey(wanted)).key
  return {
    app,
    owner: await key(),
    sameProject: await key(),
    otherProject: await key({ project_id: project.body.id }),
    otherOrganization: await foreignKey(app.databaseUrl),
  }
}

async function foreignKey(databaseUrl: string): Promise<string> {
  const sql = openPostgres(databaseUrl, { max: 1, applicationName: "test" })
  try {
    await sql`INSERT INTO organizations (id, name) VALUES ('org_foreign', 'foreign')`
    await sql`INSERT INTO projects (id, organization_id, name) VALUES ('proj_foreign', 'org_foreign', 'default')`
    const wanted = { name: "foreign", organizationId: "org_foreign", projectId: null, userId: null, limits: [] }
    const created = await createVirtualKey(sql, { name: "test", ip: "" }, wanted)
    if (created.kind !== "created") throw new Error("the foreign key was not made")
    return created.secret
  } finally {
    await sql.end()
  }
}

function send(app: TestApp, key: string, method: string, path: string, body?: object) {
  return fetch(app.url + path, {
    method,
    headers: { "x-tallygate-key": key, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

async function make(app: TestApp, key: string, path: string, body: object): Promise<string> {
  const made = (await (await send(app, key, "POST", path, body)).json()) as { id?: string; name?: string }
  return made.id ?? made.name ?? ""
}

const messages = (part: object) => [{ role: "user", content: [part] }]
const response = (more: object) => ["/v1/responses", { model: "gpt-4o-mini", input: "Hi", ...more }] as const

/** How each kind is made, where it stands, and how a body can refer to it. */
const KINDS: readonly {
  readonly kind: string
  readonly path: string
  readonly body: object
  readonly within?: string
  readonly refer?: (id: string) => readonly (readonly [path: string, body: object])[]
}[] = [
  {
    kind: "file",
    path: "/v1/files",
    body: {},
    within: "/content",
    refer: (id) => [
      ["/v1/chat/completions", { model: "gpt-4o", messages: messages({ type: "file", file: { file_id: id } }) }],
      response({ input: [{ role: "user", content: [{ type: "input_file", file_id: id }] }] }),
      ["/v1/batches", { input_file_id: id, endpoint: "/v1/chat/completions", completion_window: "24h" }],
      ["/v1/vector_stores", { file_ids: [id] }],
      [
        "/v1/messages",
        { model: "smart", max_tokens: 9, messages: messages({ source: { type: "file", file_id: id } }) },
      ],
    ],
  },
  {
    kind: "response",
    path: "/v1/responses",
    body: { model: "gpt-4o-mini", input: "Hi" },
    within: "/input_items",
    refer: (id) => [response({ previous_response_id: id })],
  },
  {
    kind: "conversation",
    path: "/v1/conversations",
    body: {},
    within: "/items",
    refer: (id) => [response({ conversation: id }), response({ conversation: { id } })],
  },
  {
    kind: "vector store",
    path: "/v1/vector_stores",
    body: {},
    within: "/files",
    refer: (id) => [response({ tools: [{ type: "file_search", vector_store_ids: [id] }] })],
  },
  {
    kind: "container",
    path: "/v1/containers",
    body: { name: "c" },
    within: "/files",
    refer: (id) => [response({ tools: [{ type: "code_interpreter", container: id }] })],
  },
  { kind: "batch", path: "/v1/batches", body: { endpoint: "/v1/chat/completions" } },
  { kind: "message batch", path: "/v1/messages/batches", body: { requests: [] }, within: "/results" },
  {
    kind: "cached content",
    path: "/v1beta/cachedContents",
    body: {},
    refer: (id) => [["/v1beta/models/quick:generateContent", { contents: [], cachedContent: id }]],
  },
]

describe("by default an object is its key's alone", () => {
  let all: Tenants
  beforeAll(async () => {
    all = await tenants("shared_by: key")
  })

  test.each(KINDS)("$kind", async ({ path, body, within = "", refer }) => {
    const id = await make(all.app, all.owner, path, body)
    expect(id).not.toBe("")
    const at = `${path}/${id.replace(/^.*\//, "")}`
    provider.reset()
    for (const key of [all.sameProject, all.otherProject, all.otherOrganization]) {
      const answers = [
        await send(all.app, key, "GET", at),
        await send(all.app, key, "GET", at + within),
        await send(all.app, key, "DELETE", at),
        ...(await Promise.all((refer?.(id) ?? []).map(([to, asked]) => send(all.app, key, "POST", to, asked)))),
      ]
      for (const { status, url } of answers) expect([403, 404], url).toContain(status)
    }
    expect(provider.requests).toEqual([])
    expect((await send(all.app, all.owner, "GET", at)).status).toBe(200)
  })
})

describe.each([
  ["project", { sameProject: 200, otherProject: 404, otherOrganization: 404 }],
  ["organization", { sameProject: 200, otherProject: 200, otherOrganization: 404 }],
] as const)("shared by its %s an object", (sharedBy, expected) => {
  test("is reached by those keys and no others", async () => {
    const all = await tenants(`shared_by: ${sharedBy}`)
    const at = `/v1/files/${await make(all.app, all.owner, "/v1/files", {})}`
    for (const who of ["sameProject", "otherProject", "otherOrganization"] as const) {
      expect((await send(all.app, all[who], "GET", at)).status, who).toBe(expected[who])
    }
  })
})

describe("with adopt_unknown", () => {
  test("an object that nobody made here becomes the key's that is first answered for it", async () => {
    const all = await tenants("adopt_unknown: true")
    provider.objects.set("file-from-before", { id: "file-from-before", object: "file" })
    expect((await send(all.app, all.owner, "GET", "/v1/files/file-from-before")).status).toBe(200)
    expect((await send(all.app, all.sameProject, "GET", "/v1/files/file-from-before")).status).toBe(404)
    expect((await send(all.app, all.owner, "GET", "/v1/files/file-from-before")).status).toBe(200)
  })
  test("naming what is not there claims nothing", async () => {
    const all = await tenants("adopt_unknown: true")
    expect((await send(all.app, all.owner, "GET", "/v1/files/file-to-come")).status).toBe(404)
    provider.objects.set("file-to-come", { id: "file-to-come", object: "file" })
    expect((await send(all.app, all.sameProject, "GET", "/v1/files/file-to-come")).status).toBe(200)
    expect((await send(all.app, all.owner, "GET", "/v1/files/file-to-come")).status).toBe(404)
  })
})
