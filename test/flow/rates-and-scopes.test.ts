/** Rates of any period, and whom and which calls a limit counts, through the whole proxy. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { openAiConfig, startTestApp, type TestApp } from "../support/test-app.ts"

let upstream: FakeUpstream
let app: TestApp
let organizationId: string
let made = 0

beforeAll(async () => {
  upstream = await startFakeUpstream()
  app = await startTestApp(openAiConfig(upstream.baseUrl))
  organizationId = String((await app.admin("GET", "/admin/v1/organizations")).body.data[0]?.id)
})
beforeEach(() => upstream.reset())
afterAll(async () => {
  await app?.close()
  await upstream?.stop()
})

const project = async () => (await app.admin("POST", "/admin/v1/projects", { name: `project ${++made}` })).body.id

async function limit(scope: object, wanted: object = {}): Promise<{ id: string; scope: object }> {
  const asked = { scope, kind: "requests", window: "day", cap: 1, ...wanted }
  const { status, body } = await app.admin("POST", "/admin/v1/limits", asked)
  if (status !== 201) throw new Error(`making a limit answered ${status}: ${JSON.stringify(body)}`)
  return body as unknown as { id: string; scope: object }
}

type Said = { user?: string; model?: string; tool?: string; path?: string }

async function call({ key }: { key: string }, { user, model = "gpt-4o-mini", tool, path }: Said = {}) {
  const response = await fetch(`${app.url}${path ?? "/v1/chat/completions"}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      ...(tool === undefined ? {} : { "x-tallygate-tool": tool }),
    },
    body: JSON.stringify({ model, user, max_tokens: 16, messages: [{ role: "user", content: "hi" }], input: "hi" }),
  })
  const answer = (await response.json()) as { error?: { message: string; code: string } }
  return { status: response.status, message: answer.error?.message ?? "", headers: response.headers }
}

const statuses = async (calls: readonly (() => ReturnType<typeof call>)[]) => {
  const seen: number[] = []
  for (const one of calls) seen.push((await one()).status)
  return seen
}

describe("a rate", () => {
  test.each([
    ["hour", "request limit per hour", 3_600_000],
    ["per_day", "request limit per 24 hours", 86_400_000],
  ] as const)("per %s refuses beyond its cap and says when there is room", async (window, name, periodMs) => {
    const key = await app.createKey()
    const { id } = await limit({ key_id: key.id }, { window, cap: 2 })
    const first = await call(key)
    expect(first.status).toBe(200)
    expect(first.headers.get("x-ratelimit-limit-requests")).toBe("2")
    expect(first.headers.get("x-ratelimit-remaining-requests")).toBe("1")
    expect((await call(key)).status).toBe(200)
    const refused = await call(key)
    expect(refused).toMatchObject({
      status: 429,
      message: expect.stringContaining(`${name} of key ${key.id} (limit ${id})`),
    })
    // Half a period after the first call, less what has passed since.
    const waitMs = Number(refused.headers.get("retry-after-ms"))
    expect(waitMs).toBeLessThanOrEqual(periodMs / 2)
    expect(waitMs).toBeGreaterThan(periodMs / 2 - 60_000)
    expect(refused.headers.get("retry-after")).toBe(String(Math.ceil(waitMs / 1000)))
    expect(refused.headers.get("x-should-retry")).toBeNull()
  })

  test("per second has room again when its wait is over, and not before the caller was told", async () => {
    const key = await app.createKey()
    await limit({ key_id: key.id }, { window: "second", cap: 1 })
    const answers = await Promise.all(Array.from({ length: 10 }, () => call(key)))
    const refused = answers.find(({ status }) => status === 429)
    expect(refused?.message).toContain("request limit per second")
    expect(Number(refused?.headers.get("retry-after-ms"))).toBeLessThanOrEqual(1_000)
    await new Promise((resolve) => setTimeout(resolve, Number(refused?.headers.get("retry-after-ms"))))
    expect((await call(key)).status).toBe(200)
  })

  test("of tokens holds what is likely and is corrected by what was used", async () => {
    const key = await app.createKey()
    await limit({ key_id: key.id }, { kind: "tokens", window: "hour", cap: 1_000 })
    // 300 tokens in and 200 out are used, a fraction of it is likely.
    expect((await call(key, { model: "gpt-4o-mini-p300-o200" })).status).toBe(200)
    const second = await call(key, { model: "gpt-4o-mini-p300-o200" })
    expect(second.status).toBe(200)
    const third = await call(key, { model: "gpt-4o-mini-p300-o200" })
    expect(third).toMatchObject({ status: 429, message: expect.stringContaining("token limit per hour") })
  })
})

describe("a limit for each end-customer", () => {
  test("meets a never-seen one at its first calls: of 64 at once, its cap goes through", async () => {
    const project_id = await project()
    const key = await app.createKey({ project_id })
    const { scope } = await limit({ project_id, each: "end_customer" }, { cap: 10 })
    expect(scope).toEqual({ project_id, each: "end_customer" })
    const firstCalls = (user: string) => Promise.all(Array.from({ length: 32 }, () => call(key, { user })))
    // Names with a blank and a per cent sign are counted apart from what they would be written as.
    const both = await Promise.all([firstCalls("Ada L. 100%"), firstCalls("Ada%20L. 100%")])
    expect(both.map((answers) => answers.filter(({ status }) => status === 200).length)).toEqual([10, 10])
    expect(both[0]?.find(({ status }) => status === 429)?.message).toContain(`project ${project_id} for Ada`)
  })

  test("counts the calls that name nobody together, over all keys of the organization", async () => {
    const project_id = await project()
    const keys = [await app.createKey({ project_id }), await app.createKey({ project_id })] as const
    await limit({ project_id, each: "end_customer" }, { cap: 2 })
    expect(await statuses([() => call(keys[0]), () => call(keys[1]), () => call(keys[0])])).toEqual([200, 200, 429])
    expect((await call(keys[0], { user: "somebody" })).status).toBe(200)
  })

  test("a key that was never used meets the cap that each key of the organization has", async () => {
    await limit({ organization_id: organizationId, each: "key", tool: "first-calls" }, { cap: 3 })
    const key = await app.createKey()
    const answers = await Promise.all(Array.from({ length: 40 }, () => call(key, { tool: "first-calls" })))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(3)
  })
})

describe("a limit on the calls of one kind", () => {
  test("of a model counts those that go there, by whichever name they ask for it", async () => {
    const key = await app.createKey()
    const { scope } = await limit({ key_id: key.id, model: "gpt-4o-*" }, { cap: 2 })
    expect(scope).toEqual({ key_id: key.id, model: "gpt-4o-*" })
    const to = (model: string) => () => call(key, { model })
    // `fast` goes to gpt-4o-mini.
    expect(await statuses([to("gpt-4o-mini"), to("fast"), to("fast"), to("gpt-4o-mini")])).toEqual([200, 200, 429, 429])
    expect((await call(key, { model: "gpt-4.1-mini" })).status).toBe(200)
  })

  test("of an endpoint counts that endpoint's calls alone", async () => {
    const key = await app.createKey()
    await limit({ key_id: key.id, endpoint: "chat.completions" })
    // The provider has no such endpoint, which its own 404 says: the call went there.
    const other = () => call(key, { path: "/v1/responses" })
    expect(await statuses([() => call(key), other, () => call(key), other])).toEqual([200, 404, 429, 404])
  })

  test("of a tool stands on keys and provider accounts as well", async () => {
    const key = await app.createKey()
    await limit({ provider_account: "openai/default", tool: "crawler" })
    await limit({ key_id: key.id, tool: "indexer" })
    const by = (tool: string) => () => call(key, { tool })
    expect(await statuses([by("crawler"), by("crawler"), by("indexer"), by("indexer"), by("other")])).toEqual([
      200, 429, 200, 429, 200,
    ])
  })
})
