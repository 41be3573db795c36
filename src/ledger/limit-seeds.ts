/**
 * A new limit starts from what the ledger has for its window, not from zero. Whoever sees one first adds up the records of
 * its window, and leaves a row by which ingest goes on to charge records that do not name it. Ingest waits while that is
 * done, so that each record is added up once: by this or by ingest.
 */
import { windowAt } from "../admission/window.ts"
import { shownAccount } from "../identity/account-limit.ts"
import { raiseDirectoryVersion } from "../identity/directory-version.ts"
import type { Limit } from "../identity/limit.ts"
import { type LimitRow, limitColumns, limitFrom } from "../identity/limit-row.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { AMOUNT_SQL, COUNTS_SQL, type LimitSeed, OWNER_SQL, SUBJECT_SQL } from "./seed-match.ts"

/** A call does not run for so long, nor does a journal wait for a process to adopt it. */
const KEPT_DAYS = 7
/** A rollup's bucket: a window that begins within one is added up record by record. */
const BUCKET_MS = 900_000

class NothingToSeed extends Error {}

/** Seeds the limits that nobody has seeded; how many there were. */
export async function seedNewLimits(sql: Sql, nowMs: number): Promise<number> {
  const rows = await sql`SELECT 1 FROM limits WHERE seeded_version IS NULL LIMIT 1`
  if (rows.length === 0) return 0
  try {
    return await sql.begin(async (transaction) => {
      await raiseDirectoryVersion(transaction)
      const limits = await transaction<LimitRow[]>`
        SELECT ${limitColumns(transaction)} FROM limits WHERE seeded_version IS NULL ORDER BY id`
      if (limits.length === 0) throw new NothingToSeed()
      // Whatever ingest has not committed by now will find the rows that are added here.
      await transaction`LOCK TABLE limit_seeds IN ACCESS EXCLUSIVE MODE`
      await transaction`DELETE FROM limit_seeds WHERE added_at < now() - make_interval(days => ${KEPT_DAYS})`
      for (const row of limits) await seed(transaction, limitFrom(row), nowMs)
      return limits.length
    })
  } catch (error) {
    // Another process has been quicker.
    if (error instanceof NothingToSeed) return 0
    throw error
  }
}

async function seed(transaction: Transaction, limit: Limit, nowMs: number): Promise<void> {
  const windows = windowsOf(limit, nowMs)
  const subject = limit.scope === "provider_account" ? shownAccount(limit.subject) : limit.subject
  for (const { id, startsAtMs, endsAtMs } of windows) {
    await transaction`
      INSERT INTO limit_seeds (limit_id, window_id, starts_at, ends_at, subject)
      VALUES (${limit.id}, ${id}, ${instant(startsAtMs, "-infinity")}::text::timestamptz,
              ${instant(endsAtMs, "infinity")}::text::timestamptz, ${subject})`
  }
  const isInRollup = windows.every(({ startsAtMs }) => (startsAtMs ?? 0) % BUCKET_MS === 0) && isRollupEnough(limit)
  await transaction.unsafe(isInRollup ? FROM_ROLLUPS : FROM_RECORDS, [limit.id])
  const isExact = limit.kind !== "requests" && limit.filter?.by !== "tool" && limit.filter?.by !== "tag"
  await transaction`
    UPDATE limits SET seed = ${isExact ? "exact" : "as_recorded"}, seeded_version =
      (SELECT version FROM directory_version)
      * CASE WHEN ${isOfFreshKey(transaction, limit)} AND NOT EXISTS (SELECT 1 FROM limit_usage WHERE limit_id = ${limit.id})
             THEN -1 ELSE 1 END
    WHERE id = ${limit.id}`
}

/**
 * Keys get their limits right after they were made, by the thousand: nobody is kept waiting for counters of those that have
 * used nothing. Of others there may be calls that the ledger has not heard of yet.
 */
function isOfFreshKey(transaction: Transaction, { scope, subject }: Limit) {
  return transaction`(${scope}::text = 'key' AND EXISTS (
    SELECT 1 FROM virtual_keys WHERE id = ${subject} AND created_at > now() - interval '10 minutes'))`
}

function instant(ms: number | null, none: string): string {
  return ms === null ? none : new Date(ms).toISOString()
}

/** Rollups have neither tags nor end-customers nor the model that was asked for, and the beginning alone of a tool's name. */
function isRollupEnough({ each, filter }: Limit): boolean {
  return each !== "end_customer" && (filter === null || filter.by === "endpoint")
}

/** The window of the moment; of a rolling one all its days. */
function windowsOf({ window, timeZone, anchorDay }: Limit, nowMs: number) {
  const windows = [windowAt(window, timeZone, anchorDay, nowMs)]
  for (let day = 1; window === "rolling" && day < anchorDay; day += 1) {
    const { startsAtMs } = windows.at(-1) ?? { startsAtMs: null }
    windows.push(windowAt(window, timeZone, anchorDay, (startsAtMs ?? 0) - 1))
  }
  return windows
}

/** Adds up for limit $1 what `source` has of its windows. */
function sumInto(source: string, amount: string): string {
  return `INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled, seeded)
  SELECT ${OWNER_SQL}, l.id, ${SUBJECT_SQL}, s.window_id, sum(${amount}), sum(${amount})
  FROM limits l JOIN limit_seeds s ON s.limit_id = l.id
    JOIN ${source} r ON (l.scope = 'provider_account' OR r.organization_id = l.organization_id) AND ${COUNTS_SQL}
  WHERE l.id = $1
  GROUP BY 1, 2, 3, 4 HAVING sum(${amount}) <> 0`
}

const FROM_RECORDS = sumInto("usage_records", AMOUNT_SQL)
const FROM_ROLLUPS = sumInto(
  `(SELECT *, bucket AS time, '' AS end_customer, '{}'::text[] AS tags, '' AS model_routed FROM usage_rollups)`,
  `CASE l.kind WHEN 'requests' THEN r.records WHEN 'usd' THEN r.charged_nanos
    ELSE r.input_uncached_tokens + r.cache_read_tokens + r.cache_write_5m_tokens + r.cache_write_1h_tokens
         + r.output_tokens END`,
)

type SeedRow = LimitRow & { window_id: string; starts_at_ms: number | null; ends_at_ms: number | null; plain: string }

/** The new limits of which records may come that do not name them, and the directory's version of that. */
export async function readSeeds(sql: Sql): Promise<{ readonly version: number; readonly seeds: readonly LimitSeed[] }> {
  const [known] = await sql<{ version: number }[]>`SELECT version::float8 AS version FROM directory_version`
  const rows = await sql<SeedRow[]>`
    SELECT l.*, s.window_id, s.subject AS plain,
           CASE WHEN isfinite(s.starts_at) THEN (extract(epoch FROM s.starts_at) * 1000)::float8 END AS starts_at_ms,
           CASE WHEN isfinite(s.ends_at) THEN (extract(epoch FROM s.ends_at) * 1000)::float8 END AS ends_at_ms
    FROM limit_seeds s JOIN (SELECT ${limitColumns(sql)} FROM limits) l ON l.id = s.limit_id
    ORDER BY s.limit_id, s.window_id`
  const seeds = rows.map((row) => ({
    limit: limitFrom(row),
    window: row.window_id,
    startsAtMs: row.starts_at_ms ?? Number.NEGATIVE_INFINITY,
    endsAtMs: row.ends_at_ms ?? Number.POSITIVE_INFINITY,
    subject: row.plain,
  }))
  return { version: known?.version ?? 0, seeds }
}

/** What records that do not name these limits have added to them. */
export async function readSeeded(sql: Sql, limitIds: readonly string[]) {
  const rows = await sql<{ limit_id: string; subject: string; window_id: string; seeded: string }[]>`
    SELECT limit_id, subject, window_id, seeded::text AS seeded FROM limit_usage
    WHERE limit_id = ANY (${[...limitIds]}::text[]) AND seeded <> 0`
  return rows.map((row) => {
    return { limitId: row.limit_id, subject: row.subject, window: row.window_id, settled: BigInt(row.seeded) }
  })
}
