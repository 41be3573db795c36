/**
 * Gathers what a digest says, from the sums that reports show: what was spent in its stretch and in the one before, who
 * spent most, where budgets stand and are going, what was refused and what has no price.
 */
import type { Visibility } from "../identity/role.ts"
import type { Sql, SqlFragment } from "../platform/postgres.ts"
import { formatUsd, PICOS_PER_NANO } from "../pricing/money.ts"
import type { BudgetProjection } from "../reporting/budget-projection.ts"
import { exportReport, written } from "../reporting/export.ts"
import { namesOf } from "../reporting/names.ts"
import { type GroupName, usageQuestion } from "../reporting/question.ts"
import type { FindSheet } from "../reporting/token-classes.ts"
import { projectionQuestion, usageProjection } from "../reporting/usage-projection.ts"
import { type UsageReport, usageReport } from "../reporting/usage-report.ts"
import { linkTo } from "./alert-message.ts"
import type { DigestBudget, DigestGroup, DigestMessage } from "./digest-message.ts"
import { type DigestPeriod, RANGE_OF, type Stretch, stretchBefore } from "./digest-period.ts"
import type { DigestRow } from "./digest-rows.ts"
import { digestTitle } from "./digest-words.ts"

const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
const TOP = 5
const BUDGETS_SHOWN = 8
const MODELS_SHOWN = 5
const CODES_SHOWN = 5
/** Rows of the attached table; what is beyond stands in it as `other`. */
const CSV_ROWS_MAX = 2_000

export type DigestOptions = {
  readonly sql: Sql
  readonly findSheet: FindSheet
  /** Where the dashboard is, for links; null where nobody said. */
  readonly baseUrl: string | null
}

export type MadeDigest = { readonly message: DigestMessage; readonly csv: string }

/** The digest that is due at `dueMs`, with what is known at `nowMs`. `occasion`: '' of the schedule. */
export async function makeDigest(
  options: DigestOptions,
  digest: DigestRow,
  { dueMs, nowMs, occasion }: { readonly dueMs: number; readonly nowMs: number; readonly occasion: string },
): Promise<MadeDigest> {
  const { sql, baseUrl } = options
  const { id, name, period, time_zone: timeZone, organization_id: organizationId } = digest
  const stretch = stretchBefore(period, timeZone, dueMs)
  const asked = new Asked(options, digest, dueMs)
  const isInstallation = organizationId === ""
  const whole = await asked.report({ bucket: period === "daily" ? "hour" : "day" })
  const usd = { now: whole.totals.cost_usd, before: whole.previous?.totals.cost_usd ?? "0" }
  const message: DigestMessage = {
    kind: "digest",
    title: digestTitle(period, stretch, timeZone, usd),
    organization: { id: organizationId, name: await organizationName(sql, organizationId) },
    digest: { id, name, period },
    stretch: { id: stretch.id, from: iso(stretch.fromMs), until: iso(stretch.toMs), timeZone },
    raisedAt: iso(nowMs),
    usd,
    calls: compared(whole, "records"),
    tokens: compared(whole, "tokens"),
    refused: await refusedIn(sql, organizationId, stretch, stretchBefore(period, timeZone, stretch.fromMs)),
    unpriced: await unpricedIn(sql, organizationId, stretch, whole.totals.unpriced_records),
    bars: barsOf(whole, period),
    top: {
      organizations: isInstallation ? await asked.top("organization") : [],
      projects: await asked.top("project"),
      keys: await asked.top("key"),
      models: await asked.top("model"),
    },
    ...(await goingOn(sql, digest, nowMs)),
    link: linkTo(baseUrl, pathOf(organizationId, stretch)),
    occasion,
  }
  return { message, csv: await asked.csv() }
}

/** The questions of one digest, which differ in little. */
class Asked {
  readonly #options: DigestOptions
  readonly #common: object
  readonly #visibility: Visibility
  readonly #dueMs: number

  constructor(options: DigestOptions, digest: DigestRow, dueMs: number) {
    const { organization_id: organizationId, period, time_zone } = digest
    this.#options = options
    this.#visibility = visibilityOf(organizationId)
    this.#common = { range: RANGE_OF[period], time_zone, compare: "previous" }
    this.#dueMs = dueMs
  }

  async report(more: object): Promise<UsageReport> {
    const question = usageQuestion.parse({ ...this.#common, ...more })
    const report = await usageReport(this.#options, question, this.#visibility, this.#dueMs)
    if (report.kind === "refused") throw new Error(`A digest asks what is refused: ${report.param}: ${report.reason}`)
    return report
  }

  /** Those of them that spent most, but for what spent nothing. */
  async top(by: GroupName): Promise<readonly DigestGroup[]> {
    const report = await this.report({ group_by: [by], top: TOP })
    const names = (await namesOf(this.#options.sql, report)).get(by)
    const groups = report.groups.map(({ key, sums, previous }) => {
      const id = key[by] ?? ""
      return {
        name: names?.get(id)?.name ?? (id || "(none)"),
        usd: sums.cost_usd,
        previousUsd: previous?.cost_usd ?? "0",
      }
    })
    return groups.filter(({ usd }) => !/^[0.]*$/.test(usd))
  }

  /** The stretch by project and model, as an export of the same question gives it. */
  async csv(): Promise<string> {
    const question = usageQuestion.parse({ ...this.#common, group_by: ["project", "model"], top: CSV_ROWS_MAX })
    const made = await exportReport(this.#options, question, this.#visibility, this.#dueMs)
    if (made.kind === "refused") throw new Error(`A digest exports what is refused: ${made.param}: ${made.reason}`)
    let text = ""
    for await (const part of written("csv", made.table)) text += part
    return text
  }
}

function visibilityOf(organizationId: string): Visibility {
  return organizationId === "" ? { kind: "all" } : { kind: "within", organizationIds: [organizationId], projectIds: [] }
}

function compared({ totals, previous }: UsageReport, name: "records" | "tokens") {
  return { now: totals[name], before: previous?.totals[name] ?? "0" }
}

/** Of hours the time, of the days of a week the weekday, of those of a month their number. */
function barsOf({ buckets, series }: UsageReport, period: DigestPeriod): DigestMessage["bars"] {
  return (buckets ?? []).map(({ label }, index) => {
    const shown = { daily: label.slice(11, 16), weekly: WEEKDAYS[index] ?? "", monthly: String(Number(label.slice(8))) }
    return { label: shown[period], usd: series?.[index]?.cost_usd ?? "0" }
  })
}

/** The running month, and the budgets that are used most. */
async function goingOn(sql: Sql, { organization_id, time_zone }: DigestRow, nowMs: number) {
  const question = projectionQuestion.parse({ period: "month", time_zone })
  const { spent, projection, budgets, more } = await usageProjection(
    sql,
    question,
    visibilityOf(organization_id),
    nowMs,
  )
  const dollars = (picos: bigint | undefined) => (picos === undefined ? null : formatUsd(picos))
  return {
    month: {
      usd: formatUsd(spent),
      projected: dollars(projection?.projected),
      low: dollars(projection?.low),
      high: dollars(projection?.high),
    },
    budgets: budgets.slice(0, BUDGETS_SHOWN).map(shownBudget),
    budgetsMore: Math.max(0, budgets.length - BUDGETS_SHOWN) + more,
  }
}

function shownBudget(budget: BudgetProjection): DigestBudget {
  const { counter, limit, used, cap, state, projection, subjectName, countedName } = budget
  const { scope, subject, each, counted, kind, filter } = counter
  const amount = (value: bigint) => (kind === "usd" ? formatUsd(value * PICOS_PER_NANO) : value.toString())
  const scopeText = scope.replace("_", " ")
  const name = [
    `${scopeText} ${subjectName ?? subject}`,
    ...(each === "" ? [] : [`${each} ${countedName ?? counted}`]),
    ...(filter === null || filter === undefined ? [] : [`${filter.by} ${filter.value}`]),
  ].join(", ")
  return {
    ...{ name, kind, state, used: amount(used), cap: amount(cap) },
    percent: cap === 0n ? null : Number((used * 100n) / cap),
    projected: projection === null ? null : amount(projection.projected),
    window: limit.window === "rolling" ? `${limit.anchorDay} days` : limit.window,
  }
}

async function refusedIn(
  sql: Sql,
  organizationId: string,
  now: Stretch,
  before: Stretch,
): Promise<DigestMessage["refused"]> {
  const reasons = await sql<{ code: string; calls: string }[]>`
    SELECT code, sum(refusals)::text AS calls FROM refusal_counts
    WHERE ${within(sql, organizationId, now)} GROUP BY code ORDER BY sum(refusals) DESC, code`
  const [earlier] = await sql<{ calls: string }[]>`
    SELECT coalesce(sum(refusals), 0)::text AS calls FROM refusal_counts WHERE ${within(sql, organizationId, before)}`
  const all = reasons.reduce((sum, { calls }) => sum + BigInt(calls), 0n)
  return { now: all.toString(), before: earlier?.calls ?? "0", reasons: reasons.slice(0, CODES_SHOWN) }
}

async function unpricedIn(
  sql: Sql,
  organizationId: string,
  stretch: Stretch,
  calls: string,
): Promise<DigestMessage["unpriced"]> {
  if (calls === "0") return { calls, models: [] }
  const models = await sql<{ name: string; calls: string }[]>`
    SELECT provider || '/' || model_served AS name, sum(unpriced_records)::text AS calls FROM usage_rollups
    WHERE ${within(sql, organizationId, stretch)} AND unpriced_records > 0
    GROUP BY 1 ORDER BY sum(unpriced_records) DESC, 1 LIMIT ${MODELS_SHOWN}`
  return { calls, models }
}

/** Of tables that are by organization and quarter of an hour. */
function within(sql: Sql, organizationId: string, { fromMs, toMs }: Stretch): SqlFragment {
  const ofOrganization = organizationId === "" ? sql`` : sql`AND organization_id = ${organizationId}`
  return sql`bucket >= ${new Date(fromMs)} AND bucket < ${new Date(toMs)} ${ofOrganization}`
}

async function organizationName(sql: Sql, id: string): Promise<string> {
  const [row] = await sql<{ name: string }[]>`SELECT name FROM organizations WHERE id = ${id}`
  return row?.name ?? ""
}

function pathOf(organizationId: string, { fromMs, toMs }: Stretch): string {
  const query = new URLSearchParams({ from: iso(fromMs), until: iso(toMs) })
  if (organizationId !== "") query.set("organization", organizationId)
  query.set("by", "project")
  return `/dashboard/usage?${query}`
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
