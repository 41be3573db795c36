import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest"
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import { SettledCounters } from "../../src/admission/settled-counters.ts"
import { DriftAudit } from "../../src/ledger/drift-audit.ts"
import type { Log } from "../../src/platform/log.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { type ConnectedRedis, startConnectedRedis } from "../support/real-redis.ts"
import { until } from "../support/test-app.ts"
import { openLedger } from "./ledger-database.ts"

const NOON_MS = Date.UTC(2026, 10, 24, 12)
const YESTERDAY = "2026-11-23"
const COUNTERS = `tg:{org_1}:w:${YESTERDAY}`

let sql: Sql
let server: ConnectedRedis
let warnings: object[]
let nowMs: number

beforeAll(async () => {
  server = await startConnectedRedis()
  sql = await openLedger(await createDatabase(inject("postgresUrl")))
  await sql`INSERT INTO organizations (id, name, time_zone) VALUES ('org_1', 'One', 'UTC')`
  await sql`INSERT INTO limits (id, organization_id, scope, subject, kind, "window", cap, time_zone) VALUES
    ('lim_day', 'org_1', 'organization', 'org_1', 'tokens', 'day', 1000, 'UTC'),
    ('lim_week', 'org_1', 'organization', 'org_1', 'tokens', 'rolling', 1000, 'UTC'),
    ('lim_ever', 'org_1', 'organization', 'org_1', 'tokens', 'lifetime', 1000, 'UTC'),
    ('lim_calls', 'org_1', 'organization', 'org_1', 'concurrency', 'none', 9, 'UTC')`
  await sql`UPDATE limits SET anchor_day = 7 WHERE id = 'lim_week'`
})
afterAll(async () => {
  await Promise.all([sql.end(), server.stop()])
})
beforeEach(async () => {
  warnings = []
  nowMs = NOON_MS
  await server.client.flushall()
  await sql`DELETE FROM limit_usage`
  const acts = new RedisRecoveryActs({ client: server.client, proxy: "proxy_1" })
  const { epoch } = await acts.begin("org_1")
  await acts.load("org_1", epoch, { settled: [], acks: new Map() }, NOON_MS)
  await acts.open("org_1", epoch)
})

const audit = (secondLookAfterMs = 20) =>
  new DriftAudit({
    sql,
    counters: new SettledCounters(server.client),
    clock: { nowMs: () => nowMs },
    log: { warn: (fields: object) => void warnings.push(fields) } as unknown as Log,
    secondLookAfterMs,
  })

const HUGE = "9007199254740993"

function ledgerHas(limit: string, window: string, settled: string, at = `${YESTERDAY}T20:00:00Z`) {
  return sql`INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled, updated_at)
    VALUES ('org_1', ${limit}, 'org_1', ${window}, ${settled}, ${at})
    ON CONFLICT (organization_id, limit_id, subject, window_id) DO UPDATE SET settled = excluded.settled`
}

const redisHas = (settled: string, limit = "lim_day", key = COUNTERS) =>
  server.client.hset(key, `${limit}|org_1:s`, settled)
const counted = (limit = "lim_day", key = COUNTERS) => server.client.hget(key, `${limit}|org_1:s`)

describe("a window that is over", () => {
  it("agrees with the ledger exactly, and is not asked again", async () => {
    await ledgerHas("lim_day", YESTERDAY, HUGE)
    await redisHas(HUGE)
    const auditing = audit()
    await auditing.compareDue()
    await auditing.compareDue()
    expect(auditing.stats()).toEqual({ compared: 1, drifted: 0 })
    expect(warnings).toEqual([])
  })

  it.each([
    ["more", "9007199254740994"],
    ["less", "9007199254740992"],
    ["nothing", null],
  ])("that counted %s than the ledger is told of, and put right", async (_, said) => {
    await ledgerHas("lim_day", YESTERDAY, HUGE)
    if (said !== null) await redisHas(said)
    const auditing = audit()
    await auditing.compareDue()
    expect(auditing.stats().drifted).toBe(1)
    expect(warnings).toEqual([
      {
        organization_id: "org_1",
        limit_id: "lim_day",
        subject: "org_1",
        window: YESTERDAY,
        counted: said ?? "0",
        ledger: HUGE,
      },
    ])
    expect(await counted()).toBe(HUGE)
    expect(await server.client.pttl(COUNTERS)).toBeGreaterThan(0)
    await auditing.compareDue()
    expect(auditing.stats().drifted).toBe(1)
  })

  it("is put right where rolling windows add it up", async () => {
    await ledgerHas("lim_week", `${YESTERDAY}~7`, "70")
    await redisHas("7", "lim_week", `${COUNTERS}~7`)
    await audit().compareDue()
    expect(await counted("lim_week", `${COUNTERS}~7`)).toBe("70")
  })

  it("that a late entry was added to in the ledger is put right without a word", async () => {
    await ledgerHas("lim_day", YESTERDAY, "50", "2026-11-24T11:00:00Z")
    await redisHas("40")
    const auditing = audit()
    await auditing.compareDue()
    expect(await counted()).toBe("50")
    expect([auditing.stats().drifted, warnings]).toEqual([0, []])
  })
})

describe("no difference is", () => {
  it("what was on its way from one to the other at the first look", async () => {
    await ledgerHas("lim_day", YESTERDAY, "40")
    await redisHas("50")
    const auditing = audit(2_000)
    const comparing = auditing.compareDue()
    await until(async () => (auditing.stats().compared === 1 ? true : undefined))
    await ledgerHas("lim_day", YESTERDAY, "50")
    await comparing
    expect([await counted(), auditing.stats().drifted]).toEqual(["50", 0])
  })

  it("one that a stop cuts short: nothing is put right", async () => {
    await ledgerHas("lim_day", YESTERDAY, "40")
    await redisHas("50")
    const auditing = audit(60_000)
    const comparing = auditing.compareDue()
    await until(async () => (auditing.stats().compared === 1 ? true : undefined))
    await auditing.stop()
    await comparing
    expect(await counted()).toBe("50")
  })

  it("what moves while it is put right", async () => {
    await ledgerHas("lim_day", YESTERDAY, "40")
    await redisHas("50")
    const counters = new SettledCounters(server.client)
    const repair = { limitId: "lim_day", subject: "org_1", settled: 40n, before: 49n }
    expect(await counters.repair("org_1", YESTERDAY, [repair])).toBe(0)
    expect(await counted()).toBe("50")
  })

  it("a window that goes on, or has just ended, or never ends", async () => {
    await ledgerHas("lim_day", "2026-11-24", "40", "2026-11-24T11:00:00Z")
    await ledgerHas("lim_ever", "lifetime", "40")
    await ledgerHas("lim_day", YESTERDAY, "40")
    nowMs = Date.UTC(2026, 10, 24, 0, 14)
    const auditing = audit()
    await auditing.compareDue()
    expect(auditing.stats()).toEqual({ compared: 0, drifted: 0 })
  })

  it("anything while counters are filled: the next turn looks again", async () => {
    await ledgerHas("lim_day", YESTERDAY, "40")
    await redisHas("50")
    await server.client.hset("tg:{org_1}:e", "state", "recovering")
    const auditing = audit()
    await auditing.compareDue()
    expect([await counted(), auditing.stats().drifted]).toEqual(["50", 0])
    await server.client.hset("tg:{org_1}:e", "state", "open")
    await auditing.compareDue()
    expect([await counted(), auditing.stats().drifted]).toEqual(["40", 1])
  })
})
