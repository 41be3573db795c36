/**
 * Looks for keys, projects and tools that have spent far more today than is usual for them, and names what of them has
 * spent most. One alert for each and day; those that are new have nothing usual yet.
 */
import { PICOS_PER_NANO, PICOS_PER_USD } from "../pricing/money.ts"
import type { GroupName } from "../reporting/question.ts"
import { inSnapshot } from "../reporting/snapshot.ts"
import { type SpendingQuestion, type UnusualSpending, unusualSpending } from "../reporting/unusual-spending.ts"
import { type AlertRule, parametersOf } from "./alert-rule-rows.ts"
import { topGroups, usdText } from "./contributors.ts"
import { amountText } from "./limit-facts.ts"
import type { Found, LookOptions } from "./look.ts"
import { foundOf, within } from "./usage-look.ts"

/** A day, the longest one, and the hour in which yesterday is still looked at. */
const SINCE_MS = 26 * 3_600_000
const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"] as const
/** By what the spending of each is broken down. */
const BROKEN_DOWN_BY = { key: "model", project: "key", tool: "key" } as const satisfies Record<string, GroupName>

type OrganizationRow = { organization_id: string; time_zone: string }

/** Not in quick looks: nothing that is out of the usual for a day is found sooner by looking every ten seconds. */
export async function lookAtAnomalies(options: LookOptions, rule: AlertRule): Promise<readonly Found[]> {
  if (options.isQuick) return []
  const { sql, nowMs } = options
  const { by, usd_min: usdMin, deviations } = parametersOf(rule, "anomaly")
  const rows = await sql<OrganizationRow[]>`
    SELECT r.organization_id, o.time_zone
    FROM usage_rollups r JOIN organizations o ON o.id = r.organization_id
    WHERE r.bucket > ${new Date(nowMs - SINCE_MS)} AND ${within(sql, rule)}
    GROUP BY 1, 2 HAVING sum(r.cost_usd) >= ${usdMin} ORDER BY 1`
  const found: Found[] = []
  for (const { organization_id: organizationId, time_zone: timeZone } of rows) {
    for (const one of by) {
      const question = {
        ...{ organizationId, timeZone, projectId: rule.project_id, by: one, deviations },
        leastMore: BigInt(usdMin) * PICOS_PER_USD,
      }
      const unusual = await inSnapshot(sql, (transaction) => unusualSpending(transaction, question, nowMs))
      const names = await namesOf(options, one, unusual)
      found.push(...unusual.map((each) => foundIn(options, rule, question, each, names.get(each.id) ?? each.id)))
    }
  }
  return found
}

function foundIn(
  options: LookOptions,
  rule: AlertRule,
  { organizationId, projectId, by }: SpendingQuestion,
  unusual: UnusualSpending,
  name: string,
): Found {
  const { id, day, spent, usual } = unusual
  const weekday = WEEKDAYS[unusual.weekday - 1] ?? ""
  const dollars = (picos: bigint) => amountText("usd", picos / PICOS_PER_NANO)
  const range = { from: new Date(unusual.fromMs).toISOString(), until: new Date(unusual.toMs).toISOString() }
  const filter = { ...(projectId === "" ? {} : { project: projectId }), [by]: id }
  const word = by.charAt(0).toUpperCase() + by.slice(1)
  const found = foundOf(rule, {
    ...{ organizationId, subject: by === "tool" ? `tool ${id}` : id, windowId: day },
    ...{ settled: Number(spent / PICOS_PER_NANO), cap: 0 },
    title: `${word} ${name} has spent ${dollars(spent)} on ${day}; a usual ${weekday} has ${dollars(usual.amount)}`,
    facts: {
      ...{ Spent: dollars(spent), [`A usual ${weekday}`]: dollars(usual.amount) },
      ...{ "Usual up to": dollars(unusual.usualUpTo), Day: day },
    },
    advice: "See what spends most and what for. A limit on it would refuse calls; this does not.",
    query: { ...range, organization: organizationId, ...filter, by: BROKEN_DOWN_BY[by] },
  })
  return {
    ...found,
    facts: async () => {
      const asked = { ...range, organization: [organizationId], ...lists(filter), order_by: "cost" }
      const value = (sums: { readonly cost_usd: string }) => usdText(sums.cost_usd)
      const contributors = await topGroups(
        options,
        { by: BROKEN_DOWN_BY[by], asked, value },
        organizationId,
        options.nowMs,
      )
      const [top] = contributors
      const facts = (await found.facts())(0)
      const named = top === undefined ? [] : [{ name: "Top contributor", value: `${top.name}, ${top.value}` }]
      return () => ({ ...facts, facts: [...facts.facts, ...named], contributors })
    },
  }
}

/** Filters as lists, so that a comma in a value is one. */
function lists(filter: Readonly<Record<string, string>>): Record<string, string[]> {
  return Object.fromEntries(Object.entries(filter).map(([name, value]) => [name, [value]]))
}

async function namesOf(
  { sql }: LookOptions,
  by: SpendingQuestion["by"],
  unusual: readonly UnusualSpending[],
): Promise<ReadonlyMap<string, string>> {
  if (by === "tool" || unusual.length === 0) return new Map()
  const ids = unusual.map(({ id }) => id)
  const rows = await sql<{ id: string; name: string }[]>`
    SELECT id, name FROM ${sql(by === "key" ? "virtual_keys" : "projects")} WHERE id = ANY (${ids}::text[])`
  return new Map(rows.map(({ id, name }) => [id, name]))
}
