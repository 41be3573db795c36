/**
 * What a key makes at a provider is not there for another organization, however it is named: in a path, under a path or
 * in a body. Who else reaches it is what `provider_objects` says.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { createVirtualKey } from "../../src/identity/key-registry.ts"
import type { ProviderObjectKind } from "../../src/identity/provider-object.ts"
import { namedId } from "../../src/platform/ids.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import type { SharedApi as Api } from "../../src/providers/dialect.ts"
import { ENDPOINTS } from "../../src/providers/endpoint.ts"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"

type Request = readonly [method: string, path: string, body?: object | undefined]

/** A kind of object in one API; `{id}` is its id as its path has it, `{name}` as a body names it. */
type Kind = {
  readonly api: Api
  readonly kind: ProviderObjectKind
  readonly create: Request
  readonly retrieve: Request
  readonly remove: Request | null
  readonly beneath: readonly Request[]
  readonly references: readonly Request[]
}

const chat = (part: object): Request => {
  return ["POST", "/v1/chat/completions", { model: "gpt-4o", messages: [{ role: "user", content: [part] }] }]
}
const respond = (more: object): Request => ["POST", "/v1/responses", { model: "gpt-4o", input: "Hi", ...more }]
const tool = (more: object) => respond({ tools: [more] })
const gemini = (more: object): Request => ["POST", "/v1beta/models/gemini-2.5-flash:generateContent", more]
const claude = (content: object): Request => {
  const messages = [{ role: "user", content: [content] }]
  return ["POST", "/v1/messages", { model: "claude-sonnet-4-5", max_tokens: 9, messages }]
}
const life = (path: string, more: object = {}) => ({
  create: ["POST", path, more] as const,
  retrieve: ["GET", `${path}/{id}`] as const,
  remove: ["DELETE", `${path}/{id}`] as const,
})
const INTERACTION = { model: "gemini-2.5-flash", input: "Hi" }
const GOOGLE_FILE = "https://generativelanguage.googleapis.com/v1beta/{name}"
const inFile = (fileUri: string) => [{ role: "user", parts: [{ fileData: { fileUri } }] }]

const KINDS: readonly Kind[] = [
  {
    ...{ api: "openai", kind: "file", ...life("/v1/files", { purpose: "batch" }) },
    beneath: [["GET", "/v1/files/{id}/content"]],
    references: [
      chat({ type: "file", file: { file_id: "{name}" } }),
      respond({ input: [{ role: "user", content: [{ type: "input_file", file_id: "{name}" }] }] }),
      tool({ type: "code_interpreter", container: { type: "auto", file_ids: ["{name}"] } }),
      ["POST", "/v1/batches", { input_file_id: "{name}", endpoint: "/v1/responses", completion_window: "24h" }],
      ["POST", "/v1/vector_stores", { file_ids: ["{name}"] }],
      ["POST", "/v1/containers", { name: "c", file_ids: ["{name}"] }],
      ["POST", "/v1/conversations", { items: [{ content: [{ type: "input_image", file_id: "{name}" }] }] }],
    ],
  },
  {
    ...{ api: "openai", kind: "batch", ...life("/v1/batches"), remove: null },
    beneath: [["POST", "/v1/batches/{id}/cancel"]],
    references: [],
  },
  {
    ...{ api: "openai", kind: "response", ...life("/v1/responses", { model: "gpt-4o", input: "Hi" }) },
    beneath: [
      ["GET", "/v1/responses/{id}/input_items"],
      ["POST", "/v1/responses/{id}/cancel"],
    ],
    references: [respond({ previous_response_id: "{name}" })],
  },
  {
    ...{ api: "openai", kind: "conversation", ...life("/v1/conversations") },
    beneath: [
      ["GET", "/v1/conversations/{id}/items"],
      ["POST", "/v1/conversations/{id}/items", { items: [] }],
    ],
    references: [respond({ conversation: "{name}" }), respond({ conversation: { id: "{name}" } })],
  },
  {
    ...{ api: "openai", kind: "vector_store", ...life("/v1/vector_stores") },
    beneath: [
      ["POST", "/v1/vector_stores/{id}/search", { query: "salary" }],
      ["GET", "/v1/vector_stores/{id}/files/file-1/content"],
    ],
    references: [tool({ type: "file_search", vector_store_ids: ["{name}"] })],
  },
  {
    ...{ api: "openai", kind: "upload", ...life("/v1/uploads"), remove: null },
    retrieve: ["POST", "/v1/uploads/{id}/complete", { part_ids: [] }],
    beneath: [
      ["POST", "/v1/uploads/{id}/parts", { data: "a" }],
      ["POST", "/v1/uploads/{id}/cancel"],
    ],
    references: [],
  },
  {
    ...{ api: "openai", kind: "container", ...life("/v1/containers", { name: "c" }) },
    beneath: [["GET", "/v1/containers/{id}/files/cfile_1/content"]],
    references: [tool({ type: "code_interpreter", container: "{name}" })],
  },
  {
    ...{ api: "openai", kind: "video", ...life("/v1/videos", { model: "sora-2", prompt: "a cat" }) },
    beneath: [
      ["GET", "/v1/videos/{id}/content"],
      ["POST", "/v1/videos/{id}/remix", { prompt: "a dog" }],
    ],
    references: [["POST", "/v1/videos", { model: "sora-2", prompt: "a dog", video: { id: "{name}" } }]],
  },
  {
    ...{ api: "anthropic", kind: "message_batch", ...life("/v1/messages/batches", { requests: [] }) },
    beneath: [
      ["GET", "/v1/messages/batches/{id}/results"],
      ["POST", "/v1/messages/batches/{id}/cancel"],
    ],
    references: [],
  },
  {
    ...{ api: "anthropic", kind: "file", ...life("/v1/files") },
    beneath: [["GET", "/v1/files/{id}/content"]],
    references: [
      claude({ type: "document", source: { type: "file", file_id: "{name}" } }),
      claude({ type: "container_upload", file_id: "{name}" }),
      [
        "POST",
        "/v1/messages/batches",
        { requests: [{ params: { messages: [{ content: [{ source: { file_id: "{name}" } }] }] } }] },
      ],
    ],
  },
  {
    ...{ api: "google", kind: "cached_content", ...life("/v1beta/cachedContents", { contents: [] }) },
    beneath: [["PATCH", "/v1beta/cachedContents/{id}", { ttl: "9s" }]],
    references: [gemini({ contents: [], cachedContent: "{name}" }), gemini({ contents: [], cached_content: "{name}" })],
  },
  {
    ...{ api: "google", kind: "file", ...life("/v1beta/files", { file: {} }) },
    beneath: [["PATCH", "/v1beta/files/{id}", { displayName: "a" }]],
    references: [
      gemini({ contents: inFile(GOOGLE_FILE) }),
      gemini({ contents: inFile("{name}") }),
      ["POST", "/v1beta/cachedContents", { contents: inFile(GOOGLE_FILE) }],
    ],
  },
  {
    ...{ api: "google", kind: "interaction", ...life("/v1beta/interactions", INTERACTION) },
    beneath: [["POST", "/v1beta/interactions/{id}/cancel"]],
    references: [["POST", "/v1beta/interactions", { ...INTERACTION, previous_interaction_id: "{name}" }]],
  },
]

const HEADERS: Readonly<Record<Api, (secret: string) => Readonly<Record<string, string>>>> = {
  openai: (secret) => ({ authorization: `Bearer ${secret}` }),
  anthropic: (secret) => ({ "x-api-key": secret, "anthropic-version": "2023-06-01" }),
  google: (secret) => ({ "x-goog-api-key": secret, "x-goog-api-client": "genai-js/1.0" }),
}

type Made = { readonly id: string; readonly name: string }

let provider: FakeProvider
const apps: TestApp[] = []
const pools: Sql[] = []

beforeAll(async () => {
  provider = await startFakeProvider()
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await Promise.all(pools.map((sql) => sql.end()))
  for (const app of apps) await app.close()
  await provider?.stop()
})

/** An app with two keys of one project, one of its neighbour in the organization, and one of another organization. */
async function startTenants(providerObjects = "{}") {
  const app = await startTestApp(threeApis(provider, `provider_objects: ${providerObjects}`))
  apps.push(app)
  const sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "tenancy" })
  pools.push(sql)
  const addProject = async (organizationId: string) => {
    const id = namedId("proj")
    await sql`INSERT INTO projects (id, organization_id, name) VALUES (${id}, ${organizationId}, ${id})`
    return { organizationId, projectId: id }
  }
  const addKey = async (project: { organizationId: string; projectId: string }) => {
    const wanted = { name: "tenant", ...project, userId: null, unmetered: "allow", limits: [] } as const
    const created = await createVirtualKey(sql, { name: "test", ip: "" }, wanted)
    if (created.kind !== "created") throw new Error(`no ${created.kind}`)
    return created.secret
  }
  const [home] = await sql<{ id: string }[]>`SELECT id FROM organizations WHERE is_default`
  const elsewhere = namedId("org")
  await sql`INSERT INTO organizations (id, name) VALUES (${elsewhere}, 'elsewhere')`
  const project = await addProject(home?.id ?? "")
  return {
    app,
    owner: await addKey(project),
    colleague: await addKey(project),
    neighbour: await addKey(await addProject(home?.id ?? "")),
    stranger: await addKey(await addProject(elsewhere)),
  }
}

async function ask(app: TestApp, api: Api, secret: string, [method, path, body]: Request, made?: Made) {
  const named = (text: string) => text.replaceAll("{id}", made?.id ?? "").replaceAll("{name}", made?.name ?? "")
  const response = await fetch(app.url + named(path), {
    method,
    headers: { ...HEADERS[api](secret), ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { body: named(JSON.stringify(body)) }),
  })
  return { status: response.status, text: await response.text() }
}

async function make(app: TestApp, { api, create }: Kind, secret: string): Promise<Made> {
  const { status, text } = await ask(app, api, secret, create)
  expect(status, text).toBe(200)
  const { id, name } = JSON.parse(text) as { id?: string; name?: string }
  return { id: id ?? name?.split("/")[1] ?? "", name: name ?? id ?? "" }
}

/** An id like that one, which no provider has ever given. */
function unknownLike({ id, name }: Made): Made {
  const other = id.replace(/\d{6}$/, "999999")
  return { id: other, name: name.replace(id, other) }
}

const titled = KINDS.map((kind) => [`${kind.api}: a ${kind.kind}`, kind] as const)
/** Every request that names an object; the one that deletes it comes last. */
const waysOf = ({ retrieve, remove, beneath, references }: Kind): Request[] => {
  return [retrieve, ...beneath, ...references, ...(remove === null ? [] : [remove])]
}
const each = (ways: readonly Request[]) =>
  ways.map((way) => [`${way[0]} ${way[1]} ${JSON.stringify(way[2] ?? "")}`, way] as const)
const PROVIDERS: Readonly<Record<Api, string>> = { openai: "/openai", anthropic: "/claude", google: "/gemini" }

test("every kind of object that the table of endpoints knows is asked about here", () => {
  const known = ENDPOINTS.flatMap(({ api, object }) => (object === null ? [] : [`${api} ${object.kind}`]))
  expect(new Set(KINDS.map(({ api, kind }) => `${api} ${kind}`))).toEqual(new Set(known))
})

/** What the provider itself answers of what is not there; of interactions Google says that they are not found. */
const missingStatus = ({ api, kind }: Kind) => (api === "google" && kind !== "interaction" ? 403 : 404)
const GOOGLE_STATUS: Readonly<Record<number, string>> = { 403: "PERMISSION_DENIED", 404: "NOT_FOUND" }

describe("by default", () => {
  let tenants: Awaited<ReturnType<typeof startTenants>>
  beforeAll(async () => {
    tenants = await startTenants()
  })

  describe.each(titled)("%s", (_title, kind) => {
    const { api } = kind
    const denied = missingStatus(kind)

    test.each(each(waysOf(kind)))(
      "is no more there for another organization than one that never was: %s",
      async (_what, way) => {
        const { app, owner, stranger } = tenants
        const made = await make(app, kind, owner)
        const never = unknownLike(made)
        provider.reset()
        const refused = await ask(app, api, stranger, way, made)
        expect(refused.status, refused.text).toBe(denied)
        const unknown = await ask(app, api, stranger, way, never)
        expect({ ...unknown, text: unknown.text.replaceAll(never.id, made.id) }).toEqual(refused)
        const [method, path, body] = way
        expect(await ask(app, api, stranger, [method, PROVIDERS[api] + path, body], made)).toEqual(refused)
        const { type, error } = JSON.parse(refused.text) as { type?: string; error: Record<string, unknown> }
        if (api === "google") expect(error).toMatchObject({ code: denied, status: GOOGLE_STATUS[denied] })
        else if (api === "anthropic") expect([type, error.type]).toEqual(["error", "not_found_error"])
        else expect(error.type).toBe("invalid_request_error")
        expect(refused.text).not.toMatch(/tallygate|organization|another key/i)
        expect(provider.requests).toEqual([])
      },
    )
    test.each(each(waysOf(kind)))("is there for the key that made it: %s", async (_what, way) => {
      const { app, owner } = tenants
      const made = await make(app, kind, owner)
      provider.reset()
      await ask(app, api, owner, way, made)
      expect(provider.requests).toHaveLength(1)
      const [request] = provider.requests
      expect(`${request?.path} ${request?.body}`).toContain(made.id)
    })
    test("stays after others tried to delete it, and the list shows it to its key alone", async () => {
      const { app, owner, colleague, neighbour, stranger } = tenants
      const made = await make(app, kind, owner)
      for (const other of [colleague, neighbour, stranger]) {
        if (kind.remove !== null) expect((await ask(app, api, other, kind.remove, made)).status).toBe(denied)
      }
      expect((await ask(app, api, owner, kind.retrieve, made)).status).toBe(200)
      const collection = kind.create[1]
      if (!ENDPOINTS.some((one) => one.api === api && one.object?.act === "list" && collection.endsWith(one.path)))
        return
      expect((await ask(app, api, owner, ["GET", collection])).text).toContain(made.id)
      for (const other of [colleague, neighbour, stranger]) {
        const list = await ask(app, api, other, ["GET", collection])
        expect(list.status).toBe(200)
        expect(list.text).not.toContain(made.id)
      }
    })
  })
})

describe.each([
  ["project", true, false],
  ["organization", true, true],
] as const)("shared by the %s", (sharing, isColleaguesToo, isNeighboursToo) => {
  let tenants: Awaited<ReturnType<typeof startTenants>>
  beforeAll(async () => {
    tenants = await startTenants(`{ shared_by: ${sharing} }`)
  })

  test.each(titled)("%s reaches whom it should, and never another organization", async (_title, kind) => {
    const { app, owner, colleague, neighbour, stranger } = tenants
    const others = [
      [colleague, isColleaguesToo],
      [neighbour, isNeighboursToo],
      [stranger, false],
    ] as const
    for (const [secret, isReached] of others) {
      for (const way of waysOf(kind)) {
        const made = await make(app, kind, owner)
        provider.reset()
        const { status, text } = await ask(app, kind.api, secret, way, made)
        expect(provider.requests.length, `${way[0]} ${way[1]}: ${status} ${text}`).toBe(isReached ? 1 : 0)
      }
    }
  })
})

describe("with adopt_unknown", () => {
  let tenants: Awaited<ReturnType<typeof startTenants>>
  let adopted = 0
  beforeAll(async () => {
    tenants = await startTenants("{ adopt_unknown: true }")
  })

  /** An object that another program made with the same account. */
  function foreign(made: Made): Made {
    const id = `${made.id}x${++adopted}`
    const name = made.name.replace(made.id, id)
    provider.objects.set(name, { ...provider.objects.get(made.name), id, name })
    return { id, name }
  }

  test("naming what is not there claims nothing", async () => {
    const { app, owner, stranger } = tenants
    const name = "files/report-to-come"
    const retrieve: Request = ["GET", `/v1beta/${name}`]
    expect((await ask(app, "google", stranger, retrieve)).status).toBe(404)
    provider.objects.set(name, { name })
    expect((await ask(app, "google", owner, retrieve)).status).toBe(200)
    expect((await ask(app, "google", stranger, retrieve)).status).toBe(403)
  })
  describe.each(titled)("%s", (_title, kind) => {
    test.each(each([kind.retrieve, ...kind.beneath, ...kind.references]))(
      "is its who names it first: %s",
      async (_what, way) => {
        const { app, owner, colleague, neighbour, stranger } = tenants
        const old = foreign(await make(app, kind, owner))
        provider.reset()
        await ask(app, kind.api, colleague, way, old)
        expect(provider.requests).toHaveLength(1)
        provider.reset()
        for (const other of [owner, neighbour, stranger]) {
          for (const each of waysOf(kind)) {
            const { status, text } = await ask(app, kind.api, other, each, old)
            expect(status, `${each[0]} ${each[1]}: ${text}`).toBe(missingStatus(kind))
          }
        }
        expect(provider.requests).toEqual([])
        await ask(app, kind.api, colleague, kind.retrieve, old)
        expect(provider.requests).toHaveLength(1)
      },
    )
    test.each(each(waysOf(kind)))("that a key has made here is not for another to adopt: %s", async (_what, way) => {
      const { app, owner, stranger } = tenants
      const made = await make(app, kind, owner)
      provider.reset()
      expect((await ask(app, kind.api, stranger, way, made)).status).toBe(missingStatus(kind))
      expect(provider.requests).toEqual([])
    })
  })
})
