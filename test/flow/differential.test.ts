/** What a call through Tallygate differs in from a direct one, for every door: what is documented, and nothing else. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import type { Api } from "../../src/providers/dialect.ts"
import { ENDPOINTS, type Endpoint } from "../../src/providers/endpoint.ts"
import { AT_PROVIDER, AT_TALLYGATE, type DoorRequest, pathUnder, requestFor } from "../support/door-requests.ts"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { type RawResponse, rawRequest } from "../support/http-client.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"

let provider: FakeProvider
let app: TestApp
let key: string

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(threeApis(provider, "unmetered: allow"))
  const limits = [{ kind: "tokens", window: "month", cap: 1_000_000_000 }]
  key = (await app.createKey({ limits })).key
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

/** At the provider: whose credential it is, where it was sent, and what is asked to be readable. */
const DIFFER_AT_PROVIDER = new Set([
  "authorization",
  "x-api-key",
  "x-goog-api-key",
  "host",
  "connection",
  "accept-encoding",
])
/** A direct caller's headers that do not pass: cookies, and what describes the call to Tallygate. */
const STAY_HERE = new Set(["cookie", "x-tallygate-tool", "x-forwarded-for"])
/** At the caller: ids are ours, limits are the key's own, the account's are dropped; what Tallygate says has its own names. */
const DIFFER_AT_CALLER =
  /^(?:x-request-id|request-id|x-ratelimit-.*|anthropic-ratelimit-.*|x-tallygate-.*|openai-organization|anthropic-organization-id|set-cookie|date|connection|keep-alive|transfer-encoding)$/

const OWN_CREDENTIAL: Readonly<Record<Api, readonly [string, string]>> = {
  openai: ["authorization", "Bearer sk-upstream-canary"],
  anthropic: ["x-api-key", "sk-ant-canary"],
  google: ["x-goog-api-key", "AIza-canary"],
}
const KEY_HEADER: Readonly<Record<Api, (secret: string) => readonly [string, string]>> = {
  openai: (secret) => ["authorization", `Bearer ${secret}`],
  anthropic: (secret) => ["x-api-key", secret],
  google: (secret) => ["x-goog-api-key", secret],
}

function send(request: DoorRequest, port: number, place: string, credential: readonly [string, string], query = "") {
  const headers = [...credential, "user-agent", "sdk/1.0", "x-stainless-lang", "js", "traceparent", "00-a-b-01"]
  headers.push("accept", "*/*", "cookie", "c=1", "x-tallygate-tool", "t", "x-forwarded-for", "10.0.0.1")
  if (request.endpoint.api === "anthropic") headers.push("anthropic-version", "2023-06-01", "anthropic-beta", "b-1")
  if (request.contentType !== "") headers.push("content-type", request.contentType)
  if (request.body !== null) headers.push("content-length", String(request.body.length))
  return rawRequest({
    port,
    method: request.method,
    path: pathUnder(place, request.path) + query,
    headers,
    ...(request.body === null ? {} : { body: request.body }),
  })
}

async function both(request: DoorRequest, query = "") {
  const { api } = request.endpoint
  const direct = await send(request, provider.port, AT_PROVIDER[api], OWN_CREDENTIAL[api], query)
  const through = await send(request, app.port, AT_TALLYGATE[api], KEY_HEADER[api](key), query)
  const [first, second] = provider.requests
  if (first === undefined || second === undefined) throw new Error(`nothing arrived: ${through.bodyBytes.toString()}`)
  return { direct, through, asked: { direct: first, through: second } }
}

function passing(headers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !DIFFER_AT_PROVIDER.has(name) && !STAY_HERE.has(name)),
  )
}

function shown({ headers }: RawResponse): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !DIFFER_AT_CALLER.test(name)))
}

function expectSameRequest({ asked }: Awaited<ReturnType<typeof both>>): void {
  const { direct, through } = asked
  expect([through.method, through.path]).toEqual([direct.method, direct.path])
  expect(passing(through.headers)).toEqual(passing(direct.headers))
  for (const name of STAY_HERE) expect(through.headers).not.toHaveProperty(name)
}

/** Calls to models, and those that make an object, need nothing to be there before. */
const ALONE = ENDPOINTS.filter(({ routedBy, object }) => routedBy === "model" || object?.act === "create")
const WITH_OBJECT = ENDPOINTS.filter(({ object }) => object?.act === "use" || object?.act === "delete")

describe("a direct call and one through Tallygate are the same", () => {
  test.each(ALONE.map((endpoint) => [`${endpoint.api} ${endpoint.name}`, endpoint] as const))(
    "%s",
    async (_name, endpoint) => {
      const request = requestFor(endpoint, "")
      const seen = await both(request)
      expectSameRequest(seen)
      expect(seen.asked.through.body.equals(seen.asked.direct.body)).toBe(true)
      expect(seen.through.status).toBe(seen.direct.status)
      expect(shown(seen.through)).toEqual(shown(seen.direct))
      // Ids that the account mints differ between any two calls.
      const plain = (answer: RawResponse) => answer.bodyBytes.toString("latin1").replace(/(fake|g)\d{6}/g, "")
      expect(plain(seen.through)).toBe(plain(seen.direct))
    },
  )

  test.each(WITH_OBJECT.map((endpoint) => [`${endpoint.api} ${endpoint.method} ${endpoint.path}`, endpoint] as const))(
    "%s",
    async (_name, endpoint) => {
      const made = await own(endpoint)
      const request = requestFor(endpoint, made)
      provider.reset()
      const isDelete = endpoint.method === "DELETE"
      const through = await send(request, app.port, AT_TALLYGATE[endpoint.api], KEY_HEADER[endpoint.api](key))
      const direct = await send(request, provider.port, AT_PROVIDER[endpoint.api], OWN_CREDENTIAL[endpoint.api])
      const [second, first] = provider.requests
      if (first === undefined || second === undefined)
        throw new Error(`nothing arrived: ${through.bodyBytes.toString()}`)
      expect([second.method, second.path]).toEqual([first.method, first.path])
      expect(passing(second.headers)).toEqual(passing(first.headers))
      if (isDelete) return
      expect(through.status).toBe(direct.status)
      expect(shown(through)).toEqual(shown(direct))
      expect(through.bodyBytes.equals(direct.bodyBytes)).toBe(true)
    },
  )

  /** An object of the kind that the endpoint's path names, made through Tallygate. */
  async function own({ api, path }: Endpoint): Promise<string> {
    const collection = path.slice(0, path.indexOf("/{id}"))
    const body = collection === "/responses" ? { model: "gpt-4o-mini", input: "Hi" } : {}
    const [name, value] = KEY_HEADER[api](key)
    const version: Record<string, string> = api === "anthropic" ? { "anthropic-version": "2023-06-01" } : {}
    const response = await fetch(app.url + AT_TALLYGATE[api] + collection, {
      method: "POST",
      headers: { [name]: value, "content-type": "application/json", ...version },
      body: JSON.stringify(body),
    })
    const made = (await response.json()) as { id?: string; name?: string }
    return made.id ?? made.name ?? ""
  }
})

describe("streams", () => {
  const streamOf = (api: Api, name: string, more: object): DoorRequest => {
    const endpoint = ENDPOINTS.find((candidate) => candidate.api === api && candidate.name === name)
    if (endpoint === undefined) throw new Error(`no endpoint ${name}`)
    const request = requestFor(endpoint, "")
    const body = Buffer.from(JSON.stringify({ ...JSON.parse(request.body?.toString() ?? "{}"), ...more }))
    return { ...request, body }
  }

  test.each([
    ["openai", "responses", { stream: true }, ""],
    ["openai", "chat.completions", { stream: true, stream_options: { include_usage: true } }, ""],
    ["anthropic", "messages", { stream: true }, "?beta=true"],
    ["google", "stream_generate_content", {}, "?alt=sse"],
    ["google", "stream_generate_content", {}, ""],
  ] as const)("of %s %s %o are the same bytes (query %s)", async (api, name, more, query) => {
    const seen = await both(streamOf(api, name, more), query)
    expectSameRequest(seen)
    expect(seen.asked.through.body.equals(seen.asked.direct.body)).toBe(true)
    expect(shown(seen.through)).toEqual(shown(seen.direct))
    const plain = (answer: RawResponse) => answer.bodyBytes.toString("latin1").replace(/fake\d{6}/g, "")
    expect(plain(seen.through)).toBe(plain(seen.direct))
  })

  test("of chat that do not ask for usage differ in the one option and the one event", async () => {
    const seen = await both(streamOf("openai", "chat.completions", { stream: true }))
    const { stream_options: options, ...rest } = seen.asked.through.json
    expect(options).toEqual({ include_usage: true })
    expect(rest).toEqual(seen.asked.direct.json)
    const events = (answer: RawResponse) => answer.bodyBytes.toString().split("\n\n")
    const hidden = events(seen.direct).filter((event) => !events(seen.through).includes(event))
    expect(hidden).toHaveLength(1)
    expect(hidden[0]).toContain('"choices":[],"usage"')
  })
})
