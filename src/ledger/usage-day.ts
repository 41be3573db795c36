/**
 * Folds a day of an organization from the 15-minute rollup into `usage_day`, in the organization's own zone or in UTC. A
 * fold takes the marks of the day's buckets away and reads the rollup afterwards: ingest statements lock the same marks,
 * so what they bring is either in the sums or marks the day again. There is one mark for both zones, so whoever takes it
 * away calls the other zone's fold over it stale. A fold says from when to when it goes: readers compare moments.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"
import { HISTOGRAM_BINS, ROLLUP_HISTOGRAMS, ROLLUP_KEY, ROLLUP_SUMS } from "./columns.ts"

/** A day by its first moment and that of the next day, in epoch milliseconds. */
export type FoldedDay = {
  /** `2026-11-23`. */
  readonly date: string
  readonly startsAtMs: number
  readonly endsAtMs: number
}

/** What a day's row adds up, in the order of the rollup's sums. What limits were charged is asked of `limit_usage`. */
export const DAY_SUMS: readonly string[] = Object.keys(ROLLUP_SUMS).filter((name) => name !== "charged_nanos")

/** Histogram of the rollup → the columns that hold its bins, first bin first. */
export const DAY_BINS: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  Object.keys(ROLLUP_HISTOGRAMS).map((histogram) => [
    histogram,
    HISTOGRAM_BINS.map((bin) => histogram.replace("_histogram", `_bin_${bin}`)),
  ]),
)

/** What makes a series: every dimension of the rollup but the time. */
export const SERIES_KEY: readonly string[] = Object.keys(ROLLUP_KEY).filter((name) => name !== "bucket")

/** Sums with a fraction. The others are whole and fit in 63 bits for a day, or the fold fails and the day stays unfolded. */
const WIDER: ReadonlySet<string> = new Set(["units", "cost_usd"])

/** In which zones an organization's days are folded: its own, and the one that organizations of several zones share. */
export function foldedZones(ownTimeZone: string): string[] {
  return [...new Set([ownTimeZone, "UTC"])]
}

const OF_THE_DAY = "organization_id = $1::text AND bucket >= $2::text::timestamptz AND bucket < $3::text::timestamptz"

const FOLD_TEXT = foldStatement()
const SERIES_TEXT = seriesStatement()

/**
 * Folds the day of this zone unless its fold is there and clean. Folds of the same zone and other boundaries that overlap
 * it go. False where another process is folding for the organization: it will get there itself.
 */
export async function foldDay(sql: Sql, organizationId: string, timeZone: string, day: FoldedDay): Promise<boolean> {
  return whileAlone(sql, organizationId, async (transaction) => {
    const [from, to] = [new Date(day.startsAtMs), new Date(day.endsAtMs)]
    const wasMarked = await takeMarks(transaction, organizationId, timeZone, from, to)
    if (!wasMarked && (await isFolded(transaction, organizationId, timeZone, from, to))) return
    await transaction`
      WITH gone AS (
        DELETE FROM usage_day_fold
        WHERE organization_id = ${organizationId} AND time_zone = ${timeZone} AND starts_at < ${to} AND ends_at > ${from}
        RETURNING starts_at)
      DELETE FROM usage_day u USING gone
      WHERE u.organization_id = ${organizationId} AND u.time_zone = ${timeZone} AND u.starts_at = gone.starts_at`
    const range = [organizationId, from.toISOString(), to.toISOString()]
    await transaction.unsafe(SERIES_TEXT, range)
    await transaction.unsafe(FOLD_TEXT, [...range, timeZone])
    await transaction`
      INSERT INTO usage_day_fold (organization_id, starts_at, ends_at, day, time_zone)
      VALUES (${organizationId}, ${from}, ${to}, ${day.date}, ${timeZone})`
  })
}

/** Takes away what was folded in zones other than these, such as one that the organization has left. */
export async function forgetOtherZones(sql: Sql, organizationId: string, timeZones: readonly string[]): Promise<void> {
  await whileAlone(
    sql,
    organizationId,
    (transaction) => transaction`
      WITH gone AS (
        DELETE FROM usage_day_fold
        WHERE organization_id = ${organizationId} AND time_zone <> ALL (${[...timeZones]})
        RETURNING time_zone, starts_at)
      DELETE FROM usage_day u USING gone
      WHERE u.organization_id = ${organizationId} AND u.time_zone = gone.time_zone AND u.starts_at = gone.starts_at`,
  )
}

/** Only one process at a time folds for an organization; false, and nothing done, where another one does. */
async function whileAlone(
  sql: Sql,
  organizationId: string,
  act: (transaction: Transaction) => PromiseLike<unknown>,
): Promise<boolean> {
  await sql`INSERT INTO usage_day_job (organization_id) VALUES (${organizationId}) ON CONFLICT DO NOTHING`
  return sql.begin(async (transaction) => {
    // Compiling the statement takes longer than adding up a day. A fold that a crash takes away is made once more.
    await transaction`SELECT set_config('jit', 'off', true), set_config('synchronous_commit', 'off', true)`
    const locked = await transaction`
      SELECT 1 FROM usage_day_job WHERE organization_id = ${organizationId} FOR UPDATE SKIP LOCKED`
    if (locked.length === 0) return false
    await act(transaction)
    return true
  })
}

/** Whether there were any. They are locked in the order of ingest statements, so that none waits for another in a circle. */
async function takeMarks(
  transaction: Transaction,
  organizationId: string,
  timeZone: string,
  from: Date,
  to: Date,
): Promise<boolean> {
  const taken = await transaction`
    WITH marked AS (
      SELECT bucket FROM usage_day_dirty
      WHERE organization_id = ${organizationId} AND bucket >= ${from} AND bucket < ${to} ORDER BY bucket FOR UPDATE
    ), taken AS (
      DELETE FROM usage_day_dirty d USING marked
      WHERE d.organization_id = ${organizationId} AND d.bucket = marked.bucket RETURNING d.bucket
    ), outdated AS (
      UPDATE usage_day_fold f SET is_stale = true FROM taken
      WHERE f.organization_id = ${organizationId} AND f.time_zone <> ${timeZone} AND NOT f.is_stale
        AND taken.bucket >= f.starts_at AND taken.bucket < f.ends_at)
    SELECT 1 FROM taken LIMIT 1`
  return taken.length > 0
}

async function isFolded(
  transaction: Transaction,
  organizationId: string,
  timeZone: string,
  from: Date,
  to: Date,
): Promise<boolean> {
  const rows = await transaction`
    SELECT 1 FROM usage_day_fold
    WHERE organization_id = ${organizationId} AND time_zone = ${timeZone} AND starts_at = ${from} AND ends_at = ${to}
      AND NOT is_stale`
  return rows.length === 1
}

/** Two organizations never share a series, so two processes never make the same one. */
function seriesStatement(): string {
  const key = SERIES_KEY.join(", ")
  return `INSERT INTO usage_series (${key})
  SELECT DISTINCT ${key} FROM usage_rollups WHERE ${OF_THE_DAY}
  ON CONFLICT (${key}) DO NOTHING`
}

function foldStatement(): string {
  const bins = Object.entries(DAY_BINS)
  const binSums = bins.flatMap(([histogram, names]) =>
    names.map((_, index) => `nullif(sum(r.${histogram}[${index + 1}]), 0)::bigint`),
  )
  const sums = DAY_SUMS.map((name) => (WIDER.has(name) ? `sum(r.${name})` : `sum(r.${name})::bigint`))
  return `INSERT INTO usage_day (organization_id, starts_at, time_zone, series_id,
    ${[...DAY_SUMS, ...bins.flatMap(([, names]) => names)].join(", ")})
  SELECT $1::text, $2::text::timestamptz, $4::text, s.id,
    ${[...sums, ...binSums].join(",\n    ")}
  FROM usage_rollups r JOIN usage_series s USING (${SERIES_KEY.join(", ")})
  WHERE r.${OF_THE_DAY.replaceAll(" AND ", " AND r.")}
  GROUP BY s.id ORDER BY s.id`
}
