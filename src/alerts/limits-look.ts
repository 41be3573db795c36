/**
 * Looks for limits that were used up to a threshold, in what the ledger knows of the windows that are current, and for
 * limits that will be by the end of their window, at the pace of the last weeks.
 */
import { earlierWindows, windowAt } from "../admission/window.ts"
import { shownAccount } from "../identity/account-limit.ts"
import { NOBODY, readSubject } from "../identity/counted-apart.ts"
import type { Limit } from "../identity/limit.ts"
import { filterFrom } from "../identity/limit-row.ts"
import type { Sql, SqlFragment } from "../platform/postgres.ts"
import { type CountedLimit, forecastLimits, type LimitForecast } from "../reporting/limit-forecast.ts"
import { NONE } from "../reporting/question.ts"
import { inSnapshot } from "../reporting/snapshot.ts"
import { DEFAULT_RULE_ID } from "./alert-rule.ts"
import { type AlertRule, parametersOf } from "./alert-rule-rows.ts"
import { topContributors } from "./contributors.ts"
import { limitFacts, projected, type UsedLimit } from "./limit-facts.ts"
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
  /** Of whom the limit counts apart; '' where it counts all together, or has no name for it. */
  counted_name: string
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
  filter_tool: string
  filter_tag: string
  filter_model: string
  filter_endpoint: string
}

/**
 * Windows that are forecast: of a shorter one a message would come too late or every day, and rolling and lifetime ones
 * have no end.
 */
const FORECAST_WINDOWS: readonly Limit["window"][] = ["week", "month", "quarter", "year"]
/** What would not reach the threshold at so many times its average rate is not forecast: forecasts read much. */
const RATES_MAX = 4n

type CurrentLimit = {
  readonly row: UsageRow
  readonly used: UsedLimit
  /** What forecasts take; null of limits of requests. */
  readonly counted: CountedLimit | null
}

export async function lookAtLimits(options: LookOptions, rule: AlertRule): Promise<readonly Found[]> {
  const { limit_kinds: kinds, thresholds, forecast_thresholds: forecastThresholds } = parametersOf(rule, "threshold")
  // What nobody has made a rule for is told as the limit itself says.
  const own = rule.id === DEFAULT_RULE_ID ? null : thresholds
  const isForecasting = !options.isQuick && forecastThresholds.length > 0
  const rows = await usedLimits(options, rule, { kinds, thresholds: own, isForecasting })
  const current = (await Promise.all(rows.map((row) => currentLimit(options, row)))).flatMap((one) => one ?? [])
  const reached = current.map((one) => {
    const { settled, cap } = one.used
    return foundOf(options, one, crossedThresholds(settled, cap, own ?? one.row.thresholds), null)
  })
  return isForecasting ? [...reached, ...(await forecasts(options, current, forecastThresholds))] : reached
}

/** Null where the window is over. */
async function currentLimit({ sql, nowMs }: LookOptions, row: UsageRow): Promise<CurrentLimit | null> {
  const { scope, kind, window, each, time_zone: timeZone } = row
  const span = windowAt(window, timeZone, row.anchor_day, nowMs)
  if (span.id !== row.window_id) return null
  const [settled, cap] = [BigInt(row.settled) + (await settledEarlier(sql, row)), BigInt(row.cap)]
  const isAccount = scope === "provider_account"
  const { own, counted } = readSubject(row.subject)
  const subject = isAccount ? shownAccount(own) : own
  const filter = filterFrom(row)
  const used: UsedLimit = {
    ...{ limitId: row.limit_id, scope, kind, window, span, settled, cap, subject, enforcement: row.enforcement },
    subjectName: [isAccount ? "" : row.subject_name, counted === "" ? "" : `${each} ${row.counted_name || counted}`]
      .filter((part) => part !== "")
      .join(", "),
    narrowedBy: {
      ...(each === "" ? {} : { [each]: counted === NOBODY ? NONE : counted }),
      ...(filter === null ? {} : { [filter.by]: filter.value }),
    },
  }
  if (kind !== "usd" && kind !== "tokens") return { row, used, counted: null }
  const counter = { organizationId: row.organization_id, scope, subject, each, counted, kind, timeZone, filter }
  return { row, used, counted: { counter, window, span, used: settled, cap, earlier: [] } }
}

/** Limits that will have reached a threshold at the end of their window and have not yet. */
async function forecasts(
  options: LookOptions,
  current: readonly CurrentLimit[],
  thresholds: readonly number[],
): Promise<Found[]> {
  const lowest = BigInt(Math.min(...thresholds))
  const worth = current.flatMap((one) => {
    const { window, cap } = one.used
    const atMost = (projected(one.used, options.nowMs) ?? 0n) * RATES_MAX
    const isWorth = FORECAST_WINDOWS.includes(window) && cap > 0n && atMost * 100n >= cap * lowest
    return isWorth && one.counted !== null ? [{ one, counted: one.counted }] : []
  })
  if (worth.length === 0) return []
  const counted = worth.map((each) => each.counted)
  const found = await inSnapshot(options.sql, (transaction) => forecastLimits(transaction, counted, options.nowMs))
  return worth.flatMap(({ one }, index) => {
    const forecast = found[index]
    if (forecast?.projection === null || forecast === undefined) return []
    const { settled, cap } = one.used
    const reached = new Set(crossedThresholds(settled, cap, thresholds))
    const coming = crossedThresholds(forecast.projection.projected, cap, thresholds)
    return [
      foundOf(
        options,
        one,
        coming.filter((threshold) => !reached.has(threshold)),
        forecast,
      ),
    ]
  })
}

/** `forecast`: what the thresholds are of, where they are not reached yet; null where they are. */
function foundOf(
  options: LookOptions,
  { row, used, counted }: CurrentLimit,
  thresholds: readonly number[],
  forecast: LimitForecast | null,
): Found {
  const { sql, nowMs, findSheet } = options
  const { organization_id, limit_id, subject, scope, kind, window_id } = row
  const { settled, cap } = used
  const isForecast = forecast !== null
  return {
    finding: {
      ...{ organizationId: organization_id, limitId: limit_id, subject, windowId: window_id, settled, cap },
      ...{ thresholds, isForecast },
    },
    facts: async () => {
      const contributors = await topContributors({ sql, findSheet }, used, organization_id, nowMs)
      const known = forecast ?? (await forecastOf(options, used, counted))
      return (threshold) => limitFacts(used, { threshold, isForecast }, contributors, known, nowMs)
    },
    logged: (percent) => ({
      ...{ alert: "limit", on: isForecast ? "forecast" : "actual", percent, limit_id, scope, subject, kind },
      ...{ window: window_id, settled: settled.toString(), cap: row.cap },
    }),
    said: isForecast ? "limit will be crossed" : "limit crossed",
  }
}

/** Where one limit goes; null where nobody can say. */
async function forecastOf(
  { sql, nowMs }: LookOptions,
  { window }: UsedLimit,
  counted: CountedLimit | null,
): Promise<LimitForecast | null> {
  if (counted === null || window === "rolling") return null
  const [forecast] = await inSnapshot(sql, (transaction) => forecastLimits(transaction, [counted], nowMs))
  return forecast ?? null
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
 * Limits of these kinds, with what they have settled, from the lowest threshold on; of rolling windows, and of those that
 * are forecast, all that were used. `thresholds`: null for each limit's own.
 */
function usedLimits(
  { sql, nowMs, isQuick }: LookOptions,
  rule: AlertRule,
  asked: {
    readonly kinds: readonly string[]
    readonly thresholds: readonly number[] | null
    readonly isForecasting: boolean
  },
): Promise<UsageRow[]> {
  const { kinds, thresholds, isForecasting } = asked
  const minutes = isQuick ? QUICK_MINUTES : WHOLE_MINUTES
  const now = new Date(nowMs)
  const unconditional = ["rolling", ...(isForecasting ? FORECAST_WINDOWS : [])]
  const cap = sql`(CASE WHEN l.raised_until > ${now} THEN greatest(l.raised_cap, l.cap) ELSE l.cap END)`
  const lowest = thresholds === null ? sql`l.thresholds[1]` : sql`${Math.min(...thresholds)}::int`
  return sql<UsageRow[]>`
    SELECT coalesce(l.organization_id, '') AS organization_id, u.limit_id, u.subject, l.scope, l.kind, l."window",
           l.time_zone, l.anchor_day, u.window_id, u.settled::text AS settled, ${cap}::text AS cap, l.thresholds, l.enforcement, l.each,
           l.filter_tool, l.filter_tag, l.filter_model, l.filter_endpoint,
           coalesce(CASE l.scope
             WHEN 'organization' THEN (SELECT name FROM organizations WHERE id = l.subject)
             WHEN 'project' THEN (SELECT name FROM projects WHERE id = l.subject)
             WHEN 'user' THEN (SELECT name FROM users WHERE id = l.subject)
             WHEN 'key' THEN (SELECT name FROM virtual_keys WHERE id = l.subject) END, '') AS subject_name,
           coalesce(CASE l.each
             WHEN 'organization' THEN (SELECT name FROM organizations WHERE id = split_part(u.subject, ' ', 2))
             WHEN 'project' THEN (SELECT name FROM projects WHERE id = split_part(u.subject, ' ', 2))
             WHEN 'user' THEN (SELECT name FROM users WHERE id = split_part(u.subject, ' ', 2))
             WHEN 'key' THEN (SELECT name FROM virtual_keys WHERE id = split_part(u.subject, ' ', 2)) END, '') AS counted_name
    FROM limit_usage u JOIN limits l ON l.id = u.limit_id
    WHERE u.updated_at > now() - make_interval(mins => ${minutes}) AND l.kind = ANY (${[...kinds]}::text[])
      AND (l."window" = ANY (${unconditional}::text[]) OR u.settled * 100 >= ${cap} * ${lowest}) AND ${within(sql, rule)}
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
