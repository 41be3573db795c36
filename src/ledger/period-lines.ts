/**
 * The lines of a month's statement, in one statement of SQL each: what the rollup has of the month, by project, provider
 * and model; and of earlier months that are closed, by how much the rollup has come to differ from all that was stated of
 * them since. So whatever comes late, by whatever way, is stated once, and sums agree with the ledger to the last decimal.
 */
import type { Sql, SqlFragment, Transaction } from "../platform/postgres.ts"

/** The sums of a line, as decimal strings. They can be below 0 on lines of earlier periods. */
export const LINE_SUMS = [
  "records",
  "adjustments",
  "unpriced_records",
  "input_uncached_tokens",
  "cache_read_tokens",
  "cache_write_5m_tokens",
  "cache_write_1h_tokens",
  "output_tokens",
  "cost_usd",
] as const
export type LineSums = Readonly<Record<(typeof LINE_SUMS)[number], string>>

export type PeriodLine = LineSums & {
  /** The month that the usage is of; an earlier one than the statement's where it came after that was closed. */
  readonly for_period: string
  readonly project_id: string
  readonly project: string
  readonly client: string
  readonly cost_center: string
  readonly provider: string
  readonly model: string
}

/** A month of an organization, and whether its statement takes what came late for those before it. */
export type LinesQuestion = {
  readonly organizationId: string
  readonly period: string
  readonly startsAt: Date
  readonly endsAt: Date
  readonly takesEarlier: boolean
}

const COLUMNS = ["for_period", "project_id", "project", "client", "cost_center", "provider", "model", ...LINE_SUMS]

/** The lines as the ledger has them now. */
export async function readLines(sql: Sql | Transaction, question: LinesQuestion): Promise<PeriodLine[]> {
  return sql<PeriodLine[]>`SELECT ${shownColumns(sql)} FROM (${linesNow(sql, question)}) l ORDER BY ${ORDER(sql)}`
}

/** Writes the lines down for good. */
export async function freezeLines(transaction: Transaction, question: LinesQuestion): Promise<void> {
  const { organizationId, period } = question
  const columns = transaction.unsafe(COLUMNS.join(", "))
  await transaction`
    INSERT INTO period_lines (organization_id, period, ${columns})
    SELECT ${organizationId}, ${period}, ${columns} FROM (${linesNow(transaction, question)}) l`
}

/** The lines as they were written down. */
export async function frozenLines(
  sql: Sql | Transaction,
  organizationId: string,
  period: string,
): Promise<PeriodLine[]> {
  return sql<PeriodLine[]>`
    SELECT ${shownColumns(sql)} FROM period_lines l
    WHERE organization_id = ${organizationId} AND period = ${period} ORDER BY ${ORDER(sql)}`
}

/** The month's own lines first, the dearest first. */
const ORDER = (sql: Sql | Transaction): SqlFragment =>
  sql`l.for_period DESC, l.cost_usd DESC, l.project_id, l.provider, l.model`

function shownColumns(sql: Sql | Transaction): SqlFragment {
  const texts = COLUMNS.filter((name) => !isSum(name)).map((name) => `l.${name}`)
  const sums = LINE_SUMS.map((name) => `trim_scale(l.${name})::text AS ${name}`)
  return sql.unsafe([...texts, ...sums].join(", "))
}

function isSum(name: string): boolean {
  return (LINE_SUMS as readonly string[]).includes(name)
}

function linesNow(sql: Sql | Transaction, question: LinesQuestion): SqlFragment {
  const { organizationId, period, startsAt, endsAt, takesEarlier } = question
  const summed = sql.unsafe(LINE_SUMS.map((name) => `sum(${name}) AS ${name}`).join(", "))
  const plain = sql.unsafe(LINE_SUMS.map((name) => `r.${name}`).join(", "))
  const taken = sql.unsafe(LINE_SUMS.map((name) => `-l.${name}`).join(", "))
  const differs = sql.unsafe(LINE_SUMS.map((name) => `sum(${name}) <> 0`).join(" OR "))
  const earlier = sql`
    UNION ALL
    SELECT for_period, project_id, provider, model, ${summed} FROM (
      SELECT c.period AS for_period, r.project_id, r.provider, r.model_served AS model, ${plain}
      FROM periods c JOIN usage_rollups r
        ON r.organization_id = c.organization_id AND r.bucket >= c.starts_at AND r.bucket < c.ends_at
      WHERE c.organization_id = ${organizationId} AND c.period < ${period}
      UNION ALL
      SELECT l.for_period, l.project_id, l.provider, l.model, ${taken}
      FROM period_lines l WHERE l.organization_id = ${organizationId} AND l.period < ${period}) came_and_stated
    GROUP BY 1, 2, 3, 4 HAVING ${differs}`
  return sql`
    SELECT s.*, coalesce(p.name, '') AS project, coalesce(p.client, '') AS client,
      coalesce(p.cost_center, '') AS cost_center
    FROM (
      SELECT ${period}::text AS for_period, r.project_id, r.provider, r.model_served AS model, ${summed}
      FROM usage_rollups r
      WHERE r.organization_id = ${organizationId} AND r.bucket >= ${startsAt} AND r.bucket < ${endsAt}
      GROUP BY 1, 2, 3, 4
      ${takesEarlier ? earlier : sql``}) s
    LEFT JOIN projects p ON p.id = s.project_id`
}
