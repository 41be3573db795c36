/** Which key pays, wherever it stands, and whose credential goes upstream; and that none of them stays anywhere. */
import { readdir, readFile } from "node:fs/promises"
import path from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { mintVirtualKey } from "../../src/identity/secret.ts"
import { openPostgres } from "../../src/platform/postgres.ts"
import { type FakeProvider, startFakeProvider } from "../support/fake-provider.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"

type Door = "openai" | "anthropic" | "google"
type Carrier = "authorization" | "x-api-key" | "x-goog-api-key" | "api-key" | "x-tallygate-key" | "?key="

const OURS = { openai: "sk-our-canary-openai", anthropic: "sk-ant-our-canary", google: "AIza-our-canary" }
const DOORS: readonly Door[] = ["openai", "anthropic", "google"]
const CARRIERS = ["authorization", "x-api-key", "x-goog-api-key", "api-key", "?key="] as const
const EVERY_WAY = DOORS.flatMap((door) =>
  [...CARRIERS, "x-tallygate-key" as const].map((place) => [door, place] as const),
)

let provider: FakeProvider
let app: TestApp
let key: string
let keyId: string
let otherKey: string

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(twoOfEach(provider))
  ;({ key, id: keyId } = await app.createKey())
  otherKey = (await app.createKey()).key
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

/** Each API with our credential, and as `own-…` with the caller's. */
function twoOfEach({ origin }: FakeProvider): string {
  const urls = { openai: `${origin}/v1`, anthropic: `${origin}/anthropic/v1`, google: `${origin}/google/v1beta` }
  const entries = DOORS.flatMap((api) => [
    `  our-${api}: { dialect: ${api}, base_url: ${urls[api]}, api_key: ${OURS[api]}, priced_as: ${api} }`,
    `  own-${api}: { dialect: ${api}, base_url: ${urls[api]}, credential: caller, priced_as: ${api} }`,
  ])
  const routes = ["our", "own"].flatMap((whose) => [
    `  - { match: ${whose}-gpt, provider: ${whose}-openai, model: gpt-4o-mini }`,
    `  - { match: ${whose}-claude, provider: ${whose}-anthropic, model: claude-sonnet-4-5 }`,
    `  - { match: ${whose}-gemini, provider: ${whose}-google, model: gemini-2.5-flash }`,
  ])
  return ["providers:", ...entries, "models:", ...routes, ""].join("\n")
}

const bearing = (place: Carrier, secret: string): Record<string, string> =>
  place === "?key=" ? {} : { [place]: place === "authorization" ? `Bearer ${secret}` : secret }

/** A call to a model by one of the doors, each of `carried` in its place. */
async function call(door: Door, carried: Partial<Record<Carrier, string>>, more: Record<string, string> = {}) {
  const { whose = "our", ...headers } = more
  const query = carried["?key="] === undefined ? "" : `?key=${carried["?key="]}`
  const places = Object.entries(carried).map(([place, secret]) => bearing(place as Carrier, secret))
  const [route, body] = {
    openai: ["/v1/chat/completions", { model: `${whose}-gpt`, messages: [] }],
    anthropic: ["/v1/messages", { model: `${whose}-claude`, max_tokens: 9, messages: [] }],
    google: [`/v1beta/models/${whose}-gemini:generateContent`, { contents: [] }],
  }[door] as [string, object]
  const response = await fetch(app.url + route + query, {
    method: "POST",
    headers: Object.assign({ "content-type": "application/json" }, headers, ...places),
    body: JSON.stringify(body),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, body: JSON.parse(text) }
}

/** An error in the shape of the door's API, as far as a status and a code of ours decide it. */
function errorOf(door: Door, status: number, code: string) {
  const types: Record<number, string> = { 400: "invalid_request_error", 401: "authentication_error", 502: "api_error" }
  const statuses: Record<number, string> = { 400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 502: "INTERNAL" }
  switch (door) {
    case "openai":
      return { status, body: { error: { code, param: null, type: expect.any(String) } } }
    case "anthropic":
      return { status, body: { type: "error", error: { code, type: types[status] }, request_id: expect.any(String) } }
    case "google":
      return { status, body: { error: { code: status, status: statuses[status], details: [{ reason: code }] } } }
  }
}

/** What went upstream, as text: path, headers, body. */
function sent(): string {
  return provider.requests.map(({ path: at, rawHeaders, body }) => [at, ...rawHeaders, body].join("\n")).join("\n")
}

const CREDENTIAL_HEADERS = ["authorization", "x-api-key", "x-goog-api-key", "api-key", "x-tallygate-key"]
function credentialsSent() {
  const headers = provider.requests[0]?.headers ?? {}
  return Object.fromEntries(CREDENTIAL_HEADERS.flatMap((name) => (name in headers ? [[name, headers[name]]] : [])))
}
const OUR_HEADERS = {
  openai: { authorization: `Bearer ${OURS.openai}` },
  anthropic: { "x-api-key": OURS.anthropic },
  google: { "x-goog-api-key": OURS.google },
}

describe("a virtual key", () => {
  test.each(EVERY_WAY)("is taken by the door of %s from %s, and stays here", async (door, place) => {
    expect(await call(door, { [place]: key })).toMatchObject({ status: 200 })
    expect(provider.requests).toHaveLength(1)
    expect(credentialsSent()).toEqual(OUR_HEADERS[door])
    expect(sent()).not.toContain(key)
    expect(sent()).not.toContain("key=")
  })

  test.each(EVERY_WAY)("that does not work is a 401 of %s from %s, whatever the reason", async (door, place) => {
    const revoked = await app.createKey()
    await app.admin("POST", `/admin/v1/keys/${revoked.id}/revoke`)
    const expired = await app.createKey({ expires_at: "2020-01-01T00:00:00.000Z" })
    for (const secret of [revoked.key, expired.key, mintVirtualKey("key_000000000000"), "tg_short"]) {
      const answer = await call(door, { [place]: secret })
      expect(answer).toMatchObject(errorOf(door, 401, "invalid_api_key"))
      expect(answer.text).not.toContain(secret)
    }
    expect(provider.requests).toEqual([])
  })

  test.each(DOORS)("that is missing is a 401 of %s that says where to put one", async (door) => {
    const answer = await call(door, {})
    expect(answer).toMatchObject(errorOf(door, 401, "invalid_api_key"))
    expect(answer.text).toContain({ openai: "Authorization", anthropic: "x-api-key", google: "x-goog-api-key" }[door])
  })
})

describe("two places", () => {
  const PAIRS = CARRIERS.flatMap((one, at) => CARRIERS.slice(at + 1).map((other) => [one, other] as const))

  test.each(PAIRS)("%s and %s hold one key, or differ and are named without what they hold", async (one, other) => {
    for (const door of DOORS) {
      expect(await call(door, { [one]: key, [other]: key })).toMatchObject({ status: 200 })
      provider.reset()
      const answer = await call(door, { [one]: key, [other]: otherKey })
      expect(answer).toMatchObject(errorOf(door, 400, "conflicting_api_keys"))
      for (const place of [one, other]) expect(answer.body.error.message.toLowerCase()).toContain(place)
      for (const secret of [key, otherKey]) expect(answer.text).not.toContain(secret)
      expect(provider.requests).toEqual([])
    }
  })

  test("differ even where only one of them is a key of ours", async () => {
    const answer = await call("openai", { authorization: key, "api-key": "azure-key" })
    expect(answer).toMatchObject(errorOf("openai", 400, "conflicting_api_keys"))
  })
})

describe("x-tallygate-key", () => {
  test.each(DOORS)("pays, and nothing of the others reaches a provider of %s that has our credential", async (door) => {
    const others = Object.fromEntries(CARRIERS.map((place) => [place, `own-canary-${place.replace(/\W/g, "")}`]))
    const answer = await call(door, { "x-tallygate-key": key, ...others })
    expect(answer.status).toBe(200)
    expect(credentialsSent()).toEqual(OUR_HEADERS[door])
    expect(sent()).not.toContain("own-canary")
    const record = await app.record(answer.headers.get("x-request-id") ?? "")
    expect(record).toMatchObject({ billing: "account", provider: `our-${door}`, key_id: keyId })
  })

  test("is not made up for by a good key beside it", async () => {
    const answer = await call("openai", { "x-tallygate-key": mintVirtualKey("key_000000000000"), authorization: key })
    expect(answer).toMatchObject(errorOf("openai", 401, "invalid_api_key"))
  })
})

describe("a provider with the caller's credential", () => {
  test.each(DOORS.flatMap((door) => CARRIERS.map((place) => [door, place] as const)))(
    "of %s gets what came in %s, and nothing of ours",
    async (door, place) => {
      const own = { [place]: "own-canary" }
      const answer = await call(door, { "x-tallygate-key": key, ...own }, { whose: "own" })
      expect(answer.status).toBe(200)
      // What came in the query goes on as the header that Google takes as well: a query lands in access logs.
      expect(credentialsSent()).toEqual(bearing(place === "?key=" ? "x-goog-api-key" : place, "own-canary"))
      expect(sent()).not.toContain(key)
      expect(sent()).not.toContain("our-canary")
      const record = await app.record(answer.headers.get("x-request-id") ?? "")
      expect(record).toMatchObject({ billing: "caller", provider: `own-${door}`, outcome: "ok" })
    },
  )

  test.each(DOORS)("of %s is not asked without one", async (door) => {
    const cases = [{ authorization: key }, { "x-tallygate-key": key }] as const
    for (const carried of cases) {
      const answer = await call(door, carried, { whose: "own" })
      expect(answer).toMatchObject(errorOf(door, 401, "provider_credential_missing"))
      expect(answer.body.error.message).toContain("x-tallygate-key")
    }
    expect(provider.requests).toEqual([])
  })

  test.each([401, 403])("relays a %s as it is, since it is the caller's own matter", async (status) => {
    const body = { error: { message: "Incorrect API key provided: own-c****ary.", code: "invalid_api_key" } }
    for (const door of DOORS) {
      provider.enqueue({ status, body })
      const answer = await call(door, { "x-tallygate-key": key, authorization: "own-canary" }, { whose: "own" })
      expect([answer.status, answer.text]).toEqual([status, JSON.stringify(body)])
      expect(answer.headers.get("x-tallygate-error-source")).toBe("upstream")
    }
  })
})

test.each([401, 403])("our own credential refused with %s is a 502 that keeps the provider's text", async (status) => {
  for (const door of DOORS) {
    provider.enqueue({ status, body: { error: { message: "Key sk-our-c****ary of org-of-the-account is wrong." } } })
    const answer = await call(door, { authorization: key })
    expect(answer).toMatchObject(errorOf(door, 502, "upstream_auth_failed"))
    expect(answer.text).not.toContain("org-of-the-account")
    expect(answer.text).not.toContain("c****ary")
    expect(answer.headers.get("x-tallygate-error-source")).toBeNull()
    const record = await app.record(answer.headers.get("x-request-id") ?? "")
    expect(record).toMatchObject({ error_code: "upstream_auth_failed", outcome: "error" })
  }
})

describe("no credential stays anywhere", () => {
  /** Files of the data folder by name; the configuration is the operator's own. */
  async function filesKept(): Promise<string> {
    const names = await readdir(app.dataDir, { recursive: true, withFileTypes: true })
    const files = names.filter((entry) => entry.isFile() && entry.name !== "proxy.config.yaml")
    const read = files.map(({ parentPath, name }) => readFile(path.join(parentPath, name), "latin1").catch(() => ""))
    return (await Promise.all(read)).join("\n")
  }

  async function databaseText(): Promise<string> {
    const sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
    const tables = await sql<{ name: string }[]>`
      SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`
    const rows = []
    for (const { name } of tables) rows.push(...(await sql`SELECT t::text AS text FROM ${sql(name)} AS t`))
    await sql.end()
    return rows.map(({ text }) => String(text)).join("\n")
  }

  test("neither in the journal while a call is under way, nor in the ledger, nor in the logs", async () => {
    const own = "own-canary-that-stays-nowhere"
    const { key: fresh, id } = await app.createKey()
    const secrets = [fresh, key, own, "own-canary", ...Object.values(OURS)]
    const piece = `data: {"id":"chatcmpl-1","model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n`
    provider.enqueue({ body: Array.from({ length: 400 }, () => piece) })
    const slow = call("openai", { "x-tallygate-key": fresh, authorization: own }, { whose: "own" }).catch(() => null)
    const journal = await until(async () => {
      const text = await filesKept()
      return text.includes(id) ? text : undefined
    })
    for (const secret of secrets) expect(journal).not.toContain(secret)
    await slow

    const calls = [
      await call("openai", { "?key=": fresh }),
      await call("anthropic", { "x-tallygate-key": fresh, "?key=": own }, { whose: "own" }),
      await call("google", { "x-tallygate-key": fresh, "?key=": own }, { whose: "own" }),
    ]
    provider.enqueue({ status: 401, body: { error: { message: "wrong key" } } })
    await call("openai", { authorization: fresh })
    await call("openai", { authorization: fresh, "x-api-key": own })
    await call("google", { "?key=": `${fresh}x` })
    const form = new FormData()
    form.set("purpose", "batch")
    form.set("file", new Blob(["{}"]), "batch.jsonl")
    const headers = { "x-tallygate-key": fresh, authorization: `Bearer ${own}` }
    const made = await fetch(`${app.url}/own-openai/v1/files`, { method: "POST", headers, body: form })
    const file = (await made.json()) as { id: string }
    for (const answer of calls) await app.record(answer.headers.get("x-request-id") ?? "")

    const ledger = await databaseText()
    expect(ledger).toContain(file.id)
    for (const answer of calls) expect(ledger).toContain(answer.headers.get("x-request-id"))
    expect(app.logged.length).toBeGreaterThan(0)
    const kept = [ledger, app.logged.join("\n"), await filesKept()]
    for (const secret of secrets) for (const text of kept) expect(text).not.toContain(secret)
  })
})
