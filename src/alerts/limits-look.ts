/** Looks for limits that were used up to a threshold, in what the ledger knows of the windows that are current. */
import { earlierWindows, windowAt } from "../admission/window.ts"
import { shownAccount } from "../identity/account-limit.ts"
import { readSubject } from "../identity/counted-apart.ts"
import type { Limit } from "../identity/limit.ts"
import type { Sql, SqlFragment } from "../platform/postgres.ts"
import { DEFAULT_RULE_ID } from "./alert-rule.ts"
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
  /** In force: of a raise while it lasts. */
  cap: string
  /** The limit's own, lowest first. */
  thresholds: number[]
  enforcement: Limit["enforcement"]
  /** Whom the limit counts apart; '' where it counts all together. */
  each: Limit["each"]
}

export async function lookAtLimits(options: LookOptions, rule: AlertRule): Promise<readonly Found[]> {
  const { limit_kinds: kinds, thresholds } = parametersOf(rule, "threshold")
  // What nobody has made a rule for is told as the limit itself says.
  const own = rule.id === DEFAULT_RULE_ID ? null : thresholds
  const rows = await usedLimits(options, rule, kinds, own)
  const all = await Promise.all(rows.map((row) => found(options, row, own ?? row.thresholds)))
  return all.flatMap((one) => one ?? [])
}

/** Null where the window is over. */
async function found(options: LookOptions, row: UsageRow, thresholds: readonly number[]): Promise<Found | null> {
  const { sql, nowMs, findSheet } = options
  const span = windowAt(row.window, row.time_zone, row.anchor_day, nowMs)
  if (span.id !== row.window_id) return null
  const [settled, cap] = [BigInt(row.settled) + (await settledEarlier(sql, row)), BigInt(row.cap)]
  const isAccount = row.scope === "provider_account"
  const { own, counted } = readSubject(row.subject)
  const used: UsedLimit = {
    ...{ limitId: row.limit_id, scope: row.scope, kind: row.kind, window: row.window, span, settled, cap },
    enforcement: row.enforcement,
    subject: isAccount ? shownAccount(own) : own,
    subjectName: [isAccount ? "" : row.subject_name, counted === "" ? "" : `${row.each} ${counted}`]
      .filter((part) => part !== "")
      .join(", "),
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
      ...{ settled: settled.toString(), cap: row.cap },
    }),
    said: "limit crossed",
  }
}

/** What the earlier days of a rolling window have settled; 0 of every other window, which is one counter. */
async function settledEarlier(sql: Sql, { limit_id, subject, window_id }: UsageRow): Promise<bigint> {
  const earlier = earlierWindows(window_id)
  if (earlier.length === 0) return 0n
  const [row] = await sql<{ settled: string }[]>`
    SELECT coalesce(sum(settled), 0)::text AS settled FROM limit_usage
    WHERE limit_id = ${limit_id} AND subject = ${subject} AND window_id = ANY (${[...earlier]}::text[])`
  return BigInt(row?.settled ?? 0)
}

/**
 * Limits of these kinds, with what they have settled, from the lowest threshold on; of rolling windows all that were used
 * today. `thresholds`: null for each limit's own.
 */
function usedLimits(
  { sql, nowMs, isQuick }: LookOptions,
  rule: AlertRule,
  kinds: readonly string[],
  thresholds: readonly number[] | null,
): Promise<UsageRow[]> {
  const minutes = isQuick ? QUICK_MINUTES : WHOLE_MINUTES
  const now = new Date(nowMs)
  const cap = sql`(CASE WHEN l.raised_until > ${now} THEN greatest(l.raised_cap, l.cap) ELSE l.cap END)`
  const lowest = thresholds === null ? sql`l.thresholds[1]` : sql`${Math.min(...thresholds)}::int`
  return sql<UsageRow[]>`
    SELECT coalesce(l.organization_id, '') AS organization_id, u.limit_id, u.subject, l.scope, l.kind, l."window",
           l.time_zone, l.anchor_day, u.window_id, u.settled::text AS settled, ${cap}::text AS cap, l.thresholds, l.enforcement, l.each,
           coalesce(CASE l.scope
             WHEN 'organization' THEN (SELECT name FROM organizations WHERE id = l.subject)
             WHEN 'project' THEN (SELECT name FROM projects WHERE id = l.subject)
             WHEN 'user' THEN (SELECT name FROM users WHERE id = l.subject)
             WHEN 'key' THEN (SELECT name FROM virtual_keys WHERE id = l.subject) END, '') AS subject_name
    FROM limit_usage u JOIN limits l ON l.id = u.limit_id
    WHERE u.updated_at > now() - make_interval(mins => ${minutes}) AND l.kind = ANY (${[...kinds]}::text[])
      AND (l."window" = 'rolling' OR u.settled * 100 >= ${cap} * ${lowest}) AND ${within(sql, rule)}
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
