/**
 * Fills a database with a believable year of usage, straight in SQL: records by the month, each in a partition of its own
 * that gets its indexes when it is full, the rollup by the statement that ingest uses, and the days by the folding job.
 */
import path from "node:path"
import { pino } from "pino"
import { markStatement, rollupStatement } from "../../src/ledger/ingest.ts"
import { type Month, monthOf } from "../../src/ledger/partitions.ts"
import { UsageDayJob } from "../../src/ledger/usage-day-job.ts"
import { migrate } from "../../src/platform/migrate.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { loadPriceBook, type PriceBook } from "../../src/pricing/price-book.ts"
import { readPriceFiles } from "../../src/pricing/price-files.ts"
import { rateFor, type TokenClass } from "../../src/pricing/price-row.ts"
import { type SeedHour, seedHours } from "./calendar.ts"
import { ORGANIZATIONS, type SeedProfile, seedPeople } from "./people.ts"
import { recordsStatement } from "./records.ts"

const ROOT = path.join(import.meta.dirname, "../..")
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Months that are filled at the same time. */
const LANES = 2

export type SeedOptions = {
  readonly records: number
  /** How far back the calls go. */
  readonly days: number
  /** The present, at which they end; epoch milliseconds. */
  readonly nowMs: number
  readonly seed: number
  readonly tell: (line: string) => void
}

/** Adds usage of so many days to the database; returns how many records a second came in, indexes included. */
export async function seedUsage(sql: Sql, options: SeedOptions): Promise<{ recordsPerSecond: number }> {
  const { records, nowMs, seed, tell } = options
  await migrate(sql, path.join(ROOT, "migrations"), { codeVersion: "seed" })
  const people = seedPeople(seed)
  await addPeople(sql, people)
  const endMs = Math.floor(nowMs / HOUR_MS) * HOUR_MS
  const hours = seedHours(records, endMs - options.days * DAY_MS, endMs)
  const months = byMonth(hours)
  const book = await shippedPrices()
  await sql`CREATE TABLE seed_profiles (month text, profile json)`
  const startedMs = performance.now()
  const waiting = [...months]
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        await fillMonth(sql, next, people.profiles, book, seed)
        tell(`${next.month.table}: ${next.hours.reduce((sum, { calls }) => sum + calls, 0)} records`)
      }
    }),
  )
  const seconds = (performance.now() - startedMs) / 1_000
  await sql`DROP TABLE seed_profiles`
  tell(`records are in: ${seconds.toFixed(1)} s, ${Math.round(records / seconds)} a second`)
  for (const { month } of months) {
    await rollUp(sql, month)
    tell(`${month.table}: rolled up`)
  }
  const clock = { nowMs: () => nowMs }
  const folded = await new UsageDayJob({ sql, clock, log: pino({ level: "silent" }) }).foldDue()
  tell(`${folded} days folded`)
  await sql.unsafe("VACUUM (ANALYZE) usage_records, usage_rollups, usage_day, usage_series, usage_day_dirty")
  return { recordsPerSecond: records / seconds }
}

type SeedMonth = { readonly month: Month; readonly hours: SeedHour[] }

function byMonth(hours: readonly SeedHour[]): SeedMonth[] {
  const months = new Map<string, SeedMonth>()
  for (const hour of hours) {
    const month = monthOf(hour.startsAtMs)
    if (month === null) throw new Error(`The ledger holds no ${new Date(hour.startsAtMs).toISOString()}.`)
    const known = months.get(month.table)
    if (known === undefined) months.set(month.table, { month, hours: [hour] })
    else known.hours.push(hour)
  }
  return [...months.values()]
}

/** A month is filled before it has indexes where it is new, and in place where the ledger has it already. */
async function fillMonth(
  sql: Sql,
  { month, hours }: SeedMonth,
  profiles: readonly SeedProfile[],
  book: PriceBook,
  seed: number,
): Promise<void> {
  const [known] = await sql`SELECT to_regclass(${month.table}) IS NOT NULL AS is_there`
  const isNew = known?.is_there !== true
  const rows = profiles.map((profile, index) => {
    return { ...profile, ...pricesOf(book, profile, Date.parse(month.from)), place: index + 1 }
  })
  await sql`INSERT INTO seed_profiles VALUES (${month.table}, ${JSON.stringify(rows)}::text::json)`
  await sql.begin(async (transaction) => {
    // A hash join leaves records in the order of time, as a ledger that grew would have them.
    await transaction`SELECT set_config('synchronous_commit', 'off', true), set_config('jit', 'off', true),
      set_config('enable_mergejoin', 'off', true), set_config('work_mem', '64MB', true)`
    if (isNew)
      await transaction.unsafe(
        `CREATE TABLE ${month.table} (LIKE usage_records INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`,
      )
    await transaction.unsafe(recordsStatement(month.table), [
      month.table,
      JSON.stringify(hours.map(({ startsAtMs, calls }) => [startsAtMs, calls])),
      String(seed),
    ])
  })
  if (!isNew) return
  await sql.begin(async (transaction) => {
    await transaction`SET LOCAL maintenance_work_mem = '256MB'`
    await transaction.unsafe(
      `ALTER TABLE usage_records ATTACH PARTITION ${month.table} FOR VALUES FROM ('${month.from}') TO ('${month.to}')`,
    )
  })
}

async function rollUp(sql: Sql, month: Month): Promise<void> {
  const source = `(SELECT * FROM ${month.table} WHERE organization_id LIKE 'org_seed_%') r`
  await sql.begin(async (transaction) => {
    await transaction`SELECT set_config('synchronous_commit', 'off', true), set_config('jit', 'off', true),
      set_config('work_mem', '256MB', true)`
    await transaction.unsafe(rollupStatement(source))
    await transaction.unsafe(markStatement(source))
  })
}

async function shippedPrices(): Promise<PriceBook> {
  const loaded = loadPriceBook(await readPriceFiles(path.join(ROOT, "config", "prices")))
  if (loaded.kind !== "loaded") throw new Error("The shipped price book is wrong.")
  return loaded.book
}

const CLASSES: readonly TokenClass[] = ["input", "cache_read", "cache_write_5m", "output"]

/** The rates of the month's first moment, in pico-dollars per million tokens; none where the book has no price. */
function pricesOf(book: PriceBook, { provider, model }: SeedProfile, atMs: number) {
  const found = book.find({ provider, model, tier: "", atMs })
  if (found.kind === "unpriced") return { price_row: "", rates: null }
  const [sheet] = found.row.sheets
  const rates = CLASSES.map((tokenClass) => String(rateFor(sheet.rates, tokenClass)?.ratePicos ?? 0n))
  return { price_row: sheet.id, rates }
}

async function addPeople(sql: Sql, { projects, users, keys }: ReturnType<typeof seedPeople>): Promise<void> {
  await sql`
    INSERT INTO organizations (id, name, time_zone) SELECT id, name, "timeZone"
    FROM json_to_recordset(${JSON.stringify(ORGANIZATIONS)}::text::json) AS o (id text, name text, "timeZone" text)`
  await sql`
    INSERT INTO projects (id, organization_id, name, client, cost_center)
    SELECT id, "organizationId", name, client, "costCenter" FROM json_to_recordset(${JSON.stringify(projects)}::text::json)
      AS p (id text, "organizationId" text, name text, client text, "costCenter" text)`
  await sql`
    INSERT INTO users (id, organization_id, name) SELECT id, "organizationId", name
    FROM json_to_recordset(${JSON.stringify(users)}::text::json) AS u (id text, "organizationId" text, name text)`
  // Nobody has these keys: what stands in place of a secret's digest is the digest of none.
  await sql`
    INSERT INTO virtual_keys (id, organization_id, project_id, user_id, name, secret_sha256, last4)
    SELECT id, "organizationId", "projectId", nullif("userId", ''), name, sha256(('no secret ' || id)::bytea), 'seed'
    FROM json_to_recordset(${JSON.stringify(keys)}::text::json)
      AS k (id text, "organizationId" text, "projectId" text, "userId" text, name text)`
}
