/** Limits on a provider account over all organizations: through the API, in one process and in two on Redis. */
import { setTimeout as wait } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest"
import { CallStorm } from "../support/call-storm.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { openFleet, type ProxyFleet } from "../support/proxy-fleet.ts"
import { ADMIN_KEY, pricedConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

type Ask = (method: string, route: string, body?: unknown) => Promise<{ status: number; body: unknown }>
type Row = { id: string; organization_id: string; scope: Record<string, string>; cap: string }

/** A key in the default project of a new organization, with a budget of its own that it does not meet. */
async function keyOfNewOrganization(
  ask: Ask,
  name: string,
): Promise<{ id: string; key: string; organization: string }> {
  const organization = ((await ask("POST", "/admin/v1/organizations", { name })).body as Row).id
  const projects = (await ask("GET", `/admin/v1/projects?organization_id=${organization}`)).body as { data: Row[] }
  const limits = [{ kind: "tokens", window: "month", cap: 1_000_000_000, on_store_failure: "deny" }]
  const made = await ask("POST", "/admin/v1/keys", { name, project_id: projects.data[0]?.id, limits })
  if (made.status !== 201) throw new Error(JSON.stringify(made.body))
  return { ...(made.body as { id: string; key: string }), organization }
}

describe("in one process", () => {
  let upstream: FakeUpstream
  let app: TestApp
  let one: { id: string; key: string; organization: string }
  let two: { id: string; key: string; organization: string }

  beforeAll(async () => {
    upstream = await startFakeUpstream()
    app = await startTestApp(pricedConfig(upstream.baseUrl))
    one = await keyOfNewOrganization(app.admin, "one")
    two = await keyOfNewOrganization(app.admin, "two")
  })
  afterAll(async () => {
    await app?.close()
    await upstream?.stop()
  })

  async function call(key: string, at = app) {
    const response = await fetch(`${at.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "mock-p10-o10", max_tokens: 10, messages: [{ role: "user", content: "hi" }] }),
    })
    const body = (await response.json()) as { error?: { code: string; message: string } }
    return { status: response.status, error: body.error, headers: response.headers }
  }

  async function limit(scope: object, members: object) {
    const made = await app.admin("POST", "/admin/v1/limits", { scope, ...members })
    return { status: made.status, row: made.body as unknown as Row, error: made.body.error }
  }

  test.each([
    [
      { provider_account: "mock/nothing" },
      404,
      "scope.provider_account",
      "There is no provider account `mock/nothing`",
    ],
    [{ provider_account: "mock" }, 400, "scope.provider_account", "<provider>/<account>"],
    [{ provider_account: "mock/default", each: "team" }, 400, "scope.each", ""],
    [{ user_id: "user_x", each: "key" }, 400, "scope.each", "belongs to limits on provider accounts"],
    [{ provider_account: "mock/default", key_id: "key_x" }, 400, "scope", "exactly one"],
  ])("a scope %j is refused", async (scope, status, param, text) => {
    const refused = await limit(scope, { kind: "requests", window: "minute", cap: 5 })
    expect([refused.status, refused.error.param]).toEqual([status, param])
    expect(refused.error.message).toContain(text)
  })

  test("one loop is held to its own cap, and the other keys' calls go on", async () => {
    const scope = { provider_account: "mock/default", each: "key" }
    const { row } = await limit(scope, { kind: "requests", window: "minute", cap: 3 })
    expect(row).toMatchObject({ organization_id: "", scope, cap: "3" })
    const loop = []
    for (let turn = 0; turn < 6; turn++) loop.push(await call(one.key))
    expect(loop.map(({ status }) => status)).toEqual([200, 200, 200, 429, 429, 429])
    const refused = loop.at(-1)
    expect(refused?.error).toMatchObject({ code: "rate_limit_exceeded" })
    expect(refused?.error?.message).toContain(`of provider account mock/default for ${one.id} (limit ${row.id})`)
    expect(Number(refused?.headers.get("retry-after"))).toBeGreaterThan(0)
    expect((await call(two.key)).status).toBe(200)

    const listed = await app.admin("GET", "/admin/v1/limits?provider_account=mock/default")
    expect(listed.body.data).toMatchObject([{ id: row.id }])
    await app.admin("PATCH", `/admin/v1/limits/${row.id}`, { cap: 60 })
    expect((await call(one.key)).status).toBe(200)
    await app.admin("DELETE", `/admin/v1/limits/${row.id}`)
    expect((await app.admin("GET", "/admin/v1/limits?provider_account=mock/default")).body.data).toEqual([])
  })

  test("a budget is one over all organizations, in tokens or in money, and survives a restart", async () => {
    const scope = { provider_account: "mock/default" }
    // It starts from the 100 tokens of the five calls before.
    const { row } = await limit(scope, { kind: "tokens", window: "lifetime", cap: 400 })
    // Four calls that use 20 tokens each; each is held at what its bytes could be.
    for (const { key } of [one, two, one, two]) expect((await call(key)).status).toBe(200)
    await app.admin("PATCH", `/admin/v1/limits/${row.id}`, { cap: 350 })
    for (const { key } of [one, two]) expect((await call(key)).error?.code).toBe("insufficient_quota")
    await app.app.close()
    const again = await startTestApp(pricedConfig(upstream.baseUrl), { databaseUrl: app.databaseUrl })
    try {
      const refused = await call(two.key, again)
      expect(refused.error).toMatchObject({ code: "insufficient_quota" })
      expect(refused.error?.message).toContain("180 tokens used")
      await again.admin("DELETE", `/admin/v1/limits/${row.id}`)
      const money = { scope, kind: "usd", window: "month", cap: "0.000001" }
      const made = await again.admin("POST", "/admin/v1/limits", money)
      expect((await call(one.key, again)).error?.message).toContain("provider account mock/default")
      await again.admin("DELETE", `/admin/v1/limits/${made.body.id}`)
      expect((await call(one.key, again)).status).toBe(200)
    } finally {
      await again.close()
    }
  })
})

const CAP = 60_000n
const LEASE_MS = 2_000
const ACCOUNT = "mock/default"
const COUNTERS = `tg:{acct:${ACCOUNT}}:`

describe("in two processes on Redis", () => {
  let fleet: ProxyFleet
  const ask: Ask = async (method, route, body) => {
    const response = await fetch(fleet.url(0) + route, {
      method,
      headers: { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: await response.json() }
  }

  beforeAll(async () => {
    fleet = await openFleet(2, { prices: { input: "3", output: "15" }, leaseMs: LEASE_MS })
    await fleet.start(0)
    await fleet.start(1)
  }, 120_000)
  afterAll(() => fleet?.close())

  /** Settled and held of the limit, of one moment. */
  async function counted(limitId: string): Promise<{ settled: bigint; held: bigint }> {
    const [window = ""] = await fleet.redis.keys(`${COUNTERS}w:????-??`)
    const [settled, held] = await fleet.redis.hmget(window, `${limitId}|${ACCOUNT}:s`, `${limitId}|${ACCOUNT}:h`)
    return { settled: BigInt(settled ?? 0), held: BigInt(held ?? 0) }
  }

  async function heldBy(pid: number | undefined): Promise<number> {
    const keys = await fleet.redis.keys("tg:{*}:l")
    const leases = (await Promise.all(keys.map((key) => fleet.redis.hvals(key)))).flat()
    return leases.filter((lease) => lease.split("\n")[0]?.includes(`:${pid}:`)).length
  }

  test("two organizations never pass one account's cap; a killed proxy's holds end, and a flush of Redis changes nothing", async () => {
    const keys = [await keyOfNewOrganization(ask, "one"), await keyOfNewOrganization(ask, "two")]
    const scope = { provider_account: ACCOUNT }
    const wanted = { scope, kind: "tokens", window: "month", cap: Number(CAP), on_store_failure: "deny" }
    const { id } = (await ask("POST", "/admin/v1/limits", wanted)).body as Row
    // The other proxy learns of it within a second.
    await wait(1_200)

    let most = 0n
    let looks = 0
    let isOver = false
    const looking = (async () => {
      while (!isOver) {
        const { settled, held } = await counted(id)
        if (settled + held > most) most = settled + held
        looks += 1
        await wait(3)
      }
    })()
    onTestFinished(async () => {
      isOver = true
      await looking
    })
    const storm = new CallStorm({
      callers: 16,
      keys: keys.map(({ key }) => key),
      urlOf: (caller) => fleet.url(caller % 2),
    })
    onTestFinished(async () => void (await storm.stop()))

    await until(async () => ((await counted(id)).settled > (CAP * 3n) / 10n ? true : undefined), 40_000)
    const dead = fleet.running(1)
    await fleet.kill(1)
    expect(await heldBy(dead.process.pid)).toBeGreaterThan(0)
    await until(async () => ((await heldBy(dead.process.pid)) === 0 ? true : undefined), 20_000)
    await fleet.start(1)
    await fleet.redis.flushall()
    await storm.refused(80, 60_000)
    const ends = await storm.stop()
    expect(ends.filter((end) => end.kind === "refused" && ![429, 503].includes(end.status))).toEqual([])
    expect(ends.some((end) => end.kind === "refused" && end.text.includes(`provider account ${ACCOUNT}`))).toBe(true)

    const ledger = async () => {
      const [row] = await fleet.sql<{ charged: string; used: string; organizations: number }[]>`
        SELECT (SELECT coalesce(sum(settled), 0)::text FROM limit_usage
                WHERE organization_id = ${`acct:${ACCOUNT}`} AND limit_id = ${id}) AS charged,
               coalesce(sum(input_uncached_tokens + cache_read_tokens + output_tokens), 0)::text AS used,
               count(DISTINCT organization_id)::int AS organizations
        FROM usage_records WHERE key_id IN (${keys[0]?.id ?? ""}, ${keys[1]?.id ?? ""})`
      if (row === undefined) throw new Error("an aggregate returned no row")
      return { ...row, ...(await counted(id)) }
    }
    let seen = await ledger()
    await until(async () => {
      seen = await ledger()
      return seen.held === 0n && String(seen.settled) === seen.used && seen.charged === seen.used ? true : undefined
    }, 20_000).catch(() => undefined)
    expect(seen).toMatchObject({ charged: seen.used, settled: BigInt(seen.used), held: 0n, organizations: 2 })
    expect(looks).toBeGreaterThan(100)
    expect(most).toBeLessThanOrEqual(CAP)
    expect(BigInt(seen.used)).toBeGreaterThan((CAP * 9n) / 10n)
    expect(BigInt(seen.used)).toBeLessThanOrEqual(CAP)
  }, 180_000)
})
