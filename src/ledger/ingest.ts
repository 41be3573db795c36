/**
 * The one statement by which records enter the ledger: records, rollup, the marks of days that are to be folded, limit
 * usage and the journal's acknowledgement in one transaction, so that a batch sent twice adds nothing. Rows travel as one
 * JSON array, put together from the journal's texts and never parsed on this side. End-customers who were erased meanwhile
 * come in under their pseudonyms; a record older than what is kept of its organization fails its batch.
 */
import type { Sql } from "../platform/postgres.ts"
import {
  HISTOGRAM_BINS,
  histogramCounts,
  RECORD_COLUMNS,
  ROLLUP_HISTOGRAMS,
  ROLLUP_KEY,
  ROLLUP_SUMS,
} from "./columns.ts"
import { erasedColumns, PSEUDONYM_SQL } from "./erased-columns.ts"
import { AMOUNT_SQL, COUNTS_SQL, OWNER_SQL, SUBJECT_SQL } from "./seed-match.ts"

/** A journal row on its way: its place in the journal and the record as JSON text. */
export type LedgerRow = {
  readonly seq: number
  readonly body: string
}

const STATEMENT_TEXT = ingestStatement()

/**
 * Writes rows of one journal, in journal order, and acknowledges the last of them. Returns how many records were new.
 * Throws what the driver throws; nothing is written then.
 */
export async function ingest(sql: Sql, journalId: string, rows: readonly LedgerRow[]): Promise<number> {
  const lastSeq = rows.at(-1)?.seq
  if (lastSeq === undefined) return 0
  const [answer] = await sql.unsafe<{ inserted: number }[]>(
    STATEMENT_TEXT,
    [batchJson(rows), journalId, String(lastSeq)],
    { prepare: true },
  )
  return answer?.inserted ?? 0
}

/** The last row of a journal that is in the ledger, or was set aside after it; 0 where there is none. */
export async function acknowledgedSeq(sql: Sql, journalId: string): Promise<number> {
  const [row] = await sql<{ last_seq: string }[]>`
    SELECT last_seq::text AS last_seq FROM journal_ack WHERE journal_id = ${journalId}::text::uuid`
  return Number(row?.last_seq ?? 0)
}

/** One JSON array of the rows' objects, each with its `journal_seq` put in front. */
function batchJson(rows: readonly LedgerRow[]): string {
  let json = "["
  for (const { seq, body } of rows) json += `${json.length > 1 ? "," : ""}{"journal_seq":${seq},${body.slice(1)}`
  return `${json}]`
}

function ingestStatement(): string {
  const columns = Object.entries(RECORD_COLUMNS)
  const names = columns.map(([name]) => name)
  const read = columns.map(([name, { read: type }]) => `${name} ${type}`)
  const erased = erasedColumns("r", "r.end_customer", "e.pseudonym")
  const stored = columns.map(([name, { read: type, store, absent }]) => {
    const value = absent === undefined ? `r.${name}` : `coalesce(r.${name}, ${absent}::${type})`
    const other = erased[name]
    if (other !== undefined) return `CASE WHEN e.pseudonym IS NULL THEN ${value} ELSE ${other} END`
    return store === undefined ? value : `${value}::${store}`
  })
  // The order of the key keeps two writers of the same rows from waiting for one another in a circle.
  return `WITH inserted AS (
  INSERT INTO usage_records (${names.join(", ")}, journal_id, journal_seq)
  SELECT ${stored.join(", ")}, $2::text::uuid, r.journal_seq
  FROM json_to_recordset($1::text::json) AS r (${read.join(", ")}, journal_seq bigint)
  LEFT JOIN usage_forgotten f ON f.organization_id = r.organization_id
  LEFT JOIN LATERAL (${PSEUDONYM_SQL}) e ON true
  WHERE f.before IS NULL OR r.time >= f.before OR refuse_forgotten_record()
  ORDER BY r.organization_id, r.time, r.id
  ON CONFLICT DO NOTHING
  RETURNING *
), rolled AS (
${rollupStatement("inserted")}
), marked AS (
${markStatement("inserted")}
), charged AS (
${limitUsageStatement()}
), acknowledged AS (
  INSERT INTO journal_ack AS a (journal_id, last_seq) VALUES ($2::text::uuid, $3::text::bigint)
  ON CONFLICT (journal_id) DO UPDATE SET last_seq = greatest(a.last_seq, excluded.last_seq), updated_at = now()
)
SELECT count(*)::integer AS inserted FROM inserted`
}

/**
 * Rates and concurrency are left out: their windows never end, so a sum of them would say nothing. A charge that names
 * whose counters it belongs to is on a provider account's, which adds up over organizations. New limits count records of
 * their window that do not name them, see `limit-seeds.ts`.
 */
function limitUsageStatement(): string {
  return `  INSERT INTO limit_usage AS u (organization_id, limit_id, subject, window_id, settled, seeded)
  SELECT organization_id, limit_id, subject, window_id, sum(named) + sum(seeded), sum(seeded) FROM (
    SELECT coalesce(c.organization_id, i.organization_id) AS organization_id, c.limit_id, c.subject,
           c."window" AS window_id, c.amount AS named, 0::numeric AS seeded
    FROM inserted i, jsonb_to_recordset(i.charges)
      AS c (limit_id text, subject text, "window" text, amount numeric, organization_id text)
    WHERE c."window" NOT IN ('rate', 'now')
    UNION ALL
    SELECT ${OWNER_SQL}, l.id, ${SUBJECT_SQL}, s.window_id, 0, ${AMOUNT_SQL}
    FROM limit_seeds s JOIN limits l ON l.id = s.limit_id JOIN inserted r ON ${COUNTS_SQL}
    WHERE NOT r.charges @> jsonb_build_array(jsonb_build_object('limit_id', l.id))) charged
  WHERE named <> 0 OR seeded <> 0
  GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
  ON CONFLICT (organization_id, limit_id, subject, window_id)
  DO UPDATE SET settled = u.settled + excluded.settled, seeded = u.seeded + excluded.seeded, updated_at = now()`
}

/** Adds records to the 15-minute rollup; `source` is a table or a WITH query of them. */
export function rollupStatement(source: string): string {
  const keys = Object.keys(ROLLUP_KEY)
  const sums = Object.keys(ROLLUP_SUMS)
  const histograms = Object.keys(ROLLUP_HISTOGRAMS)
  const keyPlaces = keys.map((_, index) => index + 1).join(", ")
  const added = [
    ...sums.map((name) => `${name} = t.${name} + excluded.${name}`),
    ...histograms.map((name) => `${name} = ${addedHistogram(name)}`),
  ]
  const selected = [
    ...Object.values(ROLLUP_KEY),
    ...Object.values(ROLLUP_SUMS),
    ...Object.values(ROLLUP_HISTOGRAMS).map((column) => `ARRAY[${histogramCounts(column).join(", ")}]`),
  ]
  return `  INSERT INTO usage_rollups AS t (${[...keys, ...sums, ...histograms].join(", ")})
  SELECT ${selected.join(",\n    ")}
  FROM ${source}
  GROUP BY ${keyPlaces} ORDER BY ${keyPlaces}
  ON CONFLICT (${keys.join(", ")}) DO UPDATE SET ${added.join(", ")}`
}

/**
 * Marks the buckets of these records as changed since their day was folded. A mark that is there is locked, not
 * written: whoever folds its day waits for this transaction, and a mark taken away before it comes back.
 */
export function markStatement(source: string): string {
  return `  INSERT INTO usage_day_dirty AS d (organization_id, bucket)
  SELECT DISTINCT organization_id, ${ROLLUP_KEY.bucket} FROM ${source} ORDER BY 1, 2
  ON CONFLICT (organization_id, bucket) DO UPDATE SET bucket = d.bucket WHERE false`
}

function addedHistogram(column: string): string {
  return `ARRAY[${HISTOGRAM_BINS.map((bin) => `t.${column}[${bin}] + excluded.${column}[${bin}]`).join(", ")}]`
}
