/**
 * Budgets with where they are going: limits of money and tokens, each counter of them that has used something in its
 * current window. What they have used is the ledger's sum; how it goes on comes from the usage that reports read.
 */
import { earlierWindows, type WindowSpan, windowAt } from "../admission/window.ts"
import { shownAccount } from "../identity/account-limit.ts"
import { readSubject } from "../identity/counted-apart.ts"
import { type Limit, limitInForce } from "../identity/limit.ts"
import { type LimitRow, limitColumns, limitFrom } from "../identity/limit-row.ts"
import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import type { Sql, SqlFragment, Transaction } from "../platform/postgres.ts"
import { type CountedLimit, forecastLimits, type LimitForecast } from "./limit-forecast.ts"

/** Which budgets are asked for: those of any of these, where a list is given. */
export type BudgetFilter = {
  readonly organization?: readonly string[] | undefined
  readonly project?: readonly string[] | undefined
  readonly user?: readonly string[] | undefined
  readonly key?: readonly string[] | undefined
}

export type BudgetProjection = CountedLimit &
  LimitForecast & {
    readonly limit: Limit
    /** Present names; null of what has none. */
    readonly subjectName: string | null
    readonly countedName: string | null
  }

export type BudgetProjections = {
  readonly budgets: readonly BudgetProjection[]
  /** How many there are beyond. */
  readonly more: number
}

/** Those most used, in percent of their cap. */
const BUDGETS_MAX = 200
const LIMITS_READ_MAX = 5_000

export async function budgetProjections(
  transaction: Transaction,
  filter: BudgetFilter,
  visibility: Visibility,
  nowMs: number,
): Promise<BudgetProjections> {
  const rows = await budgetRows(transaction, filter, visibility)
  const counted = (await countersOf(transaction, rows.map(limitFrom), filter, nowMs)).sort(byUsedShare)
  const shown = counted.slice(0, BUDGETS_MAX)
  const forecasts = await forecastLimits(transaction, shown, nowMs)
  const names = await namesOfCounters(transaction, shown)
  const budgets = shown.flatMap((one, index) => {
    const forecast = forecasts[index]
    if (forecast === undefined) return []
    const { scope, subject, each, counted: whom } = one.counter
    const nameOf = (group: string, id: string) => names.get(`${group} ${id}`) ?? null
    return { ...one, ...forecast, subjectName: nameOf(scope, subject), countedName: nameOf(each, whom) }
  })
  return { budgets, more: counted.length - shown.length }
}

type FoundLimit = CountedLimit & { readonly limit: Limit }

/** One for each limit that counts all together, and one for each whom a limit counts apart and who has used something. */
async function countersOf(
  transaction: Transaction,
  limits: readonly Limit[],
  filter: BudgetFilter,
  nowMs: number,
): Promise<FoundLimit[]> {
  const spans = limits.map(({ window, timeZone, anchorDay }) => windowAt(window, timeZone, anchorDay, nowMs))
  const usage = await usageBySubject(transaction, limits, spans)
  return limits.flatMap((limit, index) => {
    const span = spans[index]
    if (span === undefined) return []
    const subjects = usage.get(limit.id) ?? new Map<string, ReadonlyMap<string, bigint>>()
    const counters = limit.each === "" ? [limit.subject] : [...subjects.keys()]
    return counters
      .filter((subject) => isAskedFor(limit, subject, filter))
      .map((subject) => counterOf(limit, span, subject, subjects.get(subject) ?? new Map(), nowMs))
  })
}

function counterOf(
  limit: Limit,
  span: WindowSpan,
  subject: string,
  settled: ReadonlyMap<string, bigint>,
  nowMs: number,
): FoundLimit {
  const { scope, kind, window, timeZone, each, filter } = limit
  const { own, counted } = readSubject(subject)
  const isAccount = scope === "provider_account"
  const earlier = earlierWindows(span.id)
    .map((id) => settled.get(id) ?? 0n)
    .reverse()
  return {
    limit,
    counter: {
      ...{ scope, each, counted, timeZone, filter, kind: kind === "usd" ? "usd" : "tokens" },
      organizationId: isAccount ? "" : limit.organizationId,
      subject: isAccount ? shownAccount(own) : own,
    },
    ...{ window, span, earlier },
    used: earlier.reduce((sum, amount) => sum + amount, settled.get(span.id) ?? 0n),
    cap: limitInForce(limit, nowMs).cap,
  }
}

/** A limit that counts users or keys apart is asked for by those whom it counts as well. */
function isAskedFor({ each, scope, subject: own }: Limit, subject: string, filter: BudgetFilter): boolean {
  const { counted } = readSubject(subject)
  return (["user", "key"] as const).every((name) => {
    const asked = filter[name]
    if (asked === undefined || each !== name) return true
    return asked.includes(counted) || (scope === name && asked.includes(own))
  })
}

/** Limit → counter's subject → window → what is settled, of the windows that count now. */
async function usageBySubject(
  transaction: Transaction,
  limits: readonly Limit[],
  spans: readonly WindowSpan[],
): Promise<ReadonlyMap<string, ReadonlyMap<string, ReadonlyMap<string, bigint>>>> {
  const asked = limits.flatMap(({ id, organizationId }, index) => {
    const current = spans[index]?.id ?? ""
    return [current, ...earlierWindows(current)].map((window) => ({ id, organizationId, window }))
  })
  const rows = await transaction<{ limit_id: string; subject: string; window_id: string; settled: string }[]>`
    SELECT u.limit_id, u.subject, u.window_id, u.settled::text AS settled
    FROM unnest(${asked.map(({ organizationId }) => organizationId)}::text[], ${asked.map(({ id }) => id)}::text[],
                ${asked.map(({ window }) => window)}::text[]) AS a (organization_id, limit_id, window_id)
    JOIN limit_usage u USING (organization_id, limit_id, window_id)`
  const found = new Map<string, Map<string, Map<string, bigint>>>()
  for (const row of rows) {
    const subjects = found.get(row.limit_id) ?? new Map<string, Map<string, bigint>>()
    found.set(row.limit_id, subjects)
    const windows = subjects.get(row.subject) ?? new Map<string, bigint>()
    subjects.set(row.subject, windows)
    windows.set(row.window_id, BigInt(row.settled))
  }
  return found
}

/** Largest share of its cap first; a cap of nothing before all. */
function byUsedShare(one: FoundLimit, other: FoundLimit): number {
  const difference = other.used * one.cap - one.used * other.cap
  return difference === 0n ? Number(one.cap > other.cap) - Number(one.cap < other.cap) : difference > 0n ? 1 : -1
}

function budgetRows(transaction: Transaction, filter: BudgetFilter, visibility: Visibility): Promise<LimitRow[]> {
  const inProjects = (ids: readonly string[]) => transaction`(
    (scope = 'project' AND subject = ANY (${[...ids]}::text[])) OR
    (scope = 'key' AND subject IN (SELECT k.id FROM virtual_keys k WHERE k.project_id = ANY (${[...ids]}::text[]))))`
  const visible = visibleRows(transaction, visibility, transaction`organization_id`, inProjects)
  const parts: SqlFragment[] = [visible]
  const { organization, project, user, key } = filter
  if (organization !== undefined) parts.push(transaction`organization_id = ANY (${[...organization]}::text[])`)
  if (project !== undefined) parts.push(inProjects(project))
  if (user !== undefined) {
    const ids = [...user]
    parts.push(transaction`((scope = 'user' AND subject = ANY (${ids}::text[])) OR each = 'user' OR
      (scope = 'key' AND subject IN (SELECT k.id FROM virtual_keys k WHERE k.user_id = ANY (${ids}::text[]))))`)
  }
  if (key !== undefined) {
    parts.push(transaction`((scope = 'key' AND subject = ANY (${[...key]}::text[])) OR each = 'key')`)
  }
  const where = parts.reduce((all, part) => transaction`${all} AND ${part}`)
  return transaction<LimitRow[]>`
    SELECT ${limitColumns(transaction)} FROM limits
    WHERE kind IN ('usd', 'tokens') AND "window" NOT IN ('second', 'minute', 'hour', 'per_day', 'none') AND ${where}
    ORDER BY id LIMIT ${LIMITS_READ_MAX}`
}

type CounterNames = Pick<CountedLimit["counter"], "scope" | "subject" | "each" | "counted">

/** `<dimension> <id>` → present name, of subjects and of whom they count apart. */
export async function namesOfCounters(
  transaction: Sql | Transaction,
  counters: readonly { readonly counter: CounterNames }[],
): Promise<ReadonlyMap<string, string>> {
  const named = counters.flatMap(({ counter: { scope, subject, each, counted } }) => [
    { group: scope as string, id: subject },
    { group: each as string, id: counted },
  ])
  const idsOf = (group: string) => named.filter((one) => one.group === group).map(({ id }) => id)
  const rows = await transaction<{ name: string; id: string; label: string }[]>`
    SELECT 'organization' AS name, id, name AS label FROM organizations WHERE id = ANY (${idsOf("organization")}::text[])
    UNION ALL SELECT 'project', id, name FROM projects WHERE id = ANY (${idsOf("project")}::text[])
    UNION ALL SELECT 'user', id, name FROM users WHERE id = ANY (${idsOf("user")}::text[])
    UNION ALL SELECT 'key', id, name FROM virtual_keys WHERE id = ANY (${idsOf("key")}::text[])`
  return new Map(rows.map(({ name, id, label }) => [`${name} ${id}`, label]))
}
