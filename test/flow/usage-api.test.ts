import OpenAI from "openai"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { ADMIN_KEY, openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

type Row = Record<string, unknown>
type Answer = {
  status: number
  body: Record<string, unknown> & { data: Row[]; totals: Row; error: { param: string; message: string } }
}

let upstream: FakeUpstream
let app: TestApp
/** Two keys of one user, and one of nobody. */
let own: { id: string; key: string }
let second: { id: string; key: string }
let unbound: { id: string; key: string }

beforeAll(async () => {
  upstream = await startFakeUpstream()
  app = await startTestApp(openAiConfig(upstream.baseUrl))
  const project = (
    await app.admin("POST", "/admin/v1/projects", { name: "search", client: "Acme", cost_center: "4711" })
  ).body.id
  const user = (await app.admin("POST", "/admin/v1/users", { name: "Ada" })).body.id
  const limits = [
    { kind: "usd", window: "month", cap: "5" },
    { kind: "requests", window: "minute", cap: 1_000 },
    { kind: "requests", window: "day", cap: 3 },
  ]
  own = await app.createKey({ project_id: project, user_id: user, name: "=own", limits })
  second = await app.createKey({ project_id: project, user_id: user })
  unbound = await app.createKey()
  for (const { key } of [own, own, second, unbound]) expect(await call(key)).toBe(200)
  await app.records(4)
})
afterAll(async () => {
  await app?.close()
  await upstream?.stop()
})

async function call(key: string): Promise<number> {
  const response = await fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "fast", messages: [{ role: "user", content: "hi" }] }),
  })
  await response.text()
  return response.status
}

async function ask(key: string, route: string): Promise<Answer> {
  const response = await fetch(app.url + route, { headers: { authorization: `Bearer ${key}` } })
  return { status: response.status, body: (await response.json()) as Answer["body"] }
}

describe("an admin", () => {
  test("reads sums with names, over time, against the range before, and by token class", async () => {
    const { body } = await ask(ADMIN_KEY, "/admin/v1/usage/summary?range=today&group_by=project,key&compare=previous")
    const row = body.data.find(({ key }) => key === own.id)
    expect(row).toMatchObject({ project_name: "search", key_name: "=own", records: "2", previous: { records: "0" } })
    expect(body.range).toMatchObject({ time_zone: "UTC" })
    const series = await ask(ADMIN_KEY, "/admin/v1/usage/series?range=7d&bucket=day&group_by=model")
    const [only] = series.body.data
    expect((series.body.buckets as Row[]).length).toBe((series.body.series as Row[]).length)
    expect(((only?.series ?? []) as Row[]).map(({ records }) => records)).toEqual(
      (series.body.series as Row[]).map(({ records }) => records),
    )
    const classes = await ask(ADMIN_KEY, "/admin/v1/usage/summary?range=today&group_by=token_class")
    expect(classes.body.data.map(({ token_class: name }) => name)).toEqual(expect.arrayContaining(["input", "output"]))
  })
  test("is told why parts of a question do not go together", async () => {
    const refused = await ask(ADMIN_KEY, "/admin/v1/usage/summary?group_by=token_class,model")
    expect(refused).toMatchObject({ status: 400, body: { error: { param: "group_by" } } })
    expect(await ask(ADMIN_KEY, "/admin/v1/usage/summary?range=90d&tag=x")).toMatchObject({
      status: 400,
      body: { error: { param: "tag", message: expect.stringContaining("31 days") } },
    })
    expect(await ask(ADMIN_KEY, "/admin/v1/usage/export?format=pdf")).toMatchObject({
      status: 400,
      body: { error: { param: "format" } },
    })
    expect(await ask(ADMIN_KEY, "/admin/v1/usage/records/none")).toMatchObject({ status: 404 })
  })
  test.each(["summary", "series", "records"])(
    "exports the view of %s as CSV, JSON, NDJSON and XLSX, with the same rows",
    async (view) => {
      const route = `/admin/v1/usage/export?view=${view}&range=today${view === "records" ? "" : "&group_by=project,key"}`
      const file = (format: string) =>
        fetch(`${app.url}${route}&format=${format}`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })
      const csv = await file("csv")
      expect(csv.headers.get("content-disposition")).toMatch(new RegExp(`filename="tallygate-${view}-.*\\.csv"`))
      const text = await csv.text()
      expect(text).toContain("cost_center")
      expect(text).toContain("4711")
      // A name that a spreadsheet would take for a formula.
      expect(text).toContain("'=own")
      const lines = (await (await file("ndjson")).text())
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Row)
      const json = (await (await file("json")).json()) as Row[] | { rows: Row[] }
      const rows = Array.isArray(json) ? json : json.rows
      expect(rows.map((row) => ({ ...row, as_of: "" }))).toEqual(lines.map((row) => ({ ...row, as_of: "" })))
      expect(text.trimEnd().split("\r\n")).toHaveLength(lines.length + 1)
      const xlsx = new Uint8Array(await (await file("xlsx")).arrayBuffer())
      expect(String.fromCharCode(...xlsx.slice(0, 2))).toBe("PK")
    },
  )
})

describe("OpenAI's own SDK", () => {
  test("reads usage and costs with an admin key, and nothing with a virtual one", async () => {
    const options = { baseURL: `${app.url}/v1`, apiKey: ADMIN_KEY, adminAPIKey: ADMIN_KEY, maxRetries: 0 }
    const { usage } = new OpenAI(options).admin.organization
    const start_time = Math.floor(Date.now() / 1_000) - 86_400
    const completions = await usage.completions({ start_time, group_by: ["model", "api_key_id"] })
    expect(completions.object).toBe("page")
    const results = completions.data.flatMap((bucket) => bucket.results) as unknown as Row[]
    const ofOwn = results.filter(({ api_key_id: id }) => id === own.id)
    expect(ofOwn.map(({ num_model_requests: count }) => count)).toEqual([2])
    const costs = await usage.costs({ start_time })
    const total = costs.data.flatMap((bucket) => bucket.results as unknown as { amount: { value: number } }[])
    const { body } = await ask(ADMIN_KEY, "/admin/v1/usage/summary?range=7d")
    expect(total.reduce((sum, { amount }) => sum + amount.value, 0)).toBeCloseTo(Number(body.totals.cost_usd), 9)
    const asCaller = new OpenAI({ ...options, apiKey: own.key, adminAPIKey: own.key }).admin.organization.usage
    await expect(asCaller.completions({ start_time })).rejects.toMatchObject({ status: 401 })
  })
})

describe("a key holder", () => {
  test("sees the usage of the user's keys, and nothing of others", async () => {
    expect((await ask(own.key, "/v1/usage/summary?range=today")).body.totals.records).toBe("3")
    expect((await ask(unbound.key, "/v1/usage/summary?range=today")).body.totals.records).toBe("1")
    const { body } = await ask(own.key, "/v1/usage/records?range=today")
    expect(new Set(body.data.map(({ key_id: id }) => id))).toEqual(new Set([own.id, second.id]))
    const foreign = await app.records(4)
    const other = foreign.find(({ key_id: id }) => id === unbound.id)
    expect(await ask(own.key, `/v1/usage/records/${other?.id}`)).toMatchObject({ status: 404 })
    expect((await ask(own.key, `/v1/usage/summary?range=today&key=${unbound.id}`)).body.totals.records).toBe("0")
    expect((await ask(own.key, "/v1/usage/series?range=today")).status).toBe(200)
    expect(
      (await fetch(`${app.url}/v1/usage/export?range=today`, { headers: { authorization: `Bearer ${own.key}` } }))
        .status,
    ).toBe(200)
    expect((await ask(own.key, "/admin/v1/usage/summary")).status).toBe(401)
    expect((await ask("tg_nobody", "/v1/usage/summary")).status).toBe(401)
  })
  test("sees where each limit stands and when it resets", async () => {
    const { status, body } = await ask(own.key, "/v1/key")
    expect(status).toBe(200)
    const limits = body.limits as Row[]
    expect(limits.map(({ kind, window, cap, used, remaining }) => [kind, window, cap, used, remaining])).toEqual([
      ["usd", "month", "5", limits[0]?.used, limits[0]?.remaining],
      ["requests", "minute", "1000", "0", "1000"],
      ["requests", "day", "3", "2", "1"],
    ])
    const nanos = (text: unknown) => Math.round(Number(text) * 1e9)
    expect(nanos(limits[0]?.used)).toBeGreaterThan(0)
    expect(nanos(limits[0]?.used) + nanos(limits[0]?.remaining)).toBe(5e9)
    expect(Date.parse(String(limits[2]?.resets_at))).toBeGreaterThan(Date.now())
  })
})

test("new records come over the stream as they reach the ledger, of one's own alone", async () => {
  const leave = new AbortController()
  const listen = async (key: string, route: string, into: Row[]) => {
    const response = await fetch(app.url + route, { headers: { authorization: `Bearer ${key}` }, signal: leave.signal })
    expect(response.headers.get("content-type")).toContain("text/event-stream")
    const decoder = new TextDecoder()
    let text = ""
    for await (const piece of response.body ?? []) {
      text += decoder.decode(piece, { stream: true })
      const events = text.split("\n\n")
      text = events.pop() ?? ""
      for (const event of events) {
        const data = /^data: (.*)$/m.exec(event)?.[1]
        if (data !== undefined) into.push(JSON.parse(data) as Row)
      }
    }
  }
  const [all, mine]: [Row[], Row[]] = [[], []]
  const gone = Promise.allSettled([
    listen(ADMIN_KEY, "/admin/v1/usage/stream", all),
    listen(unbound.key, "/v1/usage/stream", mine),
  ])
  await until(async () => {
    expect(await call(unbound.key)).toBe(200)
    await new Promise((resolve) => setTimeout(resolve, 300))
    return mine.length > 0 && all.length > 0 ? true : undefined
  })
  expect(await call(second.key)).toBe(200)
  await until(async () => (all.some(({ key_id: id }) => id === second.id) ? true : undefined))
  expect(mine.every(({ key_id: id }) => id === unbound.id)).toBe(true)
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length)
  leave.abort()
  await gone
})
