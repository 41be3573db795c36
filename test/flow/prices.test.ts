/** Prices and terms that are set by API: what calls then cost whom, what is held of them, and what records say of it. */
import { readFileSync } from "node:fs"
import path from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

type Shown = Record<string, unknown> & { id: string; error?: { message: string; code: string; param: string } }

let upstream: FakeUpstream
let app: TestApp
/** Another process on the same database. */
let other: TestApp
let made = 0

beforeAll(async () => {
  upstream = await startFakeUpstream()
  app = await startTestApp(openAiConfig(upstream.baseUrl))
  other = await startTestApp(openAiConfig(upstream.baseUrl), { databaseUrl: app.databaseUrl })
})
beforeEach(() => upstream.reset())
afterAll(async () => {
  await other?.close()
  await app?.close()
  await upstream?.stop()
})

async function admin(method: string, route: string, body?: unknown): Promise<{ status: number; body: Shown }> {
  const { status, body: answer } = await app.admin(method, route, body)
  return { status, body: answer as unknown as Shown }
}

/** An organization with a project, and a key in it. */
async function tenant(limits: object[] = []) {
  const organizationId = (await admin("POST", "/admin/v1/organizations", { name: `tenant ${++made}` })).body.id
  const wanted = { name: "p", organization_id: organizationId }
  const projectId = (await admin("POST", "/admin/v1/projects", wanted)).body.id
  const { id, key } = await app.createKey({ project_id: projectId, limits: limits as never })
  return { organizationId, keyId: id, key }
}

/** A model of its own for each test: 100 input and 20 output tokens. */
const fresh = () => `gpt-4o-mini-t${++made}-p100-o20`

async function setPrice(wanted: object): Promise<Shown> {
  const { status, body } = await admin("POST", "/admin/v1/prices", { provider: "openai", ...wanted })
  if (status !== 201) throw new Error(`setting a price answered ${status}: ${JSON.stringify(body)}`)
  return body
}

const perMillion = (input: string, output: string) => ({ rates: { standard: { input, output } } })
const terms = (organizationId: string, wanted: object) =>
  admin("PUT", `/admin/v1/organizations/${organizationId}/price-terms`, wanted)

async function call({ key }: { key: string }, model: string, more: object = {}, url = app.url) {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "hi" }], max_tokens: 20, ...more }),
  })
  const body = (await response.json()) as { error?: { code: string; message: string } }
  const { status, headers } = response
  return { status, id: headers.get("x-request-id") ?? "", cost: headers.get("x-tallygate-cost-usd"), error: body.error }
}

describe("what is refused changes nothing", () => {
  test("a price that is none is told with its place", async () => {
    for (const [wanted, param] of [
      [{ model: "m", rates: { standard: { input: "1e-6" } } }, "rates.standard.input"],
      [{ model: "m", rates: { standard: { input: "-1" } } }, "rates.standard.input"],
      [{ model: "m", rates: { "standard>9": { input: "1" } } }, "rates.standard>9"],
      [{ model: "m", rates: { standard: { inptu: "1" } } }, "rates.standard.inptu"],
      [{ model: "m" }, "body"],
      [{ model: "m", ...perMillion("1", "2"), provider: "opnai" }, "provider"],
      [{ model: "m", ...perMillion("1", "2"), organization_id: "org_none" }, "organization_id"],
    ] as const) {
      const { status, body } = await admin("POST", "/admin/v1/prices", { provider: "openai", ...wanted })
      expect([400, 404], JSON.stringify(body)).toContain(status)
      expect(JSON.stringify(body.error)).toContain(param)
    }
    expect((await admin("GET", "/admin/v1/prices?provider=openai&model=m")).body.data).toEqual([])
  })

  test("terms that are none", async () => {
    const { organizationId } = await tenant()
    for (const wanted of [
      { markup_percent: "1e2" },
      { markup_percent: "1000.1" },
      { discount_percent: "100.5" },
      { discount_percent: "0.00001" },
      { ceiling: { input_usd_per_1m: "1" } },
      { ceiling: { input_usd_per_1m: "1", output_usd_per_1m: "-2" } },
      { provider: "opnai" },
    ]) {
      expect((await terms(organizationId, wanted)).status, JSON.stringify(wanted)).toBe(400)
    }
    expect((await admin("GET", `/admin/v1/organizations/${organizationId}/price-terms`)).body.data).toEqual([])
  })
})

describe("a price that is set", () => {
  test("holds for the next call, and for its organization alone", async () => {
    const [one, two] = [await tenant(), await tenant()]
    const model = fresh()
    await setPrice({ model, ...perMillion("10", "20") })
    const own = await setPrice({ organization_id: one.organizationId, model, ...perMillion("1", "2") })
    const [cheap, listed] = [await call(one, model), await call(two, model)]
    expect([cheap.cost, listed.cost]).toEqual(["0.00014", "0.0014"])
    expect(await app.record(cheap.id)).toMatchObject({
      ...{ cost_usd: "0.00014", cost_source: "override", base_cost_usd: null, price_state: "priced" },
      price_row: `openai/${model}@${own.id}/standard`,
    })
  })

  test("splits calls at its instant, and its end uncovers what stood before", async () => {
    const { key } = await tenant()
    const model = fresh()
    const soon = new Date(Date.now() + 1_500)
    await setPrice({ model, ...perMillion("10", "20") })
    const { id } = await setPrice({ model, ...perMillion("100", "200"), effective_from: soon.toISOString() })
    const costs = new Set<string | null>()
    const at = async () => {
      const { id: callId, cost } = await call({ key }, model)
      const { time } = await app.record(callId)
      expect(cost).toBe(Date.parse(time) < soon.getTime() ? "0.0014" : "0.014")
      costs.add(cost)
      return costs.size === 2 || undefined
    }
    await until(at, 30_000)
    expect((await admin("POST", `/admin/v1/prices/${id}/end`, {})).status).toBe(200)
    expect((await call({ key }, model)).cost).toBe("0.0014")
    expect(await admin("POST", `/admin/v1/prices/${id}/end`, {})).toMatchObject({ status: 409 })
    expect((await admin("GET", `/admin/v1/prices/${id}`)).body.ended_at).not.toBeNull()
  })

  test("is known to another process within moments", async () => {
    const { key } = await tenant()
    const model = fresh()
    await setPrice({ model, ...perMillion("10", "20") })
    await until(async () => ((await call({ key }, model, {}, other.url)).cost === "0.0014" ? true : undefined), 30_000)
    await setPrice({ model, ...perMillion("20", "40") })
    await until(async () => ((await call({ key }, model, {}, other.url)).cost === "0.0028" ? true : undefined), 30_000)
  })

  test("is audited, listed by page, and shown to whoever asks what applies", async () => {
    const { organizationId } = await tenant()
    const model = fresh()
    const listed = await setPrice({ model, ...perMillion("10", "20"), fees: { web_search: "0.02" } })
    const own = await setPrice({ organization_id: organizationId, model, ...perMillion("1", "2"), note: "contract 7" })
    // Fees that a price does not name are those of the price that it takes the place of.
    expect(own.fees).toEqual({ web_search: "0.02" })
    const page = await admin("GET", `/admin/v1/prices?model=${model}&limit=1`)
    const next = await admin("GET", `/admin/v1/prices?model=${model}&limit=1&after=${page.body.next}`)
    const ids = [page, next].flatMap(({ body }) => (body.data as Shown[]).map(({ id }) => id))
    expect(ids.sort()).toEqual([listed.id, own.id].sort())
    const only = await admin("GET", `/admin/v1/prices?model=${model}&scope=installation`)
    expect((only.body.data as Shown[]).map(({ id }) => id)).toEqual([listed.id])
    const asked = `/admin/v1/prices/effective?provider=openai&model=${model}&organization_id=${organizationId}`
    expect((await admin("GET", asked)).body).toMatchObject({
      state: "priced",
      tiers: [{ tier: "standard", origin: "organization", price_id: own.id, usd_per_call: { web_search: "0.02" } }],
    })
    const { data } = (await admin("GET", `/admin/v1/audit?action=price.set&subject=${own.id}`)).body
    expect(data).toMatchObject([{ organization_id: organizationId, after: { note: "contract 7" } }])
  })
})

test("a price with regions holds and charges by that of the account, and says so on the record", async () => {
  const regional = {
    name: "regional",
    dialect: "openai",
    base_url: upstream.baseUrl,
    region: "us",
    priced_as: "openai",
  }
  expect((await admin("POST", "/admin/v1/providers", regional)).status).toBe(201)
  const account = { name: "a", api_key: null }
  expect((await admin("POST", "/admin/v1/providers/regional/accounts", account)).status).toBe(201)
  const model = fresh()
  await setPrice({ model, ...perMillion("0", "1000"), regions: { us: "1.1" } })
  const caller = await tenant([{ kind: "usd", window: "month", cap: "0.02" }])
  const { id, cost, status, error } = await call(caller, model, {}, `${app.url}/regional`)
  expect(error).toBeUndefined()
  // Twenty output tokens would be 0.022 there.
  expect([status, JSON.parse(upstream.requests[0]?.body.toString() ?? "").max_tokens]).toEqual([200, 18])
  const record = await app.record(id)
  expect(record.price_row.endsWith("/standard~us")).toBe(true)
  expect(record.cost_usd).toBe(cost)
  const { body } = await admin("GET", `/admin/v1/usage/records/${id}/explain`)
  expect(body).toMatchObject({
    price: { region: "us" },
    lines: [
      { rate_usd: "0", multiplier: "1.1" },
      { rate_usd: "1000", multiplier: "1.1" },
    ],
  })
})

describe("markup and discount", () => {
  test("stand on the record and in its lines, and the next terms leave it as it is", async () => {
    const { organizationId, key } = await tenant()
    const model = fresh()
    await setPrice({ model, ...perMillion("10", "20") })
    const set = await terms(organizationId, { markup_percent: "20", discount_percent: "2.5" })
    const { id, cost } = await call({ key }, model)
    // 0.0014 × 1.2 × 0.975
    expect(cost).toBe("0.001638")
    const record = await app.record(id)
    expect(record).toMatchObject({ cost_usd: "0.001638", base_cost_usd: "0.0014" })
    expect(record.price_row.endsWith(`/standard+${set.body.id}`)).toBe(true)
    await terms(organizationId, { provider: "openai", discount_percent: "50" })
    expect((await call({ key }, model)).cost).toBe("0.0007")
    await terms(organizationId, {})
    const explained = await admin("GET", `/admin/v1/usage/records/${id}/explain`)
    expect(explained.body).toMatchObject({
      lines: [
        { class: "input", count: "100", rate_usd: "10", amount_usd: "0.001" },
        { class: "output", count: "20", rate_usd: "20", amount_usd: "0.0004" },
        { class: "terms", multiplier: "1.17", amount_usd: "0.000238" },
      ],
      total_usd: "0.001638",
    })
  })

  test("are part of what is held: a budget with room for the list price alone has room for less output", async () => {
    const model = fresh()
    await setPrice({ model, ...perMillion("0", "1000") })
    const budget = [{ kind: "usd", window: "month", cap: "0.02" }]
    const [plain, marked] = [await tenant(budget), await tenant(budget)]
    await terms(marked.organizationId, { markup_percent: "0.01" })
    // 20 output tokens at a thousandth of a dollar are the whole budget.
    for (const caller of [plain, marked]) expect((await call(caller, model)).status).toBe(200)
    expect(upstream.requests.map(({ body }) => JSON.parse(body.toString()).max_tokens)).toEqual([20, 19])
  })

  test("leave a price of the organization's own as it is", async () => {
    const { organizationId, key } = await tenant()
    const model = fresh()
    await setPrice({ organization_id: organizationId, model, ...perMillion("10", "20") })
    await terms(organizationId, { markup_percent: "20" })
    const { id, cost } = await call({ key }, model)
    expect(cost).toBe("0.0014")
    expect(await app.record(id)).toMatchObject({ base_cost_usd: null, cost_source: "override" })
  })
})

describe("usage that is reported or corrected", () => {
  const send = async ({ key }: { key: string }, route: string, body: object) => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${key}` }
    const response = await fetch(app.url + route, { method: "POST", headers, body: JSON.stringify(body) })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
  const chat = (model: string) => ({ provider: "openai", model, input_tokens: 100, output_tokens: 20 })

  test("costs what a call costs, under the same terms, and is corrected under them", async () => {
    const caller = await tenant()
    const model = fresh()
    await setPrice({ model, ...perMillion("10", "20") })
    await terms(caller.organizationId, { markup_percent: "20" })
    const { id } = await call(caller, model)
    const reported = await send(caller, "/v1/usage", chat(model))
    expect(reported).toMatchObject({ status: 201, body: { cost_usd: "0.00168", cost_source: "override" } })
    const { price_row: row } = await app.record(id)
    const route = `/admin/v1/usage/records/${id}/adjustments`
    const corrected = await admin("POST", route, { reason: "ten too many", output_tokens: -10 })
    expect(corrected).toMatchObject({ status: 201, body: { cost_usd: "-0.00024" } })
    const entry = await until(async () => {
      const { data } = (await app.admin("GET", `/admin/v1/usage/records?key=${caller.keyId}`)).body
      return data.find(({ kind }) => kind === "adjustment")
    })
    expect(entry).toMatchObject({ base_cost_usd: "-0.0002", price_row: row, cost_source: "override" })
  })

  test("of a model without a price is held by the ceiling, and refused without one", async () => {
    const caller = await tenant([{ kind: "usd", window: "month", cap: "0.2" }])
    const hold = () => send(caller, "/v1/usage/hold", chat("mystery"))
    expect((await hold()).status).toBe(403)
    await terms(caller.organizationId, { ceiling: { input_usd_per_1m: "1000", output_usd_per_1m: "2000" } })
    expect((await hold()).status).toBe(201)
    // Of twenty cents fourteen are held.
    expect((await hold()).status).toBe(429)
  })
})

describe("a ceiling for models without a price", () => {
  const unknown = "mystery-p100-o20"
  const budget = [{ kind: "usd", window: "month", cap: "1" }]

  test("without one a key with a money budget is refused them", async () => {
    const refused = await call(await tenant(budget), unknown)
    expect(refused).toMatchObject({ status: 403, error: { code: "model_not_priced" } })
    expect(refused.error?.message).toContain("ceiling")
  })

  test("with one the call is held and charged by it, and its record stays unpriced", async () => {
    const caller = await tenant(budget)
    const ceiling = { input_usd_per_1m: "1000", output_usd_per_1m: "2000" }
    const set = await terms(caller.organizationId, { ceiling, markup_percent: "50" })
    const { id, status, cost } = await call(caller, unknown)
    expect([status, cost]).toEqual([200, null])
    const record = await app.record(id)
    expect(record).toMatchObject({ price_state: "unpriced", cost_usd: null, cost_source: "ceiling" })
    expect(record.price_row).toBe(`ceiling+${set.body.id}`)
    // A hundred tokens of input and twenty of output; the ceiling is what it says, without markup.
    expect(record.charges).toMatchObject([{ amount: "140000000" }])
    const left = await call(caller, unknown, { max_tokens: 1_000 })
    expect(left).toMatchObject({ status: 200 })
    expect(JSON.parse(upstream.requests.at(-1)?.body.toString() ?? "").max_tokens).toBeLessThan(440)
  })
})

describe("a public catalog", () => {
  const fixture = readFileSync(path.join(import.meta.dirname, "../fixtures/prices/litellm.json"), "utf8")
  const send = async (text: string, query = "") => {
    const response = await fetch(`${app.url}/admin/v1/prices/import${query}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer admin-key-of-the-tests-0123456789" },
      body: text,
    })
    return { status: response.status, body: (await response.json()) as Shown }
  }
  const count = async () => ((await admin("GET", "/admin/v1/prices?limit=1000")).body.data as Shown[]).length

  test("that holds one figure that is none is refused with the entry, and nothing of it is set", async () => {
    const before = await count()
    const bad = fixture.replace('"output_cost_per_token": 4e-05', '"output_cost_per_token": "cheap"')
    expect(bad).not.toBe(fixture)
    const { status, body } = await send(bad)
    expect(status).toBe(400)
    expect(body.error?.message).toMatch(/^new-model: output_cost_per_token: found "cheap".* Nothing was imported/)
    for (const text of ["[]", "{}", '{"a": 1}', "{"]) expect((await send(text)).status, text).toBe(400)
    expect(await count()).toBe(before)
  })

  test("is compared first, then set whole, exactly as its figures are written", async () => {
    const before = await count()
    const dry = await send(fixture, "?dry_run=true")
    expect(dry).toMatchObject({ status: 200, body: { added: 1, kept: 1, unchanged: 1, replaced: 0, dry_run: true } })
    expect(await count()).toBe(before)
    const { body } = await send(fixture)
    expect(body).toMatchObject({ added: 1, kept: 1, skipped: dry.body.skipped })
    const { key } = await tenant()
    const { cost, id } = await call({ key }, "new-model", { stream: false })
    expect((await app.record(id)).price_row).toMatch(/^openai\/new-model@prc_/)
    expect(cost).not.toBeNull()
    const [set] = (body.data as Shown[]).filter(({ status }) => status === "added")
    const { data } = (await admin("GET", `/admin/v1/audit?action=price.import&subject=${set?.id}`)).body
    expect(data).toMatchObject([{ after: { price_ids: [set?.id] } }])
    const over = await send(fixture, "?overwrite=true")
    expect(over.body).toMatchObject({ added: 0, replaced: 1, kept: 0, unchanged: 2 })
    // What a catalog does not say of a model's fees stays as it was.
    const replaced = (over.body.data as Shown[]).find(({ status }) => status === "replaced")
    expect((await admin("GET", `/admin/v1/prices/${replaced?.id}`)).body.fees).toMatchObject({ web_search: "0.01" })
  })
})
