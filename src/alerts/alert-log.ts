/** What was raised, as it is listed: what was said, and in which messages. */
import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import type { Sql } from "../platform/postgres.ts"
import type { AlertFacts } from "./alert-message.ts"
import type { DeliveryRow } from "./deliveries.ts"

export type AlertLogRow = {
  readonly id: string
  /** '' for the installation. */
  readonly organization_id: string
  readonly rule_id: string
  /** '' where it is about no limit. */
  readonly limit_id: string
  readonly subject: string
  readonly window_id: string
  readonly threshold_percent: number
  /** Whether the threshold will be reached by the window's end, and was not yet. */
  readonly is_forecast: boolean
  /** Null of what an earlier version raised. */
  readonly facts: AlertFacts | null
  readonly state: "told" | "folded"
  readonly raised_at: Date
  readonly told_at: Date | null
}

/** A page, newest first: ids begin with the time. `after` is the last id of the page before; null for the first. */
export function listAlerts(
  sql: Sql,
  { visibility, after, max }: { visibility: Visibility; after: string | null; max: number },
): Promise<readonly AlertLogRow[]> {
  return sql<AlertLogRow[]>`
    SELECT id, organization_id, rule_id, limit_id, subject, window_id, threshold_percent, is_forecast,
           CASE WHEN facts ? 'title' THEN facts END AS facts, state, raised_at, told_at
    FROM alerts
    WHERE ${visibleRows(sql, visibility, sql`organization_id`, null)}
      ${after === null ? sql`` : sql`AND id < ${after}::uuid`}
    ORDER BY id DESC LIMIT ${max}`
}

export type ToldDelivery = Pick<DeliveryRow, "id" | "channel_id" | "state">

type ToldRow = ToldDelivery & { rule_id: string; organization_id: string; created_at: Date; titles: string[] }

/**
 * For each alert, in order, the messages that told of it. A message is written in the transaction that marks its alerts as
 * told, at the same instant, and holds the titles of all of them.
 */
export async function deliveriesOf(
  sql: Sql,
  alerts: readonly AlertLogRow[],
): Promise<readonly (readonly ToldDelivery[])[]> {
  const instants = alerts.flatMap(({ told_at: toldAt }) => (toldAt === null ? [] : [toldAt.toISOString()]))
  if (instants.length === 0) return alerts.map(() => [])
  const rows = await sql<ToldRow[]>`
    SELECT id, channel_id, state, rule_id, organization_id, created_at,
           ARRAY(SELECT jsonb_array_elements_text(message -> 'folded')) || (message ->> 'title') AS titles
    FROM alert_deliveries
    WHERE created_at = ANY (${[...new Set(instants)]}::timestamptz[]) AND rule_id <> '' ORDER BY id`
  return alerts.map((alert) =>
    rows.flatMap((row) => {
      const { id, channel_id, state } = row
      return isAbout(row, alert) ? [{ id, channel_id, state }] : []
    }),
  )
}

function isAbout(row: ToldRow, { rule_id, organization_id, told_at, facts }: AlertLogRow): boolean {
  const isOfRule = row.rule_id === rule_id && row.organization_id === organization_id
  return isOfRule && row.created_at.getTime() === told_at?.getTime() && row.titles.includes(facts?.title ?? "")
}
