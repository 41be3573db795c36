/** Who has contributed most to a sum of usage, such as what a limit has counted in its window, as reports show it. */
import type { Sql } from "../platform/postgres.ts"
import { PICOS_PER_NANO } from "../pricing/money.ts"
import type { Sums } from "../reporting/measures.ts"
import { namesOf } from "../reporting/names.ts"
import { type GroupName, usageQuestion } from "../reporting/question.ts"
import type { Scope } from "../reporting/scope.ts"
import { type FindSheet, picosOf } from "../reporting/token-classes.ts"
import { usageReport } from "../reporting/usage-report.ts"
import type { Named } from "./alert-message.ts"
import { amountText, subjectFilter, type UsedLimit } from "./limit-facts.ts"

const TOP = 5

/** Largest first; empty where usage cannot be cut to what the limit counts. `organizationId` is '' for provider accounts. */
export async function topContributors(
  options: { readonly sql: Sql; readonly findSheet: FindSheet },
  used: UsedLimit,
  organizationId: string,
  nowMs: number,
): Promise<readonly Named[]> {
  const by: GroupName = used.scope === "key" ? "model" : used.scope === "provider_account" ? "organization" : "key"
  const isMoney = used.kind === "usd"
  const { startsAtMs } = used.span
  const asked = {
    ...(startsAtMs === null ? { range: "all" } : { from: new Date(startsAtMs).toISOString() }),
    ...(startsAtMs === null ? {} : { until: new Date(nowMs).toISOString() }),
    ...filterOf(used),
    order_by: isMoney ? "cost" : used.kind === "tokens" ? "tokens" : "records",
  }
  const value = (sums: Sums) =>
    isMoney ? usdText(sums.cost_usd) : `${isTokens(used) ? sums.tokens : sums.records} ${used.kind}`
  return topGroups(options, { by, asked, value }, organizationId, nowMs)
}

/** The largest groups of what is asked, named; empty where that is refused. `organizationId` is '' for all of them. */
export async function topGroups(
  options: { readonly sql: Sql; readonly findSheet: FindSheet },
  wanted: { readonly by: GroupName; readonly asked: object; readonly value: (sums: Sums) => string },
  organizationId: string,
  nowMs: number,
): Promise<readonly Named[]> {
  const { by, asked, value } = wanted
  const question = usageQuestion.parse({ ...asked, group_by: [by], top: TOP })
  const scope: Scope =
    organizationId === "" ? { kind: "all" } : { kind: "within", organizationIds: [organizationId], projectIds: [] }
  const report = await usageReport(options, question, scope, nowMs)
  if (report.kind === "refused") return []
  const names = (await namesOf(options.sql, report)).get(by)
  return report.groups.map(({ key, sums }) => {
    const id = key[by] ?? ""
    return { name: `${by} ${names?.get(id)?.name ?? (id || "(none)")}`, value: value(sums) }
  })
}

/** A report's decimal dollars as messages have them. */
export function usdText(usd: string): string {
  return amountText("usd", picosOf(usd) / PICOS_PER_NANO)
}

function isTokens({ kind }: UsedLimit): boolean {
  return kind === "tokens"
}

/** The usage filter that shows what a limit counts, in the words of reports and of the dashboard's addresses. */
function filterOf(used: UsedLimit): Record<string, string[]> {
  return Object.fromEntries(subjectFilter(used).map(([name, value]) => [name, [value]]))
}
