/**
 * No door without a key and a limit: every endpoint that is known, by every prefix, for callers who may not call. It is
 * generated from the table of endpoints, so that a new one is asked for as well.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { mintVirtualKey } from "../../src/identity/secret.ts"
import type { SharedApi as Api } from "../../src/providers/dialect.ts"
import { ENDPOINTS, type Endpoint } from "../../src/providers/endpoint.ts"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"

type Prefix = "/v1" | "/v1beta" | "/openai" | "/claude" | "/gemini"

const PREFIXES: readonly Prefix[] = ["/v1", "/v1beta", "/openai", "/claude", "/gemini"]
/** Whose API a prefix is; `/v1` is that of whoever sends its own headers. */
const SPOKEN: Readonly<Record<Prefix, Api | null>> = {
  "/v1": null,
  "/v1beta": "google",
  "/openai": "openai",
  "/claude": "anthropic",
  "/gemini": "google",
}
/** Anthropic's provider has one path of OpenAI's API as well, which is spoken as such. */
function spokenAt(prefix: Prefix, own: Api, path: string): Api {
  return prefix === "/claude" && path === "/chat/completions" ? "openai" : (SPOKEN[prefix] ?? own)
}

const API_HEADERS: Readonly<Record<Api, Readonly<Record<string, string>>>> = {
  openai: {},
  anthropic: { "anthropic-version": "2023-06-01" },
  google: { "x-goog-api-client": "genai-js/1.0" },
}
const CREDENTIALS: Readonly<Record<Api, (secret: string) => Readonly<Record<string, string>>>> = {
  openai: (secret) => ({ authorization: `Bearer ${secret}` }),
  anthropic: (secret) => ({ "x-api-key": secret }),
  google: (secret) => ({ "x-goog-api-key": secret }),
}
const MODELS: Readonly<Record<Api, string>> = {
  openai: "gpt-4o-mini",
  anthropic: "claude-sonnet-4-5",
  google: "gemini-2.5-flash",
}

/** Callers, and what they are told by the door of an endpoint's own API. */
const CALLERS = {
  "no key": 401,
  "no key of ours": 401,
  "a key that nobody has made": 401,
  "the provider's own credential": 401,
  "a revoked key": 401,
  "a key without a request left": 429,
} as const
type Caller = keyof typeof CALLERS

let provider: FakeProvider
let app: TestApp
let goodKey: string
const secrets = new Map<Caller, string>()

beforeAll(async () => {
  provider = await startFakeProvider()
  // What the good key has made the others reach too, so that no limit is spared for want of an object.
  app = await startTestApp(threeApis(provider, "provider_objects: { shared_by: project }"))
  goodKey = (await app.createKey({ unmetered: "allow" })).key
  const limits = [{ kind: "requests", window: "month", cap: 0 }]
  secrets.set("a key without a request left", (await app.createKey({ unmetered: "allow", limits })).key)
  const revoked = await app.createKey({ unmetered: "allow" })
  expect((await app.admin("POST", `/admin/v1/keys/${revoked.id}/revoke`)).status).toBe(200)
  secrets.set("a revoked key", revoked.key)
  secrets.set("no key of ours", "tg_nobody")
  secrets.set("a key that nobody has made", mintVirtualKey("key_abcdefghijkl"))
  secrets.set("the provider's own credential", "sk-upstream-canary")
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

type Asked = { readonly method: string; readonly path: string; readonly type: string; readonly body: Buffer | null }

const isForm = ({ name }: Endpoint<Api>) => /^audio\.(transcriptions|translations)$|^images\.variations$/.test(name)

/** A request to the endpoint that its provider would take. */
function asked(endpoint: Endpoint<Api>, id: string): Asked {
  const model = MODELS[endpoint.api]
  const path = endpoint.path.replace("{model}", model).replace("{id}", id).replace("*", "files")
  const method = endpoint.method === "*" ? "GET" : endpoint.method
  const field = `--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n`
  if (isForm(endpoint)) return { method, path, type: "multipart/form-data; boundary=b", body: Buffer.from(field) }
  const isNamedInPath = endpoint.api === "google" && endpoint.name !== "interactions"
  const named = isNamedInPath ? {} : { model, max_tokens: 9, messages: [], input: "Hi", prompt: "Hi" }
  const hasBody = method === "POST" || method === "PATCH"
  return { method, path, type: "application/json", body: hasBody ? Buffer.from(JSON.stringify(named)) : null }
}

/** At one of the prefixes, in the words of the API that is spoken there. */
function send(prefix: Prefix, own: Api, { method, path, type, body }: Asked, secret: string | undefined) {
  const spoken = spokenAt(prefix, own, path)
  // Google's uploads have the version behind the first segment.
  const isUpload = path.startsWith("/upload/") && prefix.startsWith("/v1")
  return fetch(app.url + (isUpload ? `/upload${prefix}${path.slice(7)}` : prefix + path), {
    method,
    headers: {
      ...API_HEADERS[spoken],
      ...(secret === undefined ? {} : CREDENTIALS[spoken](secret)),
      ...(body === null ? {} : { "content-type": type }),
    },
    ...(body === null ? {} : { body: new Uint8Array(body) }),
  })
}

/** Whether an error is one that this API's SDK understands. */
function isInShape(api: Api, status: number, body: unknown): boolean {
  const { type, error } = body as { type?: unknown; error?: Record<string, unknown> }
  if (typeof error?.message !== "string") return false
  switch (api) {
    case "openai":
      return typeof error.type === "string" && "code" in error && "param" in error
    case "anthropic":
      return type === "error" && typeof error.type === "string"
    case "google":
      return error.code === status && typeof error.status === "string"
  }
}

const TYPES: Readonly<Record<Api, Readonly<Record<number, readonly string[]>>>> = {
  openai: { 401: ["invalid_request_error"], 429: ["insufficient_quota", "requests"] },
  anthropic: { 401: ["authentication_error"], 429: ["rate_limit_error"] },
  google: { 401: ["UNAUTHENTICATED"], 429: ["RESOURCE_EXHAUSTED"] },
}

/** What is wrong with the refusal of a call; null where it is as it should be. */
async function faultOf(prefix: Prefix, own: Api, request: Asked, caller: Caller): Promise<string | null> {
  const spoken = spokenAt(prefix, own, request.path)
  const response = await send(prefix, own, request, secrets.get(caller))
  const { status } = response
  const text = await response.text()
  const told = `${request.method} ${prefix}${request.path} with ${caller}: ${status} ${text.slice(0, 200)}`
  const body: unknown = text.startsWith("{") ? JSON.parse(text) : {}
  const wanted = CALLERS[caller]
  // Another API's endpoint is no endpoint here, or one without this object; it may be refused before the limit is.
  const isRefused = status === wanted || (wanted === 429 && spoken !== own && [400, 403, 404, 405].includes(status))
  if (!isRefused || !isInShape(spoken, status, body)) return told
  const error = (body as { error: { type?: string; status?: string } }).error
  const types = TYPES[spoken][status]
  return types === undefined || types.includes((spoken === "google" ? error.status : error.type) ?? "") ? null : told
}

/** An object of the good key's, where the path names one: its id as it stands there. */
async function objectFor({ api, path }: Endpoint<Api>): Promise<string> {
  if (!path.includes("{id}")) return ""
  const collection = path.slice(0, path.indexOf("/{id}"))
  const create = ENDPOINTS.find((one) => one.api === api && one.path === collection && one.method === "POST")
  if (create === undefined) throw new Error(`nothing makes an object of ${collection}`)
  const response = await send("/v1", api, asked(create, ""), goodKey)
  const made = (await response.json()) as { id?: string; name?: string }
  const id = made.id ?? made.name?.split("/")[1]
  if (id === undefined) throw new Error(`${collection} answered ${response.status} ${JSON.stringify(made)}`)
  return id
}

const ALL = ENDPOINTS.map((endpoint) => [`${endpoint.api}: ${endpoint.method} ${endpoint.path}`, endpoint] as const)

describe.each(ALL)("%s", (_name, endpoint) => {
  const own = PREFIXES.filter((prefix) => prefix === "/v1" || SPOKEN[prefix] === endpoint.api)

  test("reaches no provider for a caller without a key or without a request left, by any prefix", async () => {
    const request = asked(endpoint, await objectFor(endpoint))
    provider.reset()
    const calls = PREFIXES.flatMap((prefix) =>
      Object.keys(CALLERS).map((caller) => [prefix, caller as Caller] as const),
    )
    const faults: (string | null)[] = []
    for (const [prefix, caller] of calls) faults.push(await faultOf(prefix, endpoint.api, request, caller))
    expect(faults.filter((fault) => fault !== null)).toEqual([])
    expect(provider.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([])
  })
  test.each(own)("reaches it by %s for a key that may, with the account's credential", async (prefix) => {
    const request = asked(endpoint, await objectFor(endpoint))
    provider.reset()
    await (await send(prefix, endpoint.api, request, goodKey)).text()
    const received = provider.requests.map(({ method, path, headers }) => [
      method,
      path.includes(request.path),
      headers,
    ])
    const credential = { openai: "authorization", anthropic: "x-api-key", google: "x-goog-api-key" }[endpoint.api]
    const headers = expect.objectContaining({ [credential]: expect.stringContaining("canary") })
    // Google's uploads have the provider's own path behind their first segment.
    expect(received).toEqual([[request.method, !request.path.startsWith("/upload/"), headers]])
    expect(JSON.stringify(provider.requests[0]?.rawHeaders)).not.toContain(goodKey)
  })
})

describe("what nobody can meter", () => {
  const UNKNOWN: readonly (readonly [Prefix, Api, string, string])[] = [
    ["/v1", "openai", "POST", "/fine_tuning/jobs"],
    ["/v1", "openai", "GET", "/assistants"],
    ["/openai", "openai", "POST", "/evals"],
    ["/v1", "anthropic", "GET", "/skills"],
    ["/claude", "anthropic", "POST", "/skills"],
    ["/v1beta", "google", "GET", "/tunedModels"],
    ["/gemini", "google", "POST", "/corpora"],
  ]
  const request = (method: string, path: string): Asked => {
    return { method, path, type: "application/json", body: method === "POST" ? Buffer.from("{}") : null }
  }

  test.each(UNKNOWN)(
    "by %s in the API of %s, %s %s: reaches no provider for a caller who may not",
    async (...route) => {
      const [prefix, api, method, path] = route
      for (const caller of Object.keys(CALLERS)) {
        expect(await faultOf(prefix, api, request(method, path), caller as Caller)).toBeNull()
      }
      expect(provider.requests).toEqual([])
    },
  )
  test.each(UNKNOWN)("by %s in the API of %s, %s %s: takes a key that is allowed to", async (...route) => {
    const [prefix, api, method, path] = route
    const denied = await send(prefix, api, request(method, path), (await app.createKey()).key)
    expect(denied.status).toBe(403)
    expect(isInShape(api, 403, await denied.json())).toBe(true)
    expect(provider.requests).toEqual([])
    await (await send(prefix, api, request(method, path), goodKey)).text()
    expect(provider.requests).toMatchObject([{ method, path: expect.stringContaining(path) }])
  })
})
