import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { rawRequest } from "../support/http-client.ts"
import { openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

let upstream: FakeUpstream
let app: TestApp
let key: string

beforeAll(async () => {
  upstream = await startFakeUpstream()
  app = await startTestApp(openAiConfig(upstream.baseUrl, "body_bytes_max: 4096"))
  key = (await app.createKey()).key
})
beforeEach(() => upstream.reset())
afterAll(async () => {
  await app?.close()
  await upstream?.stop()
})

const CHAT = "/v1/chat/completions"

function body(model = "gpt-4o-mini", more: object = {}): string {
  return JSON.stringify({ model, messages: [{ role: "user", content: "hi" }], ...more })
}

async function post(bearer: string | null, text: string, path = CHAT) {
  const headers = {
    "content-type": "application/json",
    ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
  }
  const response = await fetch(app.url + path, { method: "POST", headers, body: text })
  const { error } = (await response.json()) as { error: { code: string; type: string; message: string } }
  return { status: response.status, headers: response.headers, error }
}

/** The records of one key, as soon as there are `count` of them. */
function recordsOf(keyId: string, count: number) {
  return until(async () => {
    const { data } = (await app.admin("GET", `/admin/v1/usage/records?limit=1000&key=${keyId}`)).body
    return data.length >= count ? data : undefined
  })
}

describe("who may not call is told why, and nothing is forwarded", () => {
  test("no key", async () => {
    const { status, error, headers } = await post(null, body())
    expect({ status, code: error.code, type: error.type }).toEqual({
      status: 401,
      code: "invalid_api_key",
      type: "invalid_request_error",
    })
    expect(headers.get("www-authenticate")).toContain("Bearer")
    expect(headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/)
  })
  test("a key with a typo", async () => {
    const last = key.endsWith("a") ? "b" : "a"
    expect((await post(key.slice(0, -1) + last, body())).error.message).toContain("checksum")
  })
  test("a provider's key", async () =>
    expect((await post("sk-proj-abc", body())).error.message).toContain("provider's key"))
  test("an admin key", async () =>
    expect((await post(`tga_${"x".repeat(38)}`, body())).error.message).toContain("admin key"))
  test("a well-formed key that nobody issued", async () => {
    const { mintVirtualKey } = await import("../../src/identity/secret.ts")
    expect(await post(mintVirtualKey("key_abcdefghijkl"), body())).toMatchObject({
      status: 401,
      error: { code: "invalid_api_key" },
    })
  })
  test("a key revoked, at once", async () => {
    const made = await app.createKey()
    expect((await post(made.key, body())).status).toBe(200)
    await app.admin("POST", `/admin/v1/keys/${made.id}/revoke`)
    expect(await post(made.key, body())).toMatchObject({
      status: 401,
      error: { message: expect.stringContaining("revoked") },
    })
  })
  test("a key expired", async () => {
    const made = await app.createKey({ expires_at: "2020-01-01T00:00:00Z" })
    expect(await post(made.key, body())).toMatchObject({
      status: 401,
      error: { message: expect.stringContaining("expired at 2020-01-01") },
    })
  })
  test.each(["' OR 1=1 --", "tg_\u00ff", "x".repeat(8000), 'tg_"; DROP TABLE users; --'])(
    "hostile credentials are a 401",
    async (text) => {
      const answer = await rawRequest({
        port: app.port,
        method: "POST",
        path: CHAT,
        headers: ["authorization", `Bearer ${text}`, "content-length", "2"],
        body: Buffer.from("{}"),
      })
      expect(answer.status).toBe(401)
    },
  )
})

describe("what cannot be forwarded is refused in OpenAI's shape", () => {
  test("bad JSON", async () =>
    expect(await post(key, "{")).toMatchObject({ status: 400, error: { code: "invalid_json" } }))
  test("a route that nobody can meter, with how to allow it", async () => {
    expect(await post(key, body(), "/v1/fine_tuning/jobs")).toMatchObject({
      status: 403,
      error: { code: "route_not_metered", message: expect.stringContaining("unmetered: allow") },
    })
  })
  test("no route at all, with the doors there are", async () => {
    expect(await post(key, body(), "/v1/chat/completions/")).toMatchObject({
      status: 404,
      error: { code: "route_not_found", message: expect.stringContaining("/chat/completions") },
    })
  })
  test.each([
    "/v1//chat/completions",
    "/v1/chat/completions/",
    "/v1/%63hat/completions",
    "/v1/../v1/chat/completions",
    "/v1/chat/completions;x",
  ])("%s is no door", async (path) => {
    const answer = await rawRequest({
      port: app.port,
      method: "POST",
      path,
      headers: { authorization: `Bearer ${key}` },
      body: body(),
    })
    expect(answer.status).toBe(404)
    expect(upstream.requests).toHaveLength(0)
  })
  test("a wrong method", async () => {
    const response = await fetch(app.url + CHAT, { headers: { authorization: `Bearer ${key}` } })
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"])
  })
  test("a body that says it is too large, and one that does not say", async () => {
    expect(await post(key, body("gpt-4o", { pad: "x".repeat(5000) }))).toMatchObject({
      status: 413,
      error: { code: "request_too_large" },
    })
    const answer = await fetch(app.url + CHAT, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: new Blob(["x".repeat(8192)]).stream(),
      duplex: "half",
    })
    expect(answer.status).toBe(413)
    expect(upstream.requests).toHaveLength(0)
  })
  test("a compressed body", async () => {
    const answer = await rawRequest({
      port: app.port,
      method: "POST",
      path: CHAT,
      headers: { authorization: `Bearer ${key}`, "content-encoding": "gzip" },
      body: "xx",
    })
    expect(answer.status).toBe(415)
  })
  test("a model without a price, on a key with a money budget", async () => {
    const made = await app.createKey({ limits: [{ kind: "usd", window: "day", cap: "1" }] })
    expect(await post(made.key, body("nobody-knows-this"))).toMatchObject({
      status: 403,
      error: { code: "model_not_priced" },
    })
    expect(upstream.requests).toHaveLength(0)
  })
  test("the same model on a key without one is forwarded, and its record is unpriced, not free", async () => {
    const response = await fetch(app.url + CHAT, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: body("nobody-knows-this"),
    })
    await response.text()
    expect(await app.record(response.headers.get("x-request-id") ?? "")).toMatchObject({
      price_state: "unpriced",
      cost_usd: null,
    })
  })
})

describe("limits refuse with all that a caller needs", () => {
  test("requests per minute: 429 with when to come back, and OpenAI's headers on every answer", async () => {
    const made = await app.createKey({ limits: [{ kind: "requests", window: "minute", cap: 2 }] })
    const first = await fetch(app.url + CHAT, {
      method: "POST",
      headers: { authorization: `Bearer ${made.key}` },
      body: body(),
    })
    expect(first.headers.get("x-ratelimit-limit-requests")).toBe("2")
    expect(first.headers.get("x-ratelimit-remaining-requests")).toBe("1")
    expect(first.headers.get("x-ratelimit-reset-requests")).toMatch(/s$/)
    await first.text()
    await post(made.key, body())
    const third = await post(made.key, body())
    expect(third).toMatchObject({ status: 429, error: { code: "rate_limit_exceeded", type: "requests" } })
    expect(Number(third.headers.get("retry-after"))).toBeGreaterThan(0)
    expect(third.headers.get("x-should-retry")).toBeNull()
  })

  test("a budget: 429 insufficient_quota that no client retries, and that names limit, use, cap and reset", async () => {
    const made = await app.createKey({ limits: [{ kind: "tokens", window: "day", cap: 10 }] })
    const refused = await post(made.key, body("gpt-4o-mini", { max_tokens: 100 }))
    expect(refused).toMatchObject({ status: 429, error: { code: "insufficient_quota", type: "insufficient_quota" } })
    expect(refused.headers.get("x-should-retry")).toBe("false")
    expect(refused.headers.get("retry-after")).toBeNull()
    expect(refused.error.message).toContain("daily token limit")
    expect(refused.error.message).toContain(made.id)
    expect(upstream.requests).toHaveLength(0)
  })

  test("a hundred concurrent calls against a budget for ten: ten go through, and all of it is used", async () => {
    // Each call uses exactly what it holds: a token for each byte of its body, and max_tokens.
    const bytes = Buffer.byteLength(body("gpt-4o-mini-p100-o60", { max_tokens: 60 }))
    const text = body(`gpt-4o-mini-p${bytes}-o60`, { max_tokens: 60 })
    const each = bytes + 60
    const made = await app.createKey({ limits: [{ kind: "tokens", window: "day", cap: each * 10 }] })
    const answers = await Promise.all(Array.from({ length: 100 }, () => post(made.key, text)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(90)
    expect(upstream.served().answered).toBe(10)
    const records = await recordsOf(made.id, 10)
    expect(records.map((record) => record.input_uncached_tokens + record.output_tokens)).toEqual(Array(10).fill(each))
  })

  test("a hundred concurrent calls against a dollar budget never cost more than the budget", async () => {
    const made = await app.createKey({ limits: [{ kind: "usd", window: "month", cap: "0.001" }] })
    const text = body("fast", { max_tokens: 16 })
    const answers = await Promise.all(Array.from({ length: 100 }, () => post(made.key, text)))
    const passed = answers.filter(({ status }) => status === 200).length
    expect(passed).toBeGreaterThanOrEqual(10)
    expect(passed).toBeLessThan(100)
    const records = await recordsOf(made.id, passed)
    const picos = records.reduce((sum, { cost_usd: cost }) => sum + BigInt(`${cost?.slice(2).padEnd(12, "0")}`), 0n)
    expect(picos).toBeLessThanOrEqual(1_000_000_000n)
    expect(answers.find(({ status }) => status === 429)?.error.message).toContain("monthly budget of key")
  })

  test("concurrency is given back when the call ends, and also when the caller leaves", async () => {
    const made = await app.createKey({ limits: [{ kind: "concurrency", window: "none", cap: 1 }] })
    const running = fetch(app.url + CHAT, {
      method: "POST",
      headers: { authorization: `Bearer ${made.key}` },
      body: body("gpt-4o-mini-c20-d20", { stream: true }),
    })
    await upstream.waitForRequest(1)
    expect(await post(made.key, body())).toMatchObject({ status: 429, error: { code: "rate_limit_exceeded" } })
    const ran = await running
    await ran.text()
    expect(ran.status).toBe(200)
    const left = await rawRequest({
      port: app.port,
      method: "POST",
      path: CHAT,
      headers: { authorization: `Bearer ${made.key}` },
      body: body("gpt-4o-mini-c10-d10", { stream: true }),
      abortAfterBytes: 1,
    })
    expect(left.end).toBe("aborted")
    await recordsOf(made.id, 2)
    expect((await post(made.key, body())).status).toBe(200)
  })
})

test("no secret, prompt or answer is ever logged", async () => {
  const text = body("gpt-4o-mini", { messages: [{ role: "user", content: "prompt-canary-7431" }] })
  await post(key, text)
  await post(key, body("gpt-4o-mini-f500"))
  await post("tg_canary-9917", text)
  const log = app.logged.join("")
  for (const secret of [
    key,
    "prompt-canary-7431",
    "sk-upstream-canary",
    "tg_canary-9917",
    "admin-key-of-the-tests",
    "plausible",
  ]) {
    expect(log).not.toContain(secret)
  }
})
