/** What each listener serves, on real sockets. */
import { once } from "node:events"
import { type AddressInfo, createServer } from "node:net"
import { afterEach, beforeAll, describe, expect, test } from "vitest"
import { freePort } from "../../src/app/free-port.ts"
import { servesOf } from "../../src/app/listeners.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { ADMIN_KEY, openAiConfig, startTestApp, type TestApp } from "../support/test-app.ts"

let upstream: FakeUpstream
const closing: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  upstream = await startFakeUpstream()
  return () => upstream.stop()
})
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function start(more: string): Promise<TestApp> {
  const app = await startTestApp(openAiConfig(upstream.baseUrl, more))
  closing.push(() => app.close())
  return app
}

/** Asks with the admin key, or with the virtual key where the data plane is asked; redirects are answers too. */
async function statusOf(base: string, path: string, key: string): Promise<number> {
  const credential = path.startsWith("/v1") ? key : ADMIN_KEY
  const headers = { authorization: `Bearer ${credential}` }
  const response = await fetch(base + path, { headers, redirect: "manual" })
  await response.text()
  return response.status
}

const OWN = "listeners: { admin: { port: 0 }, metrics: { port: 0 } }"
const PATHS = [
  "/healthz",
  "/readyz",
  "/v1/models",
  "/admin/v1/keys",
  "/%61dmin/v1/keys",
  "/openapi.json",
  "/metrics",
  "/%6detrics",
  "/metrics/",
  "/nowhere",
]

describe("a path is served by its listener and by no other", () => {
  test("one listener serves everything", async () => {
    const app = await start("")
    expect([app.app.adminUrl, app.app.metricsUrl]).toEqual([null, null])
    const { key } = await app.createKey()
    const statuses = await Promise.all(PATHS.map((path) => statusOf(app.url, path, key)))
    expect(statuses).toEqual([200, 200, 200, 200, 200, 200, 200, 200, 404, 404])
  })

  test("with listeners of their own, the control plane and the metrics are nowhere else", async () => {
    const app = await start(OWN)
    const { key } = await app.createKey()
    const bases = { main: app.url, admin: app.app.adminUrl ?? "", metrics: app.app.metricsUrl ?? "" }
    const matrix: Record<string, number[]> = {}
    for (const path of PATHS) {
      matrix[path] = await Promise.all(Object.values(bases).map((base) => statusOf(base, path, key)))
    }
    expect(matrix).toEqual({
      "/healthz": [200, 200, 200],
      "/readyz": [200, 200, 200],
      "/v1/models": [200, 404, 404],
      "/admin/v1/keys": [404, 200, 404],
      "/%61dmin/v1/keys": [404, 200, 404],
      "/openapi.json": [404, 200, 404],
      "/metrics": [404, 404, 200],
      "/%6detrics": [404, 404, 200],
      "/metrics/": [404, 404, 404],
      "/nowhere": [404, 404, 404],
    })
    const refused = await fetch(`${bases.main}/admin/v1/keys`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })
    expect(await refused.json()).toMatchObject({
      error: { code: "route_not_found", message: "There is no GET /admin/v1/keys on this listener." },
    })
  })

  test("one alone may have its own", async () => {
    const app = await start("listeners: { metrics: { port: 0 } }")
    expect(app.app.adminUrl).toBeNull()
    expect(await statusOf(app.url, "/admin/v1/keys", "")).toBe(200)
    expect(await statusOf(app.url, "/metrics", "")).toBe(404)
    expect(await statusOf(app.app.metricsUrl ?? "", "/metrics", "")).toBe(200)
  })
})

describe("what is open without a key", () => {
  test("metrics are for this machine alone, or for those that reach the listener made for them", () => {
    const at = (host: string) => ({ host, port: 1 })
    const metrics = (listen: { host: string; port: number }, listeners = {}) =>
      servesOf("listen", { listen, listeners }).metrics
    for (const host of ["127.0.0.1", "127.0.0.53", "localhost", "::1"]) expect(metrics(at(host)), host).toBe("open")
    for (const host of ["0.0.0.0", "::", "10.0.0.1", "tallygate.internal", "128.127.0.1"]) {
      expect(metrics(at(host)), host).toBe("with an admin key")
    }
    const listeners = { metrics: at("0.0.0.0"), admin: at("0.0.0.0") }
    expect(metrics(at("127.0.0.1"), listeners)).toBe("no")
    const config = { listen: at("127.0.0.1"), listeners }
    expect(servesOf("listeners.metrics", config)).toEqual({ control: false, ownKeys: false, metrics: "open" })
    expect(servesOf("listeners.admin", config)).toEqual({ control: true, ownKeys: true, metrics: "no" })
  })

  test("elsewhere they take an admin key", async () => {
    // 127.0.0.1 in another spelling, which is taken for the address of a network.
    const app = await start('listen: { host: "2130706433" }')
    const ask = async (headers: Record<string, string>) => (await fetch(`${app.url}/metrics`, { headers })).status
    expect(await ask({})).toBe(401)
    expect(await ask({ authorization: "Bearer wrong" })).toBe(401)
    expect(await ask({ authorization: `Bearer ${ADMIN_KEY}` })).toBe(200)
    expect((await fetch(`${app.url}/admin/v1/keys`)).status).toBe(401)
    expect((await fetch(`${app.url}/healthz`)).status).toBe(200)
  })

  test("no header makes a caller local or its connection safe", async () => {
    const app = await start('listen: { host: "2130706433" }')
    const headers = {
      "x-forwarded-for": "127.0.0.1",
      "x-real-ip": "127.0.0.1",
      forwarded: "for=127.0.0.1;proto=https",
      "x-forwarded-proto": "https",
      host: "localhost",
    }
    expect((await fetch(`${app.url}/metrics`, { headers })).status).toBe(401)
  })
})

describe("a listener that cannot be opened ends the start with a sentence that names it", () => {
  test.each([
    ["listeners.admin", "listeners: { admin: { port: %d } }"],
    ["listeners.metrics", "listeners: { metrics: { port: %d } }"],
  ])("%s on a port that is taken", async (name, yaml) => {
    const taken = createServer().listen(0, "127.0.0.1")
    await once(taken, "listening")
    closing.push(async () => taken.close())
    const { port } = taken.address() as AddressInfo
    await expect(start(yaml.replace("%d", String(port)))).rejects.toThrow(
      `port ${port} on 127.0.0.1 (${name}) is taken. Stop what listens there, or set ${name}.port.`,
    )
  })

  test("those that were open already are closed again", async () => {
    const taken = createServer().listen(0, "127.0.0.1")
    await once(taken, "listening")
    closing.push(async () => taken.close())
    const { port } = taken.address() as AddressInfo
    const metrics = await freePort()
    const yaml = `listeners: { admin: { port: ${port} }, metrics: { port: ${metrics} } }`
    await expect(start(yaml)).rejects.toThrow("(listeners.admin) is taken")
    await expect(fetch(`http://127.0.0.1:${metrics}/healthz`)).rejects.toThrow()
  })

  test("an address that this machine does not have", async () => {
    await expect(start("listeners: { admin: { host: 192.0.2.1, port: 0 } }")).rejects.toThrow(
      "192.0.2.1 (listeners.admin) is no address of this machine. Set listeners.admin.host.",
    )
  })
})

test("a stop drains the main listener first: health and metrics answer until its calls are over", async () => {
  const app = await start(OWN)
  const { key } = await app.createKey()
  const { adminUrl, metricsUrl } = app.app
  upstream.reset()
  const call = fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: "gpt-4o-mini-c30-d20", stream: true, messages: [{ role: "user", content: "hi" }] }),
  })
  const response = await call
  const closed = app.app.close()
  for (const base of [adminUrl, metricsUrl]) {
    const ready = await fetch(`${base}/readyz`)
    expect([ready.status, await ready.json()]).toEqual([503, expect.objectContaining({ status: "not ready" })])
  }
  expect(await (await fetch(`${metricsUrl}/metrics`)).text()).toContain("tallygate_active_requests 1")
  expect((await response.text()).trimEnd().endsWith("data: [DONE]")).toBe(true)
  expect(await closed).toBe(true)
  for (const base of [app.url, adminUrl, metricsUrl]) await expect(fetch(`${base}/healthz`)).rejects.toThrow()
})
