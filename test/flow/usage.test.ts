import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { openAiConfig, startTestApp, type TestApp } from "../support/test-app.ts"

let upstream: FakeUpstream
let app: TestApp
let ids: string[]

beforeAll(async () => {
  upstream = await startFakeUpstream()
  app = await startTestApp(openAiConfig(upstream.baseUrl))
  const { key } = await app.createKey({ limits: [{ kind: "usd", window: "month", cap: "50" }] })
  ids = []
  for (const model of ["fast", "fast", "gpt-4o", "gpt-4.1-mini"]) {
    const response = await fetch(`${app.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify({ model, messages: [{ role: "user", content: "count me" }] }),
    })
    await response.text()
    ids.push(response.headers.get("x-request-id") ?? "")
  }
  await app.records(4)
})
afterAll(async () => {
  await app?.close()
  await upstream?.stop()
})

const DIMENSIONS = [
  "model",
  "provider",
  "provider_account",
  "project",
  "user",
  "key",
  "endpoint",
  "tool",
  "operation",
  "tier",
  "outcome",
  "usage_source",
]

describe("who spent what", () => {
  test.each(DIMENSIONS)("by %s, the rows add up to the totals and to the provider's own account", async (dimension) => {
    const { status, body } = await app.admin("GET", `/admin/v1/usage/summary?from=&until=&group_by=${dimension}`)
    expect(status).toBe(200)
    const rows = body.data as unknown as Record<string, number | string>[]
    expect(rows.every((row) => typeof row[dimension] === "string")).toBe(true)
    for (const column of ["records", "input_uncached_tokens", "output_tokens"]) {
      expect(rows.reduce((sum, row) => sum + Number(row[column]), 0)).toBe(Number(body.totals[column]))
    }
    const served = upstream.served()
    expect(body.totals).toMatchObject({
      records: "4",
      input_uncached_tokens: String(served.promptTokens),
      output_tokens: String(served.completionTokens),
    })
  })

  test("by two dimensions", async () => {
    const { body } = await app.admin("GET", "/admin/v1/usage/summary?group_by=provider,model")
    expect(body.data).toHaveLength(3)
    expect(body.data[0]).toMatchObject({ provider: "openai", model: "gpt-4o" })
  })

  test("the summary's cost is the sum of the records' costs, to the last decimal", async () => {
    const records = await app.records(4)
    const picos = (usd: unknown) => BigInt(String(usd).replace("0.", "").padEnd(12, "0"))
    const { body } = await app.admin("GET", "/admin/v1/usage/summary")
    expect(picos(body.totals.cost_usd)).toBe(records.reduce((sum, record) => sum + picos(record.cost_usd), 0n))
  })

  test("a record is found by the x-request-id of its answer, and no other is", async () => {
    const { body } = await app.admin("GET", `/admin/v1/usage/records?request_id=${ids[2]}`)
    expect(body.data.map((record) => [record.id, record.model_served])).toEqual([[ids[2], "gpt-4o"]])
    expect((await app.admin("GET", "/admin/v1/usage/records?request_id=nonsense")).body.data).toEqual([])
  })

  test("pages of records, newest first, leave none out", async () => {
    const first = (await app.admin("GET", "/admin/v1/usage/records?limit=3")).body
    const second = (await app.admin("GET", `/admin/v1/usage/records?limit=3&after=${first.next}`)).body
    expect([...first.data, ...second.data].map((record) => record.id)).toEqual([...ids].reverse())
    expect(second.next).toBeNull()
  })

  test.each([
    ["group_by=colour", "group_by"],
    ["group_by=model,key,user", "group_by"],
    ["from=yesterday", "from"],
    ["from=2026-02-01&until=2026-01-01", "from"],
    ["form=2026-01-01", "form"],
  ])("%s is a 400 that names the field", async (query, param) => {
    const { status, body } = await app.admin("GET", `/admin/v1/usage/summary?${query}`)
    expect([status, body.error.param]).toEqual([400, param])
  })
})
