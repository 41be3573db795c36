/**
 * A look at budgets when somebody asks for it, cut to what they see: what would be raised and told to whom, with nothing
 * written; or the same look as the watch's own, now.
 */
import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import type { FindSheet } from "../reporting/token-classes.ts"
import type { AlertFacts } from "./alert-message.ts"
import { type AlertRule, enabledRules } from "./alert-rule-rows.ts"
import { type Finding, newThresholds, raiseAndTell, wouldTell } from "./alert-state.ts"
import { type ChannelRow, channelsFor, readChannels } from "./channel-rows.ts"
import { lookAtLimits } from "./limits-look.ts"
import type { Found, LookOptions } from "./look.ts"
import { userConcerned } from "./recipients.ts"

export type CheckOptions = {
  readonly sql: Sql
  readonly nowMs: number
  readonly findSheet: FindSheet
}

export type BudgetAlert = {
  readonly rule: AlertRule
  readonly finding: Finding
  /** Percent of the cap. */
  readonly threshold: number
  readonly facts: AlertFacts
}

export type ForeseenAlert = BudgetAlert & {
  /** Null: its subject was told of lately, so that it would wait for the next message. */
  readonly channels: readonly ChannelRow[] | null
}

/** What the watch would raise at its next look. */
export async function foreseeAlerts(options: CheckOptions, visibility: Visibility): Promise<readonly ForeseenAlert[]> {
  const { sql, nowMs } = options
  const foreseen: ForeseenAlert[] = []
  for (const { rule, found, finding } of await newFindings(options, visibility)) {
    const factsOf = await found.facts()
    const isTold = await wouldTell(sql, rule.id, finding, nowMs)
    const channels = isTold ? await channelsTold(sql, rule, finding) : null
    for (const threshold of finding.thresholds) {
      foreseen.push({ rule, finding, threshold, facts: factsOf(threshold), channels })
    }
  }
  return foreseen
}

/** Raises what is new, and writes its messages to the outbox; returns what this call raised, and the ids of the messages. */
export async function raiseNow(
  options: CheckOptions & { readonly baseUrl: string | null; readonly log: Log },
  visibility: Visibility,
): Promise<{ readonly alerts: readonly BudgetAlert[]; readonly deliveryIds: readonly string[] }> {
  const alerts: BudgetAlert[] = []
  const deliveryIds: string[] = []
  for (const { rule, found, finding } of await newFindings(options, visibility)) {
    const told = await raiseAndTell(options, rule, finding, await found.facts())
    deliveryIds.push(...told.deliveryIds)
    for (const { threshold, facts } of told.raised) {
      alerts.push({ rule, finding, threshold, facts })
      options.log.warn({ rule_id: rule.id, ...found.logged(threshold) }, found.said)
    }
  }
  return { alerts, deliveryIds }
}

type NewFinding = {
  readonly rule: AlertRule
  readonly found: Found
  /** With those thresholds alone that nobody has raised. */
  readonly finding: Finding
}

/** What a look at limits asks of the process that looks: nothing. */
const NO_PROCESS: Pick<LookOptions, "process" | "downSinceMs"> = {
  process: { storesUp: () => ({}), backlogRows: () => 0 },
  downSinceMs: new Map(),
}

async function newFindings(
  { sql, nowMs, findSheet }: CheckOptions,
  visibility: Visibility,
): Promise<readonly NewFinding[]> {
  const all: NewFinding[] = []
  for (const rule of await enabledRules(sql, (kind) => kind === "threshold")) {
    const looked = await lookAtLimits({ sql, nowMs, findSheet, isQuick: false, ...NO_PROCESS }, rule)
    const seen = await visibleLimits(sql, looked, visibility)
    const found = looked.filter(({ finding }) => seen.has(finding.limitId))
    const fresh = await newThresholds(
      sql,
      rule.id,
      found.map(({ finding }) => finding),
    )
    for (const [index, one] of found.entries()) {
      const thresholds = fresh[index] ?? []
      if (thresholds.length > 0) all.push({ rule, found: one, finding: { ...one.finding, thresholds } })
    }
  }
  return all
}

/** Ids of those limits of the findings that the caller sees. */
async function visibleLimits(sql: Sql, found: readonly Found[], visibility: Visibility): Promise<ReadonlySet<string>> {
  const ids = found.map(({ finding }) => finding.limitId)
  const inProjects = (projectIds: string[]) => sql`(
    (scope = 'project' AND subject = ANY (${projectIds}::text[])) OR
    (scope = 'key' AND subject IN (SELECT id FROM virtual_keys WHERE project_id = ANY (${projectIds}::text[]))))`
  const rows = await sql<{ id: string }[]>`
    SELECT id FROM limits
    WHERE id = ANY (${ids}::text[]) AND ${visibleRows(sql, visibility, sql`organization_id`, inProjects)}`
  return new Set(rows.map(({ id }) => id))
}

async function channelsTold(sql: Sql, rule: AlertRule, { organizationId, subject }: Finding): Promise<ChannelRow[]> {
  const userId = await userConcerned(sql, subject)
  return readChannels(sql, await channelsFor(sql, rule.channel_ids, organizationId, userId !== ""))
}
