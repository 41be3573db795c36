/** Budgets and what limits do besides refusing, through the admin API and the data plane. */
import { Temporal } from "temporal-polyfill"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

type Json = Record<string, unknown>
type Shown = Json & { id: string; scope: Json; raised_cap: string | null; shadow_refusals: number | null }
type Spending = { limit_id: string; cap: string; used: string | null; remaining: string | null; hard: boolean }
type Budget = Json & { window: string; usd: Spending | null; tokens: Spending | null }

let upstream: FakeUpstream
let app: TestApp
let sql: Sql
let made = 0

beforeAll(async () => {
  upstream = await startFakeUpstream()
  app = await startTestApp(openAiConfig(upstream.baseUrl))
  sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
})
beforeEach(() => upstream.reset())
afterAll(async () => {
  await sql?.end()
  await app?.close()
  await upstream?.stop()
})

const project = async () => (await app.admin("POST", "/admin/v1/projects", { name: `project ${++made}` })).body.id
const user = async () => (await app.admin("POST", "/admin/v1/users", { name: `user ${++made}` })).body.id

async function ask<Answer>(method: string, route: string, body?: unknown): Promise<Answer> {
  const answer = await app.admin(method, route, body)
  if (answer.status >= 300)
    throw new Error(`${method} ${route} answered ${answer.status}: ${JSON.stringify(answer.body)}`)
  return answer.body as unknown as Answer
}

const limit = (scope: object, wanted: object = {}) =>
  ask<Shown>("POST", "/admin/v1/limits", { scope, kind: "requests", window: "day", cap: 1, ...wanted })
const shown = (id: string) => ask<Shown>("GET", `/admin/v1/limits/${id}`)

async function call({ key }: { key: string }, headers: Record<string, string> = {}) {
  const response = await fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}`, ...headers },
    body: JSON.stringify({ model: "gpt-4o-mini", messages: [{ role: "user", content: "hi" }] }),
  })
  const answer = (await response.json()) as { error?: { message: string } }
  const warning = response.headers.get("x-tallygate-warning")
  return { status: response.status, warning, message: answer.error?.message ?? "" }
}

const statuses = async (calls: (() => ReturnType<typeof call>)[]) => {
  const answered = []
  for (const one of calls) answered.push((await one()).status)
  return answered
}

/** What the ledger says a limit has settled, as soon as it is so much. */
async function settled(limitId: string, amount: string): Promise<string> {
  return until(async () => {
    const [row] = await sql<{ sum: string }[]>`
      SELECT coalesce(sum(settled), 0)::text AS sum FROM limit_usage WHERE limit_id = ${limitId}`
    return row?.sum === amount ? amount : undefined
  })
}

describe("what is not accepted", () => {
  test.each([
    [{ window: "week", anchor_day: 8 }, "anchor_day", /at most 7/],
    [{ window: "day", anchor_day: 2 }, "anchor_day", /week, month, quarter and year/],
    [{ window: "lifetime", time_zone: "Asia/Tokyo" }, "time_zone", /day, week, month/],
    [{ window: "fortnight" }, "window", /week/],
    [{ window: "rolling" }, "days", /how many days/],
    [{ window: "rolling", days: 32 }, "days", /31/],
    [{ window: "week", days: 7 }, "days", /rolling/],
    [{ enforcement: "gentle" }, "enforcement", /hard/],
    [{ thresholds: [80, 50] }, "thresholds", /larger than the one before/],
    [{ thresholds: [0.5] }, "thresholds.0", /int/],
  ])("%j is refused by name", async (wanted, param, message) => {
    const scope = { project_id: await project() }
    const body = { scope, kind: "requests", window: "day", cap: 1, ...wanted }
    const { status, body: answer } = await app.admin("POST", "/admin/v1/limits", body)
    expect([status, answer.error.param]).toEqual([400, param])
    expect(answer.error.message).toMatch(message)
  })

  test("each, tool and tag only where they apply", async () => {
    const key = await app.createKey()
    const refused = async (scope: object) => {
      const body = { scope, kind: "requests", window: "day", cap: 1 }
      const { status, body: answer } = await app.admin("POST", "/admin/v1/limits", body)
      return [status, answer.error.param]
    }
    const project_id = await project()
    expect(await refused({ key_id: key.id, each: "user" })).toEqual([400, "scope.each"])
    expect(await refused({ project_id, each: "organization" })).toEqual([400, "scope.each"])
    expect(await refused({ key_id: key.id, each: "end_customer" })).toEqual([400, "scope.each"])
    expect(await refused({ provider_account: "openai/default", each: "end_customer" })).toEqual([400, "scope.each"])
    expect(await refused({ key_id: key.id, tool: "cursor", model: "gpt-4o*" })).toEqual([400, "scope.model"])
    expect(await refused({ project_id, tool: "cursor", tag: "nightly" })).toEqual([400, "scope.tag"])
    expect(await refused({ project_id, tag: " " })).toEqual([400, "scope.tag"])
  })

  test("a raise that is not larger, has ended, or would last for years", async () => {
    const { id } = await limit({ project_id: await project() }, { cap: 10 })
    const raise = async (cap: unknown, inMs: number) => {
      const until = new Date(Date.now() + inMs).toISOString()
      const { status, body } = await app.admin("POST", `/admin/v1/limits/${id}/raises`, { cap, until })
      return [status, body.error?.param]
    }
    expect(await raise(10, 60_000)).toEqual([400, "cap"])
    expect(await raise("2.5", 60_000)).toEqual([400, "cap"])
    expect(await raise(11, -1_000)).toEqual([400, "until"])
    expect(await raise(11, 400 * 86_400_000)).toEqual([400, "until"])
    expect(await shown(id)).toMatchObject({ raised_cap: null, raised_until: null })
  })
})

describe("a limit that does not refuse", () => {
  test("soft: calls pass, the answer warns from the first threshold on, and the ledger counts all of them", async () => {
    const project_id = await project()
    const key = await app.createKey({ project_id })
    const { id } = await limit({ project_id }, { cap: 2, enforcement: "soft", thresholds: [100] })
    const answers = [await call(key), await call(key), await call(key)]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(answers.map(({ warning }) => warning)).toEqual([null, `${id}; used=2; cap=2`, `${id}; used=3; cap=2`])
    expect(await settled(id, "3")).toBe("3")
    await ask("PATCH", `/admin/v1/limits/${id}`, { enforcement: "hard" })
    expect((await call(key)).status).toBe(429)
  })

  test("shadow: calls pass unsaid, and how many it would have refused is shown on it and counted", async () => {
    const project_id = await project()
    const key = await app.createKey({ project_id })
    const { id } = await limit({ project_id }, { cap: 1, enforcement: "shadow" })
    const answers = [await call(key), await call(key), await call(key)]
    expect(answers.map(({ status, warning }) => [status, warning])).toEqual(Array(3).fill([200, null]))
    expect(await settled(id, "3")).toBe("3")
    expect(await until(async () => ((await shown(id)).shadow_refusals === 2 ? 2 : undefined))).toBe(2)
    const page = await (
      await fetch(`${app.url}/metrics`, { headers: { authorization: "Bearer admin-key-of-the-tests-0123456789" } })
    ).text()
    expect(page).toMatch(/^tallygate_shadow_refusals_total\{kind="requests"\} 2$/m)
    const own = await (await fetch(`${app.url}/v1/key`, { headers: { authorization: `Bearer ${key.key}` } })).json()
    expect((own as { limits: unknown[] }).limits).toEqual([])
  })
})

test("a raise lets calls pass at once, is shown and audited, and ends by itself", async () => {
  const project_id = await project()
  const key = await app.createKey({ project_id })
  const { id } = await limit({ project_id }, { cap: 1 })
  expect(await statuses([() => call(key), () => call(key)])).toEqual([200, 429])
  const inAnHour = new Date(Date.now() + 3_600_000).toISOString()
  const raised = await ask<Shown>("POST", `/admin/v1/limits/${id}/raises`, { cap: 3, until: inAnHour })
  expect(raised).toMatchObject({ cap: "1", raised_cap: "3", raised_until: inAnHour })
  expect(await statuses([() => call(key), () => call(key), () => call(key)])).toEqual([200, 200, 429])
  const own = await (await fetch(`${app.url}/v1/key`, { headers: { authorization: `Bearer ${key.key}` } })).json()
  expect(own).toMatchObject({ limits: [{ id, cap: "3" }] })
  const [audit] = await sql`SELECT action, after FROM audit_log WHERE subject = ${id} AND action = 'limit.raise'`
  expect(audit).toMatchObject({ action: "limit.raise", after: { raised_cap: "3" } })
  const soon = new Date(Date.now() + 300).toISOString()
  await ask("POST", `/admin/v1/limits/${id}/raises`, { cap: 100_000, until: soon })
  const refused = await until(async () => {
    const answer = await call(key)
    return answer.status === 429 ? answer : undefined
  })
  expect(refused.message).toContain("of 1 request.")
  expect(await shown(id)).toMatchObject({ cap: "1", raised_cap: null, raised_until: null })
})

test("a raise that is ended early is over at once, is audited, and cannot be ended twice", async () => {
  const project_id = await project()
  const key = await app.createKey({ project_id })
  const { id } = await limit({ project_id }, { cap: 1 })
  const inAnHour = new Date(Date.now() + 3_600_000).toISOString()
  await ask("POST", `/admin/v1/limits/${id}/raises`, { cap: 5, until: inAnHour })
  expect(await statuses([() => call(key), () => call(key)])).toEqual([200, 200])
  const ended = await ask<Shown>("DELETE", `/admin/v1/limits/${id}/raises`)
  expect(ended).toMatchObject({ id, cap: "1", raised_cap: null, raised_until: null })
  expect((await call(key)).status).toBe(429)
  const [audit] = await sql`SELECT before, after FROM audit_log WHERE subject = ${id} AND action = 'limit.raise_end'`
  expect(audit).toMatchObject({ before: { raised_cap: "5" }, after: { raised_cap: null, raised_until: null } })
  const again = await app.admin("DELETE", `/admin/v1/limits/${id}/raises`)
  expect([again.status, again.body.error.message]).toEqual([404, expect.stringContaining("no raise in force")])
  expect((await app.admin("DELETE", "/admin/v1/limits/lim_none/raises")).status).toBe(404)
})

describe("the windows of a limit", () => {
  type Window = Json & { id: string; counted: string | null; refusals: number; shadow_refusals: number }
  const windows = (id: string, query = "") =>
    ask<{ data: Window[]; next: string | null }>("GET", `/admin/v1/limits/${id}/windows${query}`)

  test("say what was used and refused, each of its own window and cap, newest first and page by page", async () => {
    const project_id = await project()
    const key = await app.createKey({ project_id })
    const { id } = await limit({ project_id }, { cap: 2, time_zone: "Asia/Tokyo" })
    expect(await windows(id)).toEqual({ data: [], next: null })
    expect(await statuses([() => call(key), () => call(key), () => call(key)])).toEqual([200, 200, 429])
    await settled(id, "2")
    const [today] = await until(async () => {
      const { data } = await windows(id)
      return data[0]?.refusals === 1 ? data : undefined
    })
    expect(today).toMatchObject({ counted: null, is_current: true, cap: "2", settled: "2", percent: 100 })
    const yesterday = Temporal.PlainDate.from(today?.id ?? "").subtract({ days: 1 })
    await sql`
      INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
      SELECT organization_id, limit_id, subject, ${yesterday.toString()}, 1 FROM limit_usage WHERE limit_id = ${id}`
    const first = await windows(id, "?limit=1")
    expect([first.data.map((window) => window.id), first.next]).toEqual([[today?.id], expect.any(String)])
    const second = await windows(id, `?limit=1&after=${encodeURIComponent(first.next ?? "")}`)
    expect(second.data).toEqual([
      {
        ...{
          id: yesterday.toString(),
          counted: null,
          is_current: false,
          settled: "1",
          refusals: 0,
          shadow_refusals: 0,
        },
        ...{ cap: "2", percent: 50 },
        from: yesterday.toZonedDateTime("Asia/Tokyo").toInstant().toString({ smallestUnit: "millisecond" }),
        until: today?.from,
      },
    ])
    const third = await windows(id, `?after=${encodeURIComponent(second.next ?? "")}`)
    expect(third).toEqual({ data: [], next: null })
  })

  test("of a limit for each are each one's own, and a shadow limit's say what it would have refused", async () => {
    const project_id = await project()
    const ada = await user()
    const [adas, nobodys] = [await app.createKey({ project_id, user_id: ada }), await app.createKey({ project_id })]
    const { id } = await limit({ project_id, each: "user" }, { cap: 1, window: "lifetime", enforcement: "shadow" })
    expect(await statuses([() => call(adas), () => call(adas), () => call(nobodys)])).toEqual([200, 200, 200])
    await settled(id, "3")
    const told = await until(async () => {
      const { data } = await windows(id)
      return data.some(({ shadow_refusals }) => shadow_refusals === 1) ? data : undefined
    })
    const lifetime = { id: "lifetime", from: null, until: null, is_current: true, cap: "1", refusals: 0 }
    expect(told.toSorted((one, other) => Number(other.counted === ada) - Number(one.counted === ada))).toEqual([
      { ...lifetime, counted: ada, settled: "2", percent: 200, shadow_refusals: 1 },
      { ...lifetime, counted: "nobody", settled: "1", percent: 100, shadow_refusals: 0 },
    ])
    expect((await windows(id, `?counted=${ada}`)).data.map(({ counted }) => counted)).toEqual([ada])
  })

  test("are asked of whom a limit counts apart only where it does, and a rate has none", async () => {
    const project_id = await project()
    const { id } = await limit({ project_id }, { window: "minute" })
    expect(await windows(id)).toEqual({ data: [], next: null })
    const { status, body } = await app.admin("GET", `/admin/v1/limits/${id}/windows?counted=user_x`)
    expect([status, body.error.param]).toEqual([400, "counted"])
    expect((await app.admin("GET", "/admin/v1/limits/lim_none/windows")).status).toBe(404)
  })
})

test("a limit over the last days counts those before today, and says when the oldest leaves it", async () => {
  const project_id = await project()
  const key = await app.createKey({ project_id })
  const wanted = { window: "rolling", days: 7, time_zone: "Asia/Kathmandu", cap: 2 }
  const { id, days, anchor_day } = await limit({ project_id }, wanted)
  expect([days, anchor_day]).toEqual([7, 1])
  expect(await statuses([() => call(key), () => call(key)])).toEqual([200, 200])
  const refused = await call(key)
  expect(refused).toMatchObject({ status: 429, message: expect.stringContaining("7-day request limit of project") })
  expect(refused.message).toContain("Its oldest day ends at")
  await settled(id, "2")
  const yesterday = Temporal.Now.plainDateISO("Asia/Kathmandu").subtract({ days: 1 })
  await sql`UPDATE limit_usage SET window_id = ${`${yesterday}~7`} WHERE limit_id = ${id}`
  const own = await (await fetch(`${app.url}/v1/key`, { headers: { authorization: `Bearer ${key.key}` } })).json()
  expect(own).toMatchObject({ limits: [{ id, days: 7, used: "2", remaining: "0" }] })
})

describe("a limit for each", () => {
  test("user of a project gives every user that cap of its own, over all its keys", async () => {
    const project_id = await project()
    const [ada, bob] = [await user(), await user()]
    const keyOf = (user_id?: string) => app.createKey({ project_id, ...(user_id === undefined ? {} : { user_id }) })
    const [adas, adasOther, bobs, nobodys] = [await keyOf(ada), await keyOf(ada), await keyOf(bob), await keyOf()]
    const { id, scope } = await limit({ project_id, each: "user" }, { cap: 2 })
    expect(scope).toEqual({ project_id, each: "user" })
    const calls = [adas, adasOther, adas, bobs, bobs, bobs, nobodys].map((key) => () => call(key))
    expect(await statuses(calls)).toEqual([200, 200, 429, 200, 200, 429, 200])
    expect((await call(bobs)).message).toContain(`of project ${project_id} for ${bob} (limit ${id})`)
    expect(await settled(id, "5")).toBe("5")
    const own = await (await fetch(`${app.url}/v1/key`, { headers: { authorization: `Bearer ${adas.key}` } })).json()
    expect(own).toMatchObject({ limits: [{ id, used: "2", remaining: "0" }] })
  })

  test("user counts a call for the user that it names, where its key may name one", async () => {
    const project_id = await project()
    const [ada, bob] = [await user(), await user()]
    const shared = await app.createKey({ project_id, attribute_users: true })
    await limit({ project_id, each: "user" })
    const naming = (id: string) => () => call(shared, { "x-tallygate-user": id })
    expect(await statuses([naming(ada), naming(ada), naming(bob), () => call(shared)])).toEqual([200, 429, 200, 200])
  })

  test("key gives every key that cap of its own", async () => {
    const project_id = await project()
    const [one, other] = [await app.createKey({ project_id }), await app.createKey({ project_id })]
    await limit({ project_id, each: "key" })
    expect(await statuses([one, one, other, other].map((key) => () => call(key)))).toEqual([200, 429, 200, 429])
  })
})

test("a limit on a tool or tag counts the calls that carry exactly it", async () => {
  const project_id = await project()
  const key = await app.createKey({ project_id })
  const { id, scope } = await limit({ project_id, tool: "crawler" })
  const tagged = await limit({ project_id, tag: "nightly" })
  expect([scope, tagged.scope]).toEqual([
    { project_id, tool: "crawler" },
    { project_id, tag: "nightly" },
  ])
  const tool = (name: string) => () => call(key, { "x-tallygate-tool": name })
  const tags = (list: string) => () => call(key, { "x-tallygate-tags": list })
  expect(
    await statuses([() => call(key), tool("crawler2"), tool("crawler"), tool("crawler"), () => call(key)]),
  ).toEqual([...[200, 200, 200, 429, 200]])
  expect(await statuses([tags("day"), tags("day,nightly"), tags("nightly"), tags("night")])).toEqual([
    200, 200, 429, 200,
  ])
  expect(await settled(id, "1")).toBe("1")
})

describe("a budget", () => {
  const route = (scope: string, id: string) => `/admin/v1/${scope}/${id}/budget`
  const put = async (at: string, change: object) => (await ask<{ data: Budget[] }>("PATCH", at, change)).data[0]

  test("is written in one act, shows what is used, and its limits are what any limits are", async () => {
    const project_id = await project()
    const key = await app.createKey({ project_id })
    const at = route("projects", project_id)
    expect(await ask("GET", at)).toEqual({ data: [] })
    const wanted = { window: "month", time_zone: "Europe/Berlin", anchor_day: 15, usd: "5.00", tokens: 1_000_000 }
    const budget = await put(at, { ...wanted, hard: false, thresholds: [75] })
    expect(budget).toMatchObject({
      ...{ window: "month", time_zone: "Europe/Berlin", anchor_day: 15 },
      usd: { cap: "5", used: "0", remaining: "5", hard: false, thresholds: [75] },
      tokens: { cap: "1000000", used: "0", hard: false, thresholds: [75] },
    })
    await call(key)
    const used = await until(async () => {
      const { data } = await ask<{ data: Budget[] }>("GET", at)
      return data[0]?.tokens?.used === "0" ? undefined : data[0]
    })
    expect(Number(used.tokens?.used) + Number(used.tokens?.remaining)).toBe(1_000_000)
    const limits = await ask<{ data: Json[] }>("GET", `/admin/v1/limits?project_id=${project_id}`)
    expect(limits.data.map(({ kind, enforcement }) => [kind, enforcement]).sort()).toEqual([
      ["tokens", "soft"],
      ["usd", "soft"],
    ])
  })

  test("keeps what a change does not name, and begins anew in another zone", async () => {
    const at = route("users", await user())
    const first = await put(at, { window: "week", usd: "2.50", tokens: 500 })
    const second = await put(at, { window: "week", usd: "3.00" })
    expect(second).toMatchObject({
      usd: { cap: "3", hard: true, limit_id: first?.usd?.limit_id },
      tokens: { cap: "500" },
    })
    const moved = await put(at, { window: "week", time_zone: "Asia/Tokyo" })
    expect(moved).toMatchObject({ time_zone: "Asia/Tokyo", usd: { cap: "3" }, tokens: { cap: "500" } })
    expect(moved?.usd?.limit_id).not.toBe(first?.usd?.limit_id)
    expect(await put(at, { window: "week", usd: null, tokens: null })).toBeUndefined()
    expect(await ask("GET", at)).toEqual({ data: [] })
  })

  test("of each window stands beside the others, on a key and on an organization too", async () => {
    const key = await app.createKey()
    const at = route("keys", key.id)
    await put(at, { window: "day", usd: "1.00" })
    await put(at, { window: "year", usd: "100.00", anchor_day: 31 })
    const { data } = await ask<{ data: Budget[] }>("GET", at)
    expect(data.map(({ window, usd }) => [window, usd?.cap])).toEqual([
      ["day", "1"],
      ["year", "100"],
    ])
    const organization = (await ask<{ id: string }>("POST", "/admin/v1/organizations", { name: `org ${++made}` })).id
    expect(await put(route("organizations", organization), { window: "quarter", tokens: 9 })).toMatchObject({
      window: "quarter",
    })
  })

  test.each([
    [{ window: "minute", usd: "1.00" }, "window"],
    [{ window: "day", usd: 1.5 }, "usd"],
    [{ window: "day", tokens: "1.5" }, "tokens"],
    [{ window: "week", usd: "1.00", anchor_day: 8 }, "anchor_day"],
    [{ window: "lifetime", usd: "1.00", time_zone: "Asia/Tokyo" }, "time_zone"],
  ])("%j is refused by name", async (change, param) => {
    const { status, body } = await app.admin("PATCH", route("projects", await project()), change)
    expect([status, body.error.param]).toEqual([400, param])
  })

  test("for each, of one tool or tag, and over the last days stands beside the plain one of its window", async () => {
    const project_id = await project()
    const at = route("projects", project_id)
    const rolling = { window: "rolling", days: 7 }
    const changes = [
      { window: "day", usd: "9.00" },
      { window: "day", usd: "1.00", each: "user" },
      { window: "day", usd: "2.00", tool: "crawler" },
      { window: "day", usd: "3.00", tag: "nightly", each: "key" },
      { ...rolling, usd: "4.00", tokens: 100 },
      { ...rolling, days: 30, usd: "5.00" },
    ]
    for (const change of changes) await put(at, change)
    expect(await put(at, { ...rolling, usd: "6.00" })).toMatchObject({ usd: { cap: "6" }, tokens: { cap: "100" } })
    expect(await put(at, { window: "day", tool: "crawler", hard: false })).toMatchObject({ usd: { hard: false } })
    const told = async () =>
      (await ask<{ data: Budget[] }>("GET", at)).data.map(({ window, days, each, tool, tag, usd }) =>
        [window, days, each, tool, tag, usd?.cap, usd?.used, usd?.hard].map(String).join(" "),
      )
    expect((await told()).sort()).toEqual([
      "day null key null nightly 3 null true",
      "day null null crawler null 2 0 false",
      "day null null null null 9 0 true",
      "day null user null null 1 null true",
      "rolling 30 null null null 5 0 true",
      "rolling 7 null null null 6 0 true",
    ])
    expect(await put(at, { window: "day", tool: "crawler", usd: null })).toBeUndefined()
    expect(await told()).toHaveLength(5)
    const limits = await ask<{ data: Shown[] }>("GET", `/admin/v1/limits?project_id=${project_id}`)
    expect(limits.data.map(({ scope }) => scope)).toContainEqual({ project_id, each: "key", tag: "nightly" })
  })

  test("of a provider account is over all organizations, and each of them may have it whole", async () => {
    const at = "/admin/v1/providers/openai/accounts/default/budget"
    expect(await put(at, { window: "month", usd: "900.00", each: "organization" })).toMatchObject({
      ...{ window: "month", each: "organization", usd: { cap: "900", used: null }, tokens: null },
    })
    const total = await put(at, { window: "month", tokens: 5_000_000, hard: false })
    const used = async () => (await ask<{ data: Budget[] }>("GET", at)).data[1]?.tokens?.used
    expect(total?.tokens?.cap).toBe("5000000")
    // It starts from what the account's calls have used in the month.
    const before = await used()
    const key = await app.createKey()
    expect((await call(key)).status).toBe(200)
    await until(async () => (Number(await used()) > Number(before) ? true : undefined))
    const [shownLimit] = (await ask<{ data: Shown[] }>("GET", "/admin/v1/limits?provider_account=openai/default")).data
    expect(shownLimit?.scope).toMatchObject({ provider_account: "openai/default" })
    for (const each of ["organization", undefined]) await put(at, { window: "month", usd: null, tokens: null, each })
    expect(await ask("GET", at)).toEqual({ data: [] })
    const unknown = await app.admin("GET", "/admin/v1/providers/openai/accounts/other/budget")
    expect([unknown.status, unknown.body.error.param]).toEqual([404, "account"])
  })

  test.each([
    ["projects", { window: "rolling", usd: "1.00" }, "days"],
    ["projects", { window: "day", usd: "1.00", days: 7 }, "days"],
    ["projects", { window: "day", usd: "1.00", each: "organization" }, "each"],
    ["projects", { window: "day", usd: "1.00", tool: "a", tag: "b" }, "tag"],
    ["users", { window: "day", usd: "1.00", each: "key" }, "each"],
    ["users", { window: "day", usd: "1.00", each: "end_customer" }, "each"],
    ["accounts", { window: "day", usd: "1.00", each: "end_customer" }, "each"],
  ])("of %s that says %j is refused by name", async (whose, change, param) => {
    const at =
      whose === "accounts"
        ? "/admin/v1/providers/openai/accounts/default/budget"
        : route(whose, whose === "users" ? await user() : await project())
    const { status, body } = await app.admin("PATCH", at, change)
    expect([status, body.error.param]).toEqual([400, param])
  })

  test("that would be one limit too many is refused whole", async () => {
    const project_id = await project()
    for (let count = 0; count < 19; count += 1) await limit({ project_id })
    const at = route("projects", project_id)
    const { status } = await app.admin("PATCH", at, { window: "month", usd: "1.00", tokens: 5 })
    expect(status).toBe(409)
    expect(await ask("GET", at)).toEqual({ data: [] })
  })

  test("preset gives each user of a project a daily and a monthly one, however often it is asked for", async () => {
    const project_id = await project()
    const at = `${route("projects", project_id)}/preset`
    const { data } = await ask<{ data: Budget[] }>("POST", at)
    expect(data.map(({ window, usd, tokens }) => [window, usd?.cap, tokens?.cap, tokens?.used])).toEqual([
      ["day", "10", "100000", null],
      ["month", "200", "3000000", null],
    ])
    await ask("POST", at)
    const limits = await ask<{ data: Shown[] }>("GET", `/admin/v1/limits?project_id=${project_id}`)
    expect(limits.data.map(({ scope }) => scope)).toEqual(Array(4).fill({ project_id, each: "user" }))
    const key = await app.createKey({ project_id, user_id: await user() })
    expect((await call(key)).status).toBe(200)
  })
})
