/** What a new limit starts from, against the same asked of each record by itself. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import fc from "fast-check"
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest"
import { createLimit, type LimitSubject, type NewLimit } from "../../src/identity/limit-registry.ts"
import { chargedCalls } from "../../src/ledger/charged-calls.ts"
import { ingest } from "../../src/ledger/ingest.ts"
import { readSeeded, readSeeds, seedNewLimits } from "../../src/ledger/limit-seeds.ts"
import { ensurePartitions } from "../../src/ledger/partitions.ts"
import { recordText } from "../../src/ledger/record-text.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { openLedger } from "./ledger-database.ts"
import { sampleRecord } from "./sample-record.ts"

const ACTOR = { name: "test", ip: "" }
const NOW_MS = Date.UTC(2026, 10, 23, 12, 7)
const mint = uuidv7Mint()
let url: string
let sql: Sql
let seq = 0
let journals = 0

const oneOf = <T>(...values: T[]) => fc.constantFrom(...values)
const facts = fc.record({
  organization_id: oneOf("org_a", "org_a", "org_b"),
  project_id: oneOf("proj_a", "proj_b"),
  user_id: oneOf("", "user_a"),
  key_id: oneOf("key_a", "key_b"),
  end_customer: oneOf("", "Ada L.", "50%", "50%25", "Ada%20L."),
  provider: oneOf("openai", "other"),
  provider_account: oneOf("default", "two words"),
  tool: oneOf("", "crawler"),
  tags: oneOf<string[]>([], ["nightly"], ["a", "nightly"]),
  model_routed: oneOf("gpt-4o", "gpt_4o", "gpt-4o-mini", "50%\\x"),
  endpoint: oneOf("chat.completions", "responses"),
  input_uncached_tokens: fc.nat(5_000),
  cache_read_tokens: fc.nat(3),
  output_tokens: fc.nat(900),
  cost_usd: oneOf<string | null>(null, "0", "0.000000000001", "1.5", "0.0000000015"),
  agoMs: fc.nat(3 * 86_400_000),
})

function recordOf({ agoMs = 0, ...members }: Partial<UsageRecord> & { agoMs?: number }): UsageRecord {
  const atMs = NOW_MS - agoMs
  // A project lies in one organization.
  const project = members.organization_id === "org_b" ? { project_id: "proj_of_b" } : {}
  return sampleRecord({ ...members, ...project, id: mint(atMs), time: new Date(atMs).toISOString(), charges: [] })
}

async function put(records: readonly UsageRecord[], into = sql): Promise<void> {
  const journal = `019a0000-0000-7000-8000-${String(++journals).padStart(12, "0")}`
  await ingest(
    into,
    journal,
    records.map((record) => ({ seq: ++seq, body: recordText(record) })),
  )
}

const subject = oneOf<LimitSubject>(
  { organizationId: "org_a", scope: "organization", subject: "org_a" },
  { organizationId: "org_a", scope: "organization", subject: "org_a", each: "end_customer" },
  { organizationId: "org_a", scope: "organization", subject: "org_a", each: "user" },
  { organizationId: "org_a", scope: "project", subject: "proj_a", each: "key" },
  { organizationId: "org_a", scope: "project", subject: "proj_b" },
  { organizationId: "", scope: "provider_account", subject: "openai/default" },
  { organizationId: "", scope: "provider_account", subject: "openai/two%20words", each: "organization" },
)
const filter = oneOf<LimitSubject["filter"]>(
  null,
  null,
  { by: "tool", value: "crawler" },
  { by: "tag", value: "nightly" },
  { by: "model", value: "gpt_*" },
  { by: "model", value: "gpt-4o" },
  { by: "model", value: "50%\\*" },
  { by: "endpoint", value: "responses" },
)
const wanted = fc.record({
  kind: oneOf<NewLimit["kind"]>("tokens", "usd", "requests"),
  window: oneOf<NewLimit["window"]>("day", "month", "lifetime", "rolling", "week"),
  cap: fc.constant(1_000n),
  timeZone: oneOf("UTC", "Asia/Kathmandu", "America/New_York"),
  anchorDay: fc.constant(3),
})

/** What the ledger has settled, by limit, subject and window, as texts to compare. */
async function settled(): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    SELECT concat_ws('|', organization_id, limit_id, subject, window_id, settled) AS name FROM limit_usage WHERE settled <> 0`
  return rows.map(({ name }) => name).sort()
}

/** The same of each record by itself, as a process asks it. */
async function expected(records: readonly UsageRecord[]): Promise<string[]> {
  const { seeds } = await readSeeds(sql)
  const sums = new Map<string, bigint>()
  for (const { organizationId, charges } of chargedCalls(
    records.map((record) => ({ body: recordText(record) })),
    seeds,
  )) {
    for (const charge of charges) {
      const name = [organizationId, charge.limit_id, charge.subject, charge.window].join("|")
      sums.set(name, (sums.get(name) ?? 0n) + BigInt(charge.amount))
    }
  }
  return [...sums]
    .filter(([, sum]) => sum !== 0n)
    .map(([name, sum]) => `${name}|${sum}`)
    .sort()
}

describe.each(["a Postgres server", "the embedded Postgres"])("limits that are new on %s", (where) => {
  let embedded: EmbeddedPostgres | null = null
  let folder: string | null = null

  beforeAll(async () => {
    if (where === "the embedded Postgres") {
      folder = mkdtempSync(path.join(tmpdir(), "tallygate-embedded-"))
      embedded = await startEmbeddedPostgres({ dataDir: folder })
    }
    url = embedded?.url ?? (await createDatabase(inject("postgresUrl")))
    sql = await openLedger(url)
    await ensurePartitions(sql, NOW_MS, NOW_MS)
    await sql`INSERT INTO organizations (id, name) VALUES ('org_a', 'a'), ('org_b', 'b')`
    await sql`INSERT INTO projects (id, organization_id, name) VALUES ('proj_a', 'org_a', 'a'), ('proj_b', 'org_a', 'b')`
  })
  beforeEach(async () => {
    await sql`DELETE FROM limits`
    await sql`TRUNCATE usage_records, usage_rollups, limit_usage, usage_day_dirty`
  })
  afterAll(async () => {
    await sql?.end()
    await embedded?.stop()
    if (folder !== null) rmSync(folder, { recursive: true, force: true })
  })

  test("new limits of every scope, filter and window count what each record says, whether it came before or after", async () => {
    const [before = [], after = []] = fc.sample(fc.array(facts, { minLength: 60, maxLength: 60 }), {
      seed: 7,
      numRuns: 2,
    })
    const early = before.map(recordOf)
    const late = after.map(recordOf)
    await put(early)
    for (const [of, narrow, limit] of fc.sample(fc.tuple(subject, filter, wanted), { seed: 11, numRuns: 36 })) {
      // A subject has at most twenty.
      await createLimit(sql, ACTOR, { ...of, filter: narrow ?? null }, limit)
    }
    const made = await seedNewLimits(sql, NOW_MS)
    expect(made).toBeGreaterThan(30)
    expect(await settled()).toEqual(await expected(early))
    await put(late)
    expect(await settled()).toEqual(await expected([...early, ...late]))
    expect((await settled()).length).toBeGreaterThan(30)
    expect(await seedNewLimits(sql, NOW_MS)).toBe(0)
  })

  test("a record that names the limit is charged once, and what others add is told apart", async () => {
    const of = { organizationId: "org_a", scope: "project", subject: "proj_a" } as const
    const ten = {
      input_uncached_tokens: 10,
      cache_read_tokens: 0,
      cache_write_5m_tokens: 0,
      cache_write_1h_tokens: 0,
      output_tokens: 0,
    }
    await put([recordOf({ organization_id: "org_a", project_id: "proj_a", ...ten })])
    const created = await createLimit(sql, ACTOR, of, { kind: "tokens", window: "lifetime", cap: 1n })
    if (created.kind !== "created") throw new Error(created.kind)
    const { id } = created.row
    await seedNewLimits(sql, NOW_MS)
    const named = sampleRecord({
      id: mint(NOW_MS),
      time: new Date(NOW_MS).toISOString(),
      organization_id: "org_a",
      project_id: "proj_a",
    })
    await put([{ ...named, charges: [{ limit_id: id, subject: "proj_a", window: "lifetime", amount: "7" }] }])
    expect(await settled()).toEqual([`org_a|${id}|proj_a|lifetime|17`])
    expect(await readSeeded(sql, [id])).toEqual([{ limitId: id, subject: "proj_a", window: "lifetime", settled: 10n }])
  })

  test("each record is added up once while batches come in from four sides and two processes seed", async () => {
    const [some = []] = fc.sample(fc.array(facts, { minLength: 200, maxLength: 200 }), { seed: 3, numRuns: 1 })
    const records = some.map((one) => recordOf({ ...one, organization_id: "org_a", agoMs: 0 }))
    const pools = Array.from({ length: 6 }, () => openPostgres(url, { max: 1, applicationName: "test" }))
    const shipping = pools.slice(0, 4).map(async (pool, side) => {
      for (let from = side * 50; from < (side + 1) * 50; from += 5) await put(records.slice(from, from + 5), pool)
    })
    const seeding = pools.slice(4).map(async (pool, side) => {
      for (let turn = 0; turn < 5; turn++) {
        const of = { organizationId: "org_a", scope: "organization", subject: "org_a" } as const
        await createLimit(pool, ACTOR, of, { kind: side === 0 ? "tokens" : "usd", window: "lifetime", cap: 1n })
        await seedNewLimits(pool, NOW_MS)
      }
    })
    await Promise.all([...shipping, ...seeding])
    await seedNewLimits(sql, NOW_MS)
    expect(await settled()).toEqual(await expected(records))
    expect(await settled()).toHaveLength(10)
    for (const pool of pools) await pool.end()
  })

  test("rates and calls in flight start from nothing and keep nobody waiting; budgets say that they were added up", async () => {
    const of = { organizationId: "org_a", scope: "organization", subject: "org_a" } as const
    for (const [kind, window] of [
      ["tokens", "per_day"],
      ["concurrency", "none"],
      ["usd", "day"],
      ["requests", "day"],
    ] as const) {
      await createLimit(sql, ACTOR, of, { kind, window, cap: 1n })
    }
    await seedNewLimits(sql, NOW_MS)
    const rows = await sql<{ kind: string; seed: string; version: number }[]>`
    SELECT kind, seed, sign(seeded_version)::int AS version FROM limits ORDER BY created_at, id`
    expect(rows.map(({ kind, seed, version }) => [kind, seed, version]).sort()).toEqual([
      ["concurrency", "", 0],
      ["requests", "as_recorded", 1],
      ["tokens", "", 0],
      ["usd", "exact", 1],
    ])
  })
})
