/** A database with organizations, projects, users and keys, and records that came in through the ingest statement. */
import { inject } from "vitest"
import { ingest } from "../../src/ledger/ingest.ts"
import { ensurePartitions } from "../../src/ledger/partitions.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { openLedger } from "../ledger/ledger-database.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { createDatabase } from "../support/real-postgres.ts"

const JOURNAL = "019a0000-0000-7000-8000-000000000001"
const BATCH = 500

export type TestOrganization = { readonly id: string; readonly timeZone: string }

/** Two projects `<org>_p0`, `<org>_p1`, two users `<org>_u0` … and three keys `<org>_k0` … for each organization. */
export async function openUsageDatabase(
  organizations: readonly TestOrganization[],
  url?: string,
): Promise<{ sql: Sql; url: string }> {
  const databaseUrl = url ?? (await createDatabase(inject("postgresUrl")))
  const sql = await openLedger(databaseUrl)
  for (const { id, timeZone } of organizations) await addOrganization(sql, id, timeZone)
  return { sql, url: databaseUrl }
}

export async function addOrganization(sql: Sql, id: string, timeZone: string): Promise<void> {
  await sql`INSERT INTO organizations (id, name, time_zone) VALUES (${id}, ${`Name of ${id}`}, ${timeZone})`
  for (const n of [0, 1]) {
    await sql`
      INSERT INTO projects (id, organization_id, name, client, cost_center)
      VALUES (${`${id}_p${n}`}, ${id}, ${`project ${n}`}, ${`Client ${n}, Ltd`}, ${`CC-${n}`})`
    await sql`INSERT INTO users (id, organization_id, name) VALUES (${`${id}_u${n}`}, ${id}, ${`User ${n}`})`
  }
  for (const n of [0, 1, 2]) {
    await sql`
      INSERT INTO virtual_keys (id, organization_id, project_id, name, secret_sha256, last4)
      VALUES (${`${id}_k${n}`}, ${id}, ${`${id}_p${n % 2}`}, ${`key ${n}`}, ${Buffer.from(`${id}${n}`)}, 'last')`
  }
}

let seq = 0

/** Brings the records in, in batches as they stand. */
export async function bring(sql: Sql, records: readonly UsageRecord[]): Promise<void> {
  const times = records.map(({ time }) => Date.parse(time))
  await ensurePartitions(
    sql,
    times.reduce((a, b) => Math.min(a, b)),
    times.reduce((a, b) => Math.max(a, b)),
  )
  for (let at = 0; at < records.length; at += BATCH) {
    const rows = records.slice(at, at + BATCH).map((record) => ({ seq: ++seq, body: JSON.stringify(record) }))
    await ingest(sql, JOURNAL, rows)
  }
}

/** A generator of numbers below 1 that is the same for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const mintId = uuidv7Mint()
const MODELS = ["gpt-5-mini", "gpt-4o", "claude-sonnet-5", `m${"x".repeat(130)}`] as const
const PRICE_ROWS = ["openai/gpt-5-mini@2025-08-07", "openai/gpt-4o@2024-08-06", "", ""] as const

/** A call like any other, at a random moment of the range, of one of the organizations. */
export function randomRecord(
  random: () => number,
  organizations: readonly TestOrganization[],
  fromMs: number,
  toMs: number,
): UsageRecord {
  const pick = <Value>(values: readonly Value[]): Value => {
    const value = values[Math.floor(random() * values.length)]
    if (value === undefined) throw new Error("nothing to pick from")
    return value
  }
  const timeMs = fromMs + Math.floor(random() * (toMs - fromMs))
  const { id } = pick(organizations)
  const keyNumber = Math.floor(random() * 3)
  const model = Math.floor(random() * MODELS.length)
  const isUnpriced = random() < 0.1
  const count = (max: number) => Math.floor(random() * max)
  return sampleRecord({
    id: mintId(timeMs),
    time: new Date(timeMs).toISOString(),
    kind: random() < 0.05 ? "adjustment" : "call",
    organization_id: id,
    project_id: `${id}_p${keyNumber % 2}`,
    user_id: pick(["", `${id}_u0`, `${id}_u1`]),
    key_id: `${id}_k${keyNumber}`,
    end_customer: pick(["", "customer-1", "customer-2"]),
    conversation: pick(["", "talk-1"]),
    tool: pick(["", "code,review", "search"]),
    operation: pick(["chat", 'sum"marise\\']),
    tags: pick([[], ["a"], ["a", "b"], ["b", "b", "c"]]),
    endpoint: pick(["chat/completions", "responses"]),
    provider: pick(["openai", "anthropic"]),
    provider_account: pick(["main", "spare"]),
    model_served: MODELS[model] ?? "",
    price_row: isUnpriced ? "" : (PRICE_ROWS[model] ?? ""),
    tier_served: pick(["", "standard", "flex"]),
    outcome: pick(["ok", "ok", "ok", "error", "aborted"]),
    stream: random() < 0.5,
    usage_source: pick(["provider", "provider", "estimated", "none"]),
    input_uncached_tokens: count(5_000),
    cache_read_tokens: count(3_000),
    cache_write_5m_tokens: count(100),
    cache_write_1h_tokens: count(50),
    output_tokens: count(2_000),
    reasoning_tokens: count(500),
    web_searches: count(2),
    units: count(3) / 2,
    usage_mismatch: random() < 0.05,
    price_state: isUnpriced ? "unpriced" : "priced",
    cost_usd: isUnpriced ? null : `${count(3)}.${String(count(1_000_000_000)).padStart(12, "0")}`,
    duration_ms: Math.floor(10 ** (random() * 6)),
    ttft_ms: random() < 0.2 ? null : Math.floor(10 ** (random() * 4)),
    charges: [],
  })
}
