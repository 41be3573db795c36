/**
 * Raises alerts: one row for each rule, subject, window and threshold decides which process is the one to tell, and the
 * messages that say so are written to the outbox in the same transaction. So an alert is never without its message and a
 * message never sent twice, whichever process dies when.
 */
import { uuidv7Mint } from "../platform/ids.ts"
import type { Sql, SqlFragment, Transaction } from "../platform/postgres.ts"
import { type AlertFacts, type AlertMessage, linkTo } from "./alert-message.ts"
import type { AlertRule } from "./alert-rule-rows.ts"
import { channelsFor } from "./channel-rows.ts"
import { writeDelivery } from "./deliveries.ts"
import { userConcerned } from "./recipients.ts"
import { decideTelling, type LastTold, QUIET_MS } from "./tell-decision.ts"

/** What an alert is about, within its rule. */
export type AlertSubject = {
  /** '' for the installation. */
  readonly organizationId: string
  /** '' where it is about no limit. */
  readonly limitId: string
  readonly subject: string
}

/** What a look at the ledger has found. */
export type Finding = AlertSubject & {
  readonly windowId: string
  /** Reached, lowest first, in percent; [0] of a rule without thresholds. */
  readonly thresholds: readonly number[]
  /** Whether the thresholds will be reached by the window's end, and are not yet. */
  readonly isForecast: boolean
  readonly settled: bigint
  readonly cap: bigint
}

/** One alert that this process raised. */
export type RaisedAlert = { readonly threshold: number; readonly facts: AlertFacts }

export type RaiseOptions = { readonly sql: Sql; readonly nowMs: number; readonly baseUrl: string | null }

type AlertRow = { id: string; threshold_percent: number; is_forecast: boolean; facts: AlertFacts; raised_at: Date }

const mintId = uuidv7Mint()

/** Raises what is new of the finding; none where another process was first. `factsOf` says what each threshold means. */
export async function raise(
  options: RaiseOptions,
  rule: AlertRule,
  finding: Finding,
  factsOf: (threshold: number) => AlertFacts,
): Promise<readonly RaisedAlert[]> {
  return (await raiseAndTell(options, rule, finding, factsOf)).raised
}

/** The same, with the ids of the messages that were written for it; none where its subject was told of lately. */
export function raiseAndTell(
  { sql, nowMs, baseUrl }: RaiseOptions,
  rule: AlertRule,
  finding: Finding,
  factsOf: (threshold: number) => AlertFacts,
): Promise<{ readonly raised: readonly RaisedAlert[]; readonly deliveryIds: readonly string[] }> {
  return sql.begin(async (transaction) => {
    const last = await lockSubject(transaction, rule.id, finding)
    const raised: RaisedAlert[] = []
    for (const threshold of finding.thresholds) {
      const facts = factsOf(threshold)
      if (await insertAlert(transaction, rule.id, finding, threshold, facts, nowMs)) raised.push({ threshold, facts })
    }
    const told = raised.length > 0 ? await tell(transaction, rule, finding, last, nowMs, baseUrl) : null
    return { raised, deliveryIds: told ?? [] }
  })
}

/** Whether a message would go out at once, were these thresholds of the finding raised now. */
export async function wouldTell(sql: Sql, ruleId: string, finding: Finding, nowMs: number): Promise<boolean> {
  const waiting = (await untold(sql, ruleId, finding)).map(decidedBy)
  const fresh = finding.thresholds.map((percent) => ({ id: "", threshold: finding.isForecast ? 0 : percent }))
  return decideTelling([...waiting, ...fresh], await lastTold(sql, ruleId, finding, sql``), nowMs).kind === "tell"
}

function decidedBy({ id, threshold_percent, is_forecast }: AlertRow) {
  return { id, threshold: is_forecast ? 0 : threshold_percent }
}

/** Tells what has waited for its subject's quiet time to end. Returns how many subjects were told of. */
export async function tellWaiting({ sql, nowMs, baseUrl }: RaiseOptions, rules: readonly AlertRule[]): Promise<number> {
  let told = 0
  for (const { rule_id, organization_id, limit_id, subject } of await waitingSubjects(sql, nowMs)) {
    const rule = rules.find(({ id }) => id === rule_id)
    if (rule === undefined) continue
    const of = { organizationId: organization_id, limitId: limit_id, subject }
    await sql.begin(async (transaction) => {
      const last = await lockSubject(transaction, rule_id, of)
      if ((await tell(transaction, rule, of, last, nowMs, baseUrl)) !== null) told++
    })
  }
  return told
}

type WaitingRow = { rule_id: string; organization_id: string; limit_id: string; subject: string }

function waitingSubjects(sql: Sql, nowMs: number): Promise<WaitingRow[]> {
  return sql<WaitingRow[]>`
    SELECT DISTINCT a.rule_id, a.organization_id, a.limit_id, a.subject
    FROM alerts a JOIN alert_subjects s USING (rule_id, organization_id, limit_id, subject)
    WHERE a.told_at IS NULL AND s.last_told_at <= ${new Date(nowMs - QUIET_MS)}`
}

/** Whoever comes second waits here, and then sees what the first has done. */
async function lockSubject(transaction: Transaction, ruleId: string, of: AlertSubject) {
  const { organizationId, limitId, subject } = of
  await transaction`
    INSERT INTO alert_subjects (rule_id, organization_id, limit_id, subject)
    VALUES (${ruleId}, ${organizationId}, ${limitId}, ${subject}) ON CONFLICT DO NOTHING`
  return lastTold(transaction, ruleId, of, transaction`FOR UPDATE`)
}

/** Null where its subject was never told of. */
async function lastTold(
  sql: Sql | Transaction,
  ruleId: string,
  { organizationId, limitId, subject }: AlertSubject,
  locking: SqlFragment,
): Promise<LastTold | null> {
  const [row] = await sql<{ last_told_at: Date | null; last_threshold: number }[]>`
    SELECT last_told_at, last_threshold FROM alert_subjects
    WHERE rule_id = ${ruleId} AND organization_id = ${organizationId} AND limit_id = ${limitId} AND subject = ${subject}
    ${locking}`
  const atMs = row?.last_told_at?.getTime()
  return row === undefined || atMs === undefined ? null : { atMs, threshold: row.last_threshold }
}

/** True where this process wrote the row, so that it is the one to tell. */
async function insertAlert(
  transaction: Transaction,
  ruleId: string,
  finding: Finding,
  threshold: number,
  facts: AlertFacts,
  nowMs: number,
): Promise<boolean> {
  const { organizationId, limitId, subject, windowId, isForecast, settled, cap } = finding
  const rows = await transaction`
    INSERT INTO alerts (id, organization_id, rule_id, limit_id, subject, window_id, threshold_percent, is_forecast,
                        settled, cap, state, facts, raised_at)
    VALUES (${mintId(nowMs)}, ${organizationId}, ${ruleId}, ${limitId}, ${subject}, ${windowId}, ${threshold},
            ${isForecast}, ${settled.toString()}, ${cap.toString()}, 'folded', ${JSON.stringify(facts)}::text::jsonb, ${new Date(nowMs)})
    ON CONFLICT DO NOTHING RETURNING 1`
  return rows.length === 1
}

/** Writes the subject's next message for every channel, if it is time for one: their ids; null where nobody is told. */
async function tell(
  transaction: Transaction,
  rule: AlertRule,
  of: AlertSubject,
  last: Awaited<ReturnType<typeof lockSubject>>,
  nowMs: number,
  baseUrl: string | null,
): Promise<readonly string[] | null> {
  const rows = await untold(transaction, rule.id, of)
  const decision = decideTelling(rows.map(decidedBy), last, nowMs)
  if (decision.kind === "wait") return null
  const { reason, folded } = decision
  const row = rows.find(({ id }) => id === reason.id)
  if (row === undefined) throw new Error("An alert that was read is not among those that were read.")
  const message: AlertMessage = {
    ...row.facts,
    organization: await organizationNamed(transaction, of.organizationId),
    raisedAt: row.raised_at.toISOString(),
    folded: rows.filter(({ id }) => folded.some((one) => one.id === id)).map(({ facts }) => facts.title),
    link: linkTo(baseUrl, row.facts.path),
  }
  const userId = await userConcerned(transaction, of.subject)
  const channelIds = await channelsFor(transaction, rule.channel_ids, of.organizationId, userId !== "")
  const said = { organizationId: of.organizationId, ruleId: rule.id, digestId: "", userId, message }
  const deliveryIds: string[] = []
  for (const channelId of channelIds) deliveryIds.push(await writeDelivery(transaction, { ...said, channelId }, nowMs))
  await markTold(transaction, rows, reason.id, nowMs)
  // What nobody was there to be told of keeps nobody from being told of the next.
  if (channelIds.length === 0) return null
  const { organizationId, limitId, subject } = of
  await transaction`
    UPDATE alert_subjects SET last_told_at = ${new Date(nowMs)}, last_threshold = ${reason.threshold}
    WHERE rule_id = ${rule.id} AND organization_id = ${organizationId} AND limit_id = ${limitId} AND subject = ${subject}`
  return deliveryIds
}

function untold(sql: Sql | Transaction, ruleId: string, of: AlertSubject): Promise<AlertRow[]> {
  return sql<AlertRow[]>`
    SELECT id, threshold_percent, is_forecast, facts, raised_at FROM alerts
    WHERE rule_id = ${ruleId} AND organization_id = ${of.organizationId} AND limit_id = ${of.limitId}
      AND subject = ${of.subject} AND told_at IS NULL
    ORDER BY raised_at, threshold_percent`
}

async function markTold(
  transaction: Transaction,
  rows: readonly AlertRow[],
  reasonId: string,
  nowMs: number,
): Promise<void> {
  const ids = rows.map(({ id }) => id)
  await transaction`
    UPDATE alerts SET told_at = ${new Date(nowMs)},
                      state = CASE WHEN id = ${reasonId}::uuid THEN 'told' ELSE 'folded' END
    WHERE id = ANY (${ids}::uuid[])`
}

async function organizationNamed(transaction: Transaction, id: string): Promise<AlertMessage["organization"]> {
  const [row] = await transaction<{ name: string }[]>`SELECT name FROM organizations WHERE id = ${id}`
  return { id, name: row?.name ?? "" }
}

type KnownRow = {
  organization_id: string
  limit_id: string
  subject: string
  window_id: string
  threshold_percent: number
  is_forecast: boolean
  cap: string
}

/** For each finding the thresholds that no process has raised; [] for most of them, most of the time. */
export async function newThresholds(sql: Sql, ruleId: string, findings: readonly Finding[]): Promise<number[][]> {
  if (findings.length === 0) return []
  const windows = [...new Set(findings.map(({ windowId }) => windowId))]
  const rows = await sql<KnownRow[]>`
    SELECT organization_id, limit_id, subject, window_id, threshold_percent, is_forecast, cap::text AS cap FROM alerts
    WHERE rule_id = ${ruleId} AND window_id = ANY (${windows}::text[])`
  const known = new Set(
    rows.map((row) =>
      [
        row.organization_id,
        row.limit_id,
        row.subject,
        row.window_id,
        row.cap,
        row.is_forecast,
        row.threshold_percent,
      ].join("\0"),
    ),
  )
  return findings.map((one) => {
    const { organizationId, limitId, subject, windowId, cap, isForecast } = one
    const key = [organizationId, limitId, subject, windowId, cap, isForecast].join("\0")
    return one.thresholds.filter((threshold) => !known.has(`${key}\0${threshold}`))
  })
}
