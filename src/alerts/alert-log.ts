/** What was raised, as it is listed. */
import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import type { Sql } from "../platform/postgres.ts"

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
  /** '' of what an earlier version raised. */
  readonly title: string
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
    SELECT id, organization_id, rule_id, limit_id, subject, window_id, threshold_percent,
           coalesce(facts ->> 'title', '') AS title, state, raised_at, told_at
    FROM alerts
    WHERE ${visibleRows(sql, visibility, sql`organization_id`, null)}
      ${after === null ? sql`` : sql`AND id < ${after}::uuid`}
    ORDER BY id DESC LIMIT ${max}`
}
