/** Generated from the table of endpoints: no route reaches a provider without identity and admission. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import type { Api } from "../../src/providers/dialect.ts"
import { ENDPOINTS, type Endpoint, unmetered } from "../../src/providers/endpoint.ts"
import { AT_TALLYGATE, pathUnder, requestFor } from "../support/door-requests.ts"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"

let provider: FakeProvider
let app: TestApp
/** Refused by its limit of no requests at all. */
let exhausted: string
let good: string

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(threeApis(provider, "unmetered: allow\nprovider_objects: { adopt_unknown: true }"))
  const limits = [{ kind: "requests", window: "month", cap: 0 }]
  exhausted = (await app.createKey({ limits })).key
  good = (await app.createKey()).key
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

const RAW: Readonly<Record<Api, string>> = { openai: "/openai/v1", anthropic: "/claude/v1", google: "/gemini/v1beta" }
/** Whatever else there is at a provider, known to nobody here. */
const UNKNOWN: readonly Endpoint[] = (["openai", "anthropic", "google"] as const).map((api) => ({
  ...unmetered(api),
  method: "POST",
  path: "/something/new",
}))
const ROUTES = [...ENDPOINTS, ...UNKNOWN].flatMap((endpoint) =>
  [AT_TALLYGATE, RAW].map((places) => {
    const at = (path: string) => pathAt(places[endpoint.api], path)
    return { name: `${endpoint.method} ${at(endpoint.path)} (${endpoint.api})`, endpoint, at }
  }),
)

/** At one provider its uploads stand behind its name. */
function pathAt(place: string, path: string): string {
  const [, name = "", version = ""] = place.split("/")
  return path.startsWith("/upload/") && version !== ""
    ? `/${name}${pathUnder(`/${version}`, path)}`
    : pathUnder(place, path)
}

async function call({ endpoint, at }: (typeof ROUTES)[number], key: string | null) {
  const request = requestFor(endpoint, "files/file-of-nobody")
  const headers: Record<string, string> = key === null ? {} : { "x-tallygate-key": key }
  if (endpoint.api === "anthropic") headers["anthropic-version"] = "2023-06-01"
  if (request.contentType !== "") headers["content-type"] = request.contentType
  const path = at(request.path.replace("files/file-of-nobody", "file-of-nobody"))
  const response = await fetch(app.url + path, {
    method: request.method,
    headers,
    ...(request.body === null ? {} : { body: request.body }),
  })
  return { status: response.status, body: await response.json().catch(() => null) }
}

/** How each API's SDK knows an error. */
function shapeOf(api: Api, status: 401 | 429): object {
  switch (api) {
    case "openai":
      return { error: { code: status === 401 ? "invalid_api_key" : "insufficient_quota" } }
    case "anthropic":
      return { type: "error", error: { type: status === 401 ? "authentication_error" : "rate_limit_error" } }
    case "google":
      return { error: { code: status, status: status === 401 ? "UNAUTHENTICATED" : "RESOURCE_EXHAUSTED" } }
  }
}

test("the table is not empty, and holds every API", () => {
  expect(ROUTES.length).toBeGreaterThan(150)
  expect(new Set(ROUTES.map(({ endpoint }) => endpoint.api)).size).toBe(3)
})

describe.each(ROUTES)("$name", (route) => {
  test("reaches a provider by nobody without a key, nor by a key without room", async () => {
    const { api } = route.endpoint
    for (const key of [null, "tg_nobody", `${good.slice(0, -1)}${good.endsWith("a") ? "b" : "a"}`]) {
      expect(await call(route, key)).toMatchObject({ status: 401, body: shapeOf(api, 401) })
    }
    expect(await call(route, exhausted)).toMatchObject({ status: 429, body: shapeOf(api, 429) })
    expect(provider.requests).toEqual([])
    await call(route, good)
    expect(provider.requests.length).toBeGreaterThan(0)
  })
})
