/**
 * Monthly partitions of `usage_records`: made ahead by a job, or by the writer when a record of another month comes. They
 * are attached, not created in place, since that lets calls be written meanwhile; creators take turns on a table lock.
 */
import type { Clock } from "../platform/clock.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"

/** A partition that is missing is made only for these years; a record outside them is wrong, not old. */
const YEAR_MIN = 2020
const YEAR_MAX = 2100

const KEEP_EVERY_MS = 6 * 3_600_000

export type Month = {
  /** Name of the partition, e.g. `usage_records_2026_11`. */
  readonly table: string
  /** First moment of the month and of the next one, ISO 8601 in UTC. */
  readonly from: string
  readonly to: string
}

/** The UTC month of a moment; null outside the years that the ledger holds. */
export function monthOf(timeMs: number): Month | null {
  const time = new Date(timeMs)
  const year = time.getUTCFullYear()
  if (!(year >= YEAR_MIN && year <= YEAR_MAX)) return null
  const month = time.getUTCMonth()
  return {
    table: `usage_records_${year}_${String(month + 1).padStart(2, "0")}`,
    from: new Date(Date.UTC(year, month)).toISOString(),
    to: new Date(Date.UTC(year, month + 1)).toISOString(),
  }
}

/** Makes the partitions of every month from `fromMs` to `toMs` (both inclusive); returns the names of those that were new. */
export async function ensurePartitions(sql: Sql, fromMs: number, toMs: number): Promise<string[]> {
  const months: Month[] = []
  for (let month = monthOf(fromMs); month !== null; month = monthOf(Date.parse(month.to))) {
    if (Date.parse(month.from) > toMs) break
    months.push(month)
  }
  return ensureMonths(sql, months)
}

/** The months to hold ready at `nowMs`: this one and the next two. */
export async function ensureUpcomingPartitions(sql: Sql, nowMs: number): Promise<string[]> {
  const now = new Date(nowMs)
  return ensurePartitions(sql, nowMs, Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 2))
}

/**
 * Makes the upcoming partitions now and holds them ready from then on. Throws where the first time fails; a later
 * failure is logged and tried again, and meanwhile the writer makes what it needs.
 */
export async function keepPartitions(parts: { sql: Sql; clock: Clock; log: Log }): Promise<{ stop(): void }> {
  await ensureUpcomingPartitions(parts.sql, parts.clock.nowMs())
  const timer = setInterval(() => {
    ensureUpcomingPartitions(parts.sql, parts.clock.nowMs()).catch((error: unknown) => {
      parts.log.error({ err: error }, "partitions of the coming months could not be made")
    })
  }, KEEP_EVERY_MS)
  timer.unref()
  return { stop: () => clearInterval(timer) }
}

/** Makes the partitions of these months; returns the names of those that were new. Any number of processes may do so at once. */
export async function ensureMonths(sql: Sql, months: readonly Month[]): Promise<string[]> {
  const missing = await missingMonths(sql, months)
  if (missing.length === 0) return []
  return sql.begin(async (transaction) => {
    // Conflicts with itself and with nothing that reads or writes rows.
    await transaction`LOCK TABLE usage_records IN SHARE UPDATE EXCLUSIVE MODE`
    const stillMissing = await missingMonths(transaction, missing)
    for (const { table, from, to } of stillMissing) {
      await transaction.unsafe(
        `CREATE TABLE ${table} (LIKE usage_records INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
         ALTER TABLE usage_records ATTACH PARTITION ${table} FOR VALUES FROM ('${from}') TO ('${to}')`,
      )
    }
    return stillMissing.map((month) => month.table)
  })
}

/** Partitions that a record of this month or the next one would miss at `nowMs`. */
export async function missingPartitions(sql: Sql, nowMs: number): Promise<string[]> {
  const thisMonth = monthOf(nowMs)
  const nextMonth = thisMonth === null ? null : monthOf(Date.parse(thisMonth.to))
  const months = [thisMonth, nextMonth].filter((month) => month !== null)
  return (await missingMonths(sql, months)).map(({ table }) => table)
}

async function missingMonths(sql: Pick<Sql, "unsafe">, months: readonly Month[]): Promise<Month[]> {
  const rows = await sql.unsafe<{ name: string }[]>(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'usage_records'::regclass`,
  )
  const present = new Set(rows.map((row) => row.name))
  return months.filter((month) => !present.has(month.table))
}
