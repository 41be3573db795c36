/** Looks for limits that were used up to a threshold, in what the ledger knows of the windows that are current. */
import { windowAt } from "../admission/window.ts"
import { readAccountSubject } from "../identity/account-limit.ts"
import type { Limit } from "../identity/limit.ts"
import type { Sql, SqlFragment } from "../platform/postgres.ts"
import { type AlertRule, parametersOf } from "./alert-rule-rows.ts"
import { topContributors } from "./contributors.ts"
import { limitFacts, type UsedLimit } from "./limit-facts.ts"
import type { Found, LookOptions } from "./look.ts"
import { crossedThresholds } from "./thresholds.ts"

/** A quick look sees what was charged since; a whole one all that a month that is not over may have. */
const QUICK_MINUTES = 5
const WHOLE_MINUTES = 32 * 24 * 60

type UsageRow = {
  organization_id: string
  limit_id: string
  subject: string
  subject_name: string
  scope: Limit["scope"]
  kind: Limit["kind"]
  window: Limit["window"]
  time_zone: string
  anchor_day: number
  window_id: string
  settled: string
  cap: string
}

export async function lookAtLimits(options: LookOptions, rule: AlertRule): Promise<readonly Found[]> {
  const { limit_kinds: kinds, thresholds } = parametersOf(rule, "threshold")
  const lowest = Math.min(...thresholds)
  const rows = await usedLimits(options.sql, rule, kinds, lowest, options.isQuick ? QUICK_MINUTES : WHOLE_MINUTES)
  return rows.flatMap((row) => found(options, row, thresholds) ?? [])
}

/** Null where the window is over. */
function found(options: LookOptions, row: UsageRow, thresholds: readonly number[]): Found | null {
  const { sql, nowMs, findSheet } = options
  const span = windowAt(row.window, row.time_zone, row.anchor_day, nowMs)
  if (span.id !== row.window_id) return null
  const [settled, cap] = [BigInt(row.settled), BigInt(row.cap)]
  const isAccount = row.scope === "provider_account"
  const used: UsedLimit = {
    ...{ limitId: row.limit_id, scope: row.scope, kind: row.kind, window: row.window, span, settled, cap },
    subject: isAccount ? readAccountSubject(row.subject).account : row.subject,
    subjectName: isAccount ? "" : row.subject_name,
  }
  const { organization_id, limit_id, subject, scope, kind, window_id } = row
  return {
    finding: {
      ...{ organizationId: organization_id, limitId: limit_id, subject, windowId: window_id, settled, cap },
      thresholds: crossedThresholds(settled, cap, thresholds),
    },
    facts: async () => {
      const contributors = await topContributors({ sql, findSheet }, used, organization_id, nowMs)
      return (threshold) => limitFacts(used, threshold, contributors, nowMs)
    },
    logged: (percent) => ({
      ...{ alert: "limit", percent, limit_id, scope, subject, kind, window: window_id },
      ...{ settled: row.settled, cap: row.cap },
    }),
    said: "limit crossed",
  }
}

/** Limits of these kinds, with what they have settled, from `lowest` per cent of their caps on. */
function usedLimits(
  sql: Sql,
  rule: AlertRule,
  kinds: readonly string[],
  lowest: number,
  minutes: number,
): Promise<UsageRow[]> {
  return sql<UsageRow[]>`
    SELECT coalesce(l.organization_id, '') AS organization_id, u.limit_id, u.subject, l.scope, l.kind, l."window",
           l.time_zone, l.anchor_day, u.window_id, u.settled::text AS settled, l.cap::text AS cap,
           coalesce(CASE l.scope
             WHEN 'organization' THEN (SELECT name FROM organizations WHERE id = l.subject)
             WHEN 'project' THEN (SELECT name FROM projects WHERE id = l.subject)
             WHEN 'user' THEN (SELECT name FROM users WHERE id = l.subject)
             WHEN 'key' THEN (SELECT name FROM virtual_keys WHERE id = l.subject) END, '') AS subject_name
    FROM limit_usage u JOIN limits l ON l.id = u.limit_id
    WHERE u.updated_at > now() - make_interval(mins => ${minutes}) AND l.kind = ANY (${[...kinds]}::text[])
      AND u.settled * 100 >= l.cap * ${lowest} AND ${within(sql, rule)}
    ORDER BY u.limit_id, u.subject, u.window_id`
}

/** What the rule is over. */
function within(sql: Sql, { organization_id: organizationId, project_id: projectId }: AlertRule): SqlFragment {
  if (organizationId === "") return sql`true`
  if (projectId === "") return sql`l.organization_id = ${organizationId}`
  return sql`l.organization_id = ${organizationId} AND (
    (l.scope = 'project' AND l.subject = ${projectId}) OR
    (l.scope = 'key' AND l.subject IN (SELECT id FROM virtual_keys WHERE project_id = ${projectId})))`
}
