/**
 * Looks for accounts at providers that do not serve, by what became of the last minutes' calls: no answer, a cut one, a
 * time-out, or the provider's own failure (5xx). What a provider refuses (4xx) it has answered. One alert for each account
 * and day: to the installation over all its calls, and to each organization concerned that has channels of its own; and
 * one more to whom it was told, once the account serves again.
 */
import type { Sql } from "../platform/postgres.ts"
import { type AlertRule, parametersOf } from "./alert-rule-rows.ts"
import type { Found, LookOptions } from "./look.ts"
import { foundOf, utcDay, within } from "./usage-look.ts"

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
/** Fewer calls say nothing, even where none succeeded. */
const CALLS_LEAST = 3
/** Ends the subject of what tells that an account serves again, so that it waits for no other message. */
const AGAIN = " serves again"

/** What became of an account's calls. */
type Calls = {
  readonly provider: string
  readonly account: string
  readonly calls: number
  readonly failed: number
  /** What failed calls said most often; null where none failed. */
  readonly said: string | null
  readonly answered_at: Date | null
}
type CallsRow = Calls & { readonly organization_id: string; readonly organization_name: string }

/** Whose calls they are; null for all of the installation's. */
type Caller = Pick<CallsRow, "organization_id" | "organization_name"> | null

/** The stretch of time that is looked at. */
type Stretch = { readonly sinceMs: number; readonly nowMs: number; readonly minutes: number }

export async function lookAtProviders({ sql, nowMs }: LookOptions, rule: AlertRule): Promise<readonly Found[]> {
  const { percent, minutes, calls_min: callsMin } = parametersOf(rule, "provider_down")
  const stretch = { sinceMs: nowMs - minutes * MINUTE_MS, nowMs, minutes }
  const rows = await callsOf(sql, rule, stretch)
  const isDown = ({ calls, failed }: Calls) =>
    calls >= callsMin ? failed * 100 >= calls * percent : calls >= CALLS_LEAST && failed === calls
  const accounts = [...Map.groupBy(rows, nameOf).values()].map((own) => ({ own, all: together(own) }))
  const down = accounts.filter(({ all }) => isDown(all))
  const found = await Promise.all(down.map(({ own, all }) => downOf(sql, rule, own, all, stretch)))
  return [...found.flat(), ...(await backOf(sql, rule, accounts, isDown, stretch))]
}

/** An account that does not serve, for each who is told. */
async function downOf(
  sql: Sql,
  rule: AlertRule,
  own: readonly CallsRow[],
  all: Calls,
  stretch: Stretch,
): Promise<Found[]> {
  if (rule.organization_id !== "") return own.map((row) => downFound(rule, row, row, stretch))
  const ofAll = downFound(rule, all, null, stretch)
  // A rule that names its channels tells each of them once.
  if (rule.channel_ids !== null) return [ofAll]
  const withChannels = await havingChannels(sql, own)
  const concerned = own.filter((row) => row.failed > 0 && withChannels.has(row.organization_id))
  return [ofAll, ...concerned.map((row) => downFound(rule, row, row, stretch))]
}

type TellingRow = { organization_id: string; subject: string; window_id: string }

/** Accounts that were told of within a day and serve again, by enough calls of whoever was told. */
async function backOf(
  sql: Sql,
  rule: AlertRule,
  accounts: readonly { readonly own: readonly CallsRow[]; readonly all: Calls }[],
  isDown: (calls: Calls) => boolean,
  stretch: Stretch,
): Promise<Found[]> {
  const serving = accounts.filter(({ all }) => !isDown(all))
  if (serving.length === 0) return []
  const told = await sql<TellingRow[]>`
    SELECT organization_id, subject, window_id FROM alerts
    WHERE rule_id = ${rule.id} AND raised_at > ${new Date(stretch.nowMs - DAY_MS)}
      AND subject = ANY (${serving.map(({ all }) => nameOf(all))}::text[])`
  return told.flatMap(({ organization_id: id, subject, window_id: windowId }) => {
    const account = serving.find(({ all }) => nameOf(all) === subject)
    const row = id === "" ? null : account?.own.find(({ organization_id }) => organization_id === id)
    const calls = row === null ? account?.all : row
    if (calls === undefined || row === undefined || isDown(calls) || calls.calls - calls.failed < CALLS_LEAST) return []
    const answered = calls.calls - calls.failed
    return foundOf(rule, {
      ...aboutCalls(calls, row, stretch),
      ...{ subject: subject + AGAIN, windowId, settled: calls.failed },
      title: `Provider account ${subject}${AGAIN}: ${answered} of ${calls.calls} calls${ofText(row)} were answered in the last ${stretch.minutes} minutes`,
      advice: "There is nothing to do; what was routed elsewhere can come back.",
    })
  })
}

function callsOf(sql: Sql, rule: AlertRule, { sinceMs, nowMs }: Stretch): Promise<CallsRow[]> {
  const hasFailed = sql`(r.end_state IN ('upstream_error', 'timeout') OR (r.end_state = 'complete' AND r.http_status >= 500))`
  // Calls that could not be sent, and those of a proxy that stops, say nothing about a provider.
  return sql<CallsRow[]>`
    SELECT r.organization_id, o.name AS organization_name, r.provider, r.provider_account AS account,
           count(*)::int AS calls, (count(*) FILTER (WHERE ${hasFailed}))::int AS failed,
           max(r.time) FILTER (WHERE NOT ${hasFailed}) AS answered_at,
           mode() WITHIN GROUP (ORDER BY CASE WHEN r.error_code <> '' THEN r.error_code ELSE 'HTTP ' || r.http_status END)
             FILTER (WHERE ${hasFailed}) AS said
    FROM usage_records r JOIN organizations o ON o.id = r.organization_id
    WHERE r.time > ${new Date(sinceMs)} AND r.time <= ${new Date(nowMs)} AND r.kind = 'call'
      AND r.end_state IN ('complete', 'cut', 'upstream_error', 'timeout')
      AND r.error_code NOT IN ('invalid_request', 'shutting_down') AND ${within(sql, rule)}
    GROUP BY 1, 2, 3, 4 ORDER BY 3, 4, 1`
}

/** An account over all organizations. */
function together(rows: readonly CallsRow[]): Calls {
  const [first] = rows.toSorted((one, other) => other.failed - one.failed)
  if (first === undefined) throw new Error("A group of no calls was made.")
  const answered = rows.flatMap(({ answered_at: at }) => (at === null ? [] : [at.getTime()]))
  return {
    ...{ provider: first.provider, account: first.account, said: first.said },
    calls: rows.reduce((sum, { calls }) => sum + calls, 0),
    failed: rows.reduce((sum, { failed }) => sum + failed, 0),
    answered_at: answered.length === 0 ? null : new Date(Math.max(...answered)),
  }
}

function downFound(rule: AlertRule, calls: Calls, of: Caller, stretch: Stretch): Found {
  const { failed } = calls
  const name = nameOf(calls)
  return foundOf(rule, {
    ...aboutCalls(calls, of, stretch),
    ...{ subject: name, windowId: utcDay(stretch.nowMs), settled: failed },
    title: `Provider account ${name} does not serve: ${failed} of ${calls.calls} calls${ofText(of)} failed in the last ${stretch.minutes} minutes`,
    advice: "Look at the provider's status page. Until it serves, route its models to another account or provider.",
  })
}

/** What is told of an account's calls in either case. */
function aboutCalls(calls: Calls, of: Caller, { sinceMs, nowMs, minutes }: Stretch) {
  const { provider, account, answered_at: answeredAt, said } = calls
  return {
    ...{ organizationId: of?.organization_id ?? "", cap: 0 },
    facts: {
      ...{ Provider: provider, Account: account, Calls: String(calls.calls), Failed: String(calls.failed) },
      ...(said === null ? {} : { "Most often": said }),
      "Last answer": answeredAt?.toISOString() ?? `none in ${minutes} minutes`,
    },
    query: {
      ...{ from: new Date(sinceMs).toISOString(), until: new Date(nowMs).toISOString() },
      ...(of === null ? {} : { organization: of.organization_id }),
      ...{ provider, provider_account: account, by: "outcome,model", measure: "requests" },
    },
  }
}

function ofText(of: Caller): string {
  return of === null ? "" : ` of organization ${of.organization_name}`
}

function nameOf({ provider, account }: Calls): string {
  return account === "" ? provider : `${provider}/${account}`
}

async function havingChannels(sql: Sql, rows: readonly CallsRow[]): Promise<ReadonlySet<string>> {
  const ids = rows.map(({ organization_id: id }) => id)
  const found = await sql<{ organization_id: string }[]>`
    SELECT DISTINCT organization_id FROM alert_channels
    WHERE disabled_at IS NULL AND organization_id = ANY (${ids}::text[])`
  return new Set(found.map(({ organization_id: id }) => id))
}
