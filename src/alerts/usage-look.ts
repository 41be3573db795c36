/**
 * Looks at what the ledger says of calls and keys: how many calls fail, models without a price, keys that are about to
 * expire. One alert for each subject and day, month or expiry.
 */
import type { Sql, SqlFragment } from "../platform/postgres.ts"
import type { AlertFacts } from "./alert-message.ts"
import type { RuleKind } from "./alert-rule.ts"
import { type AlertRule, parametersOf } from "./alert-rule-rows.ts"
import type { Found, LookOptions } from "./look.ts"

const DAY_MS = 24 * 3_600_000
const MINUTE_MS = 60_000
/** Models without a price that were called within this time. */
const UNPRICED_MS = 3_600_000

type RateRow = { organization_id: string; name: string; calls: string; failed: string }

/** Of the rule's project, or of each organization that it is over. */
export async function lookAtErrorRate({ sql, nowMs }: LookOptions, rule: AlertRule): Promise<readonly Found[]> {
  const { percent, minutes, calls_min: callsMin } = parametersOf(rule, "error_rate")
  const sinceMs = nowMs - minutes * MINUTE_MS
  const rows = await sql<RateRow[]>`
    SELECT r.organization_id, ${rule.project_id === "" ? sql`o.name` : sql`p.name`} AS name, count(*)::text AS calls,
           (count(*) FILTER (WHERE r.outcome = 'error'))::text AS failed
    FROM usage_records r JOIN organizations o ON o.id = r.organization_id
      LEFT JOIN projects p ON p.id = r.project_id
    WHERE r.time > ${new Date(sinceMs)} AND r.time <= ${new Date(nowMs)} AND r.kind = 'call' AND ${within(sql, rule)}
    GROUP BY 1, 2`
  return rows.flatMap((row) => {
    const [calls, failed] = [Number(row.calls), Number(row.failed)]
    if (calls < callsMin || failed * 100 < calls * percent) return []
    const subject = rule.project_id || row.organization_id
    const scope = rule.project_id === "" ? "organization" : "project"
    const rate = Math.floor((failed * 100) / calls)
    return foundOf(rule, {
      ...{ organizationId: row.organization_id, subject, windowId: utcDay(nowMs), settled: failed, cap: 0 },
      title: `${rate} % of the calls of ${scope} ${row.name} failed in the last ${minutes} minutes`,
      facts: { Calls: row.calls, Failed: row.failed, "Told from": `${percent} %` },
      advice: "See which provider and model the failed calls went to, and what they answered.",
      query: {
        ...{ from: new Date(sinceMs).toISOString(), until: new Date(nowMs).toISOString() },
        ...{ [scope]: subject, outcome: "error", by: "provider,model", measure: "requests" },
      },
    })
  })
}

type UnpricedRow = { organization_id: string; name: string; provider: string; model: string; calls: string }

/** Each model once a month in each organization. */
export async function lookAtUnpriced({ sql, nowMs }: LookOptions, rule: AlertRule): Promise<readonly Found[]> {
  const rows = await sql<UnpricedRow[]>`
    SELECT r.organization_id, o.name, r.provider, r.model_served AS model, sum(r.unpriced_records)::text AS calls
    FROM usage_rollups r JOIN organizations o ON o.id = r.organization_id
    WHERE r.bucket > ${new Date(nowMs - UNPRICED_MS)} AND r.unpriced_records > 0 AND ${within(sql, rule)}
    GROUP BY 1, 2, 3, 4`
  return rows.map(({ organization_id, name, provider, model, calls }) => {
    return foundOf(rule, {
      ...{ organizationId: organization_id, subject: `${provider}/${model}`, windowId: utcDay(nowMs).slice(0, 7) },
      ...{ settled: Number(calls), cap: 0 },
      title: `${provider}/${model} has no price: calls of organization ${name} are not in any sum of money`,
      facts: { Provider: provider, Model: model, "Calls in the last hour": calls },
      advice:
        "Add the model's price to a file under prices.files; `tallygate prices explain` shows what a call would cost.",
      query: { range: "today", organization: organization_id, provider, model, unpriced: "true", measure: "requests" },
    })
  })
}

type ExpiryRow = { id: string; name: string; organization_id: string; project_name: string; expires_at: Date }

/** Each key once for its expiry. */
export async function lookAtKeyExpiry({ sql, nowMs }: LookOptions, rule: AlertRule): Promise<readonly Found[]> {
  const { days } = parametersOf(rule, "key_expiry")
  const rows = await sql<ExpiryRow[]>`
    SELECT r.id, r.name, r.organization_id, p.name AS project_name, r.expires_at
    FROM virtual_keys r JOIN projects p ON p.id = r.project_id
    WHERE r.revoked_at IS NULL AND r.expires_at > ${new Date(nowMs)}
      AND r.expires_at <= ${new Date(nowMs + days * DAY_MS)} AND ${within(sql, rule)}
    ORDER BY r.id`
  return rows.map(({ id, name, organization_id, project_name, expires_at }) => {
    return foundOf(rule, {
      ...{ organizationId: organization_id, subject: id, windowId: expires_at.toISOString(), settled: 0, cap: 0 },
      title: `Key ${name} of project ${project_name} expires at ${expires_at.toISOString()}`,
      facts: { Key: name, Project: project_name, Expires: expires_at.toISOString() },
      advice: "Give the key a later expiry, or its holder a new key; calls with it are refused from then on.",
      query: { key: id, by: "model" },
    })
  })
}

/** What a rule is over, of rows `r` that have an organization and a project. */
export function within(sql: Sql, { organization_id: organizationId, project_id: projectId }: AlertRule): SqlFragment {
  if (organizationId === "") return sql`true`
  const ofProject = projectId === "" ? sql`` : sql`AND r.project_id = ${projectId}`
  return sql`r.organization_id = ${organizationId} ${ofProject}`
}

export function utcDay(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10)
}

/** Something found that has no thresholds: it is there or it is not. */
export type FoundThing = {
  readonly organizationId: string
  readonly subject: string
  readonly windowId: string
  readonly settled: number
  readonly cap: number
  readonly title: string
  readonly facts: Readonly<Record<string, string>>
  readonly advice: string
  /** Of the view that shows it; null where it is not about usage. */
  readonly query: Readonly<Record<string, string>> | null
}

/** What there is to be told of it. */
export function foundOf(rule: Pick<AlertRule, "kind">, found: FoundThing): Found {
  const { organizationId, subject, windowId, settled, cap, title, advice, query } = found
  const kind: RuleKind = rule.kind
  const facts: AlertFacts = {
    ...{ kind, title, advice, contributors: [] },
    facts: Object.entries(found.facts).map(([name, value]) => ({ name, value })),
    path: query === null ? "/dashboard/overview" : `/dashboard/usage?${new URLSearchParams(query)}`,
    data: { subject, window: windowId, ...found.facts },
  }
  return {
    finding: {
      ...{ organizationId, limitId: "", subject, windowId, thresholds: [0], isForecast: false },
      ...{ settled: BigInt(settled), cap: BigInt(cap) },
    },
    facts: async () => () => facts,
    logged: () => ({ alert: kind, organization_id: organizationId, subject, window: windowId }),
    said: "alert raised",
  }
}
