/** Answers OpenAI's usage and costs queries from the same sums as every other report. */
import type { Sql } from "../platform/postgres.ts"
import {
  type OpenAiUsageKind,
  type OpenAiUsagePage,
  type OpenAiUsageQuery,
  type OpenAiUsageRow,
  openAiUsagePage,
  openAiUsagePlan,
} from "./openai-usage.ts"
import { askedOrganizations } from "./organizations.ts"
import { piecesOf } from "./pieces.ts"
import { usageQuestion } from "./question.ts"
import { type Refused, refused } from "./refused.ts"
import { runSums } from "./run-sums.ts"
import type { Scope } from "./scope.ts"
import { inSnapshot } from "./snapshot.ts"

/** Results of one page at most: more than that is a question for an export. */
const RESULTS_MAX = 50_000

/** A page in OpenAI's shape, over everything that the scope shows; `nowMs` is the present, epoch milliseconds. */
export async function openAiUsageReport(
  sql: Sql,
  about: OpenAiUsageKind,
  query: OpenAiUsageQuery,
  scope: Scope,
  nowMs: number,
): Promise<{ readonly kind: "answer"; readonly page: OpenAiUsagePage } | Refused> {
  const plan = openAiUsagePlan(about, query, nowMs)
  if (plan.kind === "refused") return plan
  const { groupBy, boundaries, filter, isFromRecords } = plan
  if (boundaries.length < 2) return { kind: "answer", page: openAiUsagePage(plan, []) }
  const summed = await inSnapshot(sql, async (transaction) => {
    const organizationIds = (await askedOrganizations(transaction, {}, scope)).map(({ id }) => id)
    const source = isFromRecords
      ? ({ kind: "records", organizationIds } as const)
      : ({ kind: "pieces", pieces: await piecesOf(transaction, organizationIds, boundaries) } as const)
    const asked = { filter: usageQuestion.parse(filter), scope, groupBy, boundaries, withLatency: false }
    return runSums(transaction, { ...asked, places: { kind: "all" } }, source)
  })
  if (summed.groups.length * boundaries.length > RESULTS_MAX) {
    return refused("group_by", "these are too many groups for a page; group by fewer, or take fewer buckets")
  }
  const rows = boundaries.slice(0, -1).map((_, index) =>
    summed.groups.flatMap(({ key, series }): OpenAiUsageRow[] => {
      const sums = series[index]
      if (sums === undefined || (sums.records === "0" && sums.adjustments === "0")) return []
      return [{ key: new Map(groupBy.map((name, place) => [name, key[place] ?? ""])), sums }]
    }),
  )
  return { kind: "answer", page: openAiUsagePage(plan, rows) }
}
