/**
 * Keeps records no longer than their organization wants them: a month that no organization keeps any more is dropped as a
 * whole, other rows are deleted in batches. Sums stay: rollups, days, what limits have settled. Before anything goes, a
 * row says from when on the organization's records are kept, and from then on ingest refuses older ones (they go to the
 * quarantine): whether they were counted before is what nobody could tell once the rows are gone.
 */
import type { Registry } from "prom-client"
import type { Clock } from "../platform/clock.ts"
import { registerFigures } from "../platform/figures.ts"
import type { Log } from "../platform/log.ts"
import { type Sql, sqlState } from "../platform/postgres.ts"
import { RegularWork } from "../platform/regular-work.ts"

/** The month before this one is whole for as long as this one lasts: what is invoiced, compared and corrected. */
export const RETENTION_DAYS_MIN = 62
export const RETENTION_DAYS_MAX = 36_500

const EVERY_MS = 3_600_000
const DAY_MS = 86_400_000
const ROWS_PER_BATCH = 5_000
/** Dropping a month waits for nobody longer than this, since all that writes records would wait behind it. */
const LOCK_MS_MAX = 2_000
const LOCK_NOT_AVAILABLE = "55P03"
const UNDEFINED_TABLE = "42P01"

export type RetentionOptions = {
  readonly sql: Sql
  readonly clock: Clock
  readonly log: Log
  /** Of organizations that say nothing themselves; null: for ever. */
  readonly defaultDays: number | null
  readonly lockMsMax?: number
}

export type RetentionDone = { readonly deletedRecords: number; readonly droppedMonths: readonly string[] }

/** A month of the records: its table, and the first moment after it. */
type MonthRow = { readonly table: string; readonly to: Date }
type KeptRow = { organization_id: string; before: Date }

export class UsageRetention {
  readonly #options: RetentionOptions
  readonly #work: RegularWork
  #isStopped = false
  #deletedRecords = 0
  #droppedMonths = 0

  constructor(options: RetentionOptions) {
    this.#options = options
    this.#work = new RegularWork({
      everyMs: EVERY_MS,
      beginsAtOnce: true,
      work: () => this.enforce(),
      log: options.log,
      failing: "records that are older than they are to be kept cannot be deleted",
      mended: "records that are older than they are to be kept are deleted again",
    })
  }

  /** Registers what this process has deleted since its start. */
  register(registry: Registry): void {
    registerFigures(registry, () => this, {
      gauges: [],
      counters: [
        {
          name: "tallygate_retention_deleted_records_total",
          help: "Records that were deleted for being older than their organization keeps them; those of dropped months left out.",
          read: () => this.#deletedRecords,
        },
        {
          name: "tallygate_retention_dropped_months_total",
          help: "Months of records that were dropped, since no organization keeps records of them.",
          read: () => this.#droppedMonths,
        },
      ],
    })
  }

  start(): void {
    this.#work.start()
  }

  /** Resolves when the statement under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#work.stop()
  }

  /** Deletes what is due; what another process is deleting is left to it. */
  async enforce(): Promise<RetentionDone> {
    const { clock, log } = this.#options
    const kept = await this.#markForgotten(clock.nowMs())
    const droppedMonths = kept.length === 0 ? [] : await this.#dropMonths()
    let deletedRecords = 0
    for (const { organization_id: organizationId } of kept) deletedRecords += await this.#deleteOf(organizationId)
    this.#deletedRecords += deletedRecords
    this.#droppedMonths += droppedMonths.length
    if (deletedRecords + droppedMonths.length > 0) {
      const done = { deleted_records: deletedRecords, dropped_months: droppedMonths }
      log.info(done, "records that were older than they are to be kept are gone; their sums are kept")
    }
    return { deletedRecords, droppedMonths }
  }

  /** Says from when on records are kept, before any goes. It never goes back: what is gone is not kept again. */
  #markForgotten(nowMs: number): Promise<readonly KeptRow[]> {
    const { sql, defaultDays } = this.#options
    const today = new Date(Math.floor(nowMs / DAY_MS) * DAY_MS)
    return sql<KeptRow[]>`
      INSERT INTO usage_forgotten AS f (organization_id, before)
      SELECT id, ${today}::timestamptz - make_interval(hours => 24 * coalesce(usage_retention_days, ${defaultDays}::int))
      FROM organizations WHERE coalesce(usage_retention_days, ${defaultDays}::int) IS NOT NULL ORDER BY id
      ON CONFLICT (organization_id) DO UPDATE SET before = greatest(f.before, excluded.before)
      RETURNING organization_id, before`
  }

  /** Months in which every organization that has rows there has passed its retention. */
  async #dropMonths(): Promise<string[]> {
    const dropped: string[] = []
    for (const month of await this.#pastMonths()) {
      if (this.#isStopped) break
      if (!(await this.#isDue(month))) continue
      const outcome = await this.#drop(month)
      if (outcome === "in use") break
      if (outcome === "dropped") dropped.push(month.table)
    }
    return dropped
  }

  async #pastMonths(): Promise<MonthRow[]> {
    const { sql } = this.#options
    const rows = await sql<{ table: string }[]>`
      SELECT c.relname AS table FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'usage_records'::regclass ORDER BY c.relname`
    const [newest] = await sql<{ before: Date }[]>`SELECT max(before) AS before FROM usage_forgotten`
    return rows
      .map(({ table }) => ({ table, to: endOfMonth(table) }))
      .filter(({ to }) => newest !== undefined && to <= newest.before)
  }

  /** Looked at before all others are kept waiting for it. */
  async #isDue(month: MonthRow): Promise<boolean> {
    try {
      return await isAllForgotten(this.#options.sql, month)
    } catch (error) {
      // Another process has just dropped it.
      if (sqlState(error) === UNDEFINED_TABLE) return false
      throw error
    }
  }

  async #drop(month: MonthRow): Promise<"dropped" | "kept" | "in use"> {
    const { sql, log, lockMsMax = LOCK_MS_MAX } = this.#options
    try {
      return await sql.begin(async (transaction): Promise<"dropped" | "kept"> => {
        await transaction`SELECT set_config('lock_timeout', ${String(lockMsMax)}, true)`
        await transaction`LOCK TABLE usage_records IN ACCESS EXCLUSIVE MODE`
        // Another process may have been quicker, and a late record of somebody who keeps more may have come.
        const [there] = await transaction<{ is: boolean }[]>`SELECT to_regclass(${month.table}) IS NOT NULL AS is`
        if (there?.is !== true || !(await isAllForgotten(transaction, month))) return "kept"
        await transaction.unsafe(`DROP TABLE ${month.table}`)
        return "dropped"
      })
    } catch (error) {
      if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error
      // A backup that is being read, mostly.
      log.info({ month: month.table }, "a month of records is in use and will be dropped later")
      return "in use"
    }
  }

  async #deleteOf(organizationId: string): Promise<number> {
    const { sql } = this.#options
    let deleted = 0
    while (!this.#isStopped) {
      const count = await sql.begin(async (transaction) => {
        const [kept] = await transaction<{ before: Date }[]>`
          SELECT before FROM usage_forgotten WHERE organization_id = ${organizationId} FOR UPDATE SKIP LOCKED`
        if (kept === undefined) return 0
        const gone = await transaction`
          DELETE FROM usage_records WHERE (organization_id, time, id) IN (
            SELECT organization_id, time, id FROM usage_records
            WHERE organization_id = ${organizationId} AND time < ${kept.before} ORDER BY time, id LIMIT ${ROWS_PER_BATCH})`
        return gone.count
      })
      deleted += count
      if (count < ROWS_PER_BATCH) break
    }
    return deleted
  }
}

/** Whether every organization with rows in the month keeps none that old; an index tells, organization by organization. */
async function isAllForgotten(sql: Pick<Sql, "unsafe">, { table, to }: MonthRow): Promise<boolean> {
  const [row] = await sql.unsafe<{ kept: boolean }[]>(
    `WITH RECURSIVE there AS (
       (SELECT organization_id FROM ${table} ORDER BY organization_id LIMIT 1)
       UNION ALL
       SELECT (SELECT organization_id FROM ${table} n WHERE n.organization_id > there.organization_id
               ORDER BY organization_id LIMIT 1)
       FROM there WHERE there.organization_id IS NOT NULL)
     SELECT EXISTS (SELECT FROM there LEFT JOIN usage_forgotten f USING (organization_id)
                    WHERE organization_id IS NOT NULL AND (f.before IS NULL OR f.before < $1::text::timestamptz)) AS kept`,
    [to.toISOString()],
  )
  return row?.kept === false
}

function endOfMonth(table: string): Date {
  const [year, month] = table.slice(-7).split("_").map(Number)
  return new Date(Date.UTC(year ?? 0, month ?? 0))
}

export type RetentionPreview = {
  /** What is older than this goes. */
  readonly before: Date
  readonly records: number
  readonly oldest: Date | null
}

/** What a retention of so many days would delete of an organization at this moment. */
export async function previewRetention(
  sql: Sql,
  organizationId: string,
  days: number,
  nowMs: number,
): Promise<RetentionPreview> {
  const before = new Date(Math.floor(nowMs / DAY_MS) * DAY_MS - days * DAY_MS)
  const [row] = await sql<{ records: number; oldest: Date | null }[]>`
    SELECT count(*)::float8 AS records, min(time) AS oldest FROM usage_records
    WHERE organization_id = ${organizationId} AND time < ${before}`
  return { before, records: row?.records ?? 0, oldest: row?.oldest ?? null }
}
