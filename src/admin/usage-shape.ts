/** How a report of usage is shown: the same members in the admin API, key holders' own API and files of exports. */
import { z } from "@hono/zod-openapi"
import { ApiError } from "../platform/error-table.ts"
import type { Sums } from "../reporting/measures.ts"
import type { Names } from "../reporting/names.ts"
import type { Refused } from "../reporting/refused.ts"
import type { EarlierRange, UsageReport } from "../reporting/usage-report.ts"

const sums = z.record(z.string(), z.unknown()).openapi("UsageSums", {
  description:
    "Decimal strings: records, tokens by class, cost_usd in dollars. Classes are disjoint; reasoning is part of output.",
})
const range = z.object({ from: z.string(), until: z.string() })

const reportMembers = {
  range: range.extend({ time_zone: z.string() }).openapi({ description: "Widened to whole quarters of an hour." }),
  as_of: z.string().openapi({ description: "What had reached the ledger by then is in the sums." }),
  source: z.enum(["rollup", "records"]),
  group_by: z.array(z.string()),
  groups_overlap: z.boolean().openapi({
    description: "Calls may stand in several groups (tags), so that groups add up to more than the totals.",
  }),
  totals: sums,
  previous: range.extend({ totals: sums }).nullable(),
  data: z
    .array(sums)
    .openapi({ description: "One for each group: its names, its sums, and those of the range before." }),
  other: sums.nullable().openapi({ description: "Every group beyond the top ones, added up." }),
}

export const summaryOutput = z.object(reportMembers).openapi("UsageSummary")
export const seriesOutput = z
  .object({
    ...reportMembers,
    bucket: z.enum(["hour", "day", "week", "month"]),
    buckets: z.array(range.extend({ label: z.string() })).openapi({ description: "None is missing." }),
    series: z.array(sums).openapi({ description: "One for each bucket, over all groups." }),
  })
  .openapi("UsageSeries")

/** A report without time. */
export function shownSummary(report: UsageReport, names: Names): z.infer<typeof summaryOutput> {
  const { timeZone, groupBy, groupsOverlap, source, totals, previous, other } = report
  return {
    range: { ...shownRange(report), time_zone: timeZone },
    as_of: iso(report.asOfMs),
    source,
    group_by: [...groupBy],
    groups_overlap: groupsOverlap,
    totals,
    previous: previous && shownPrevious(previous),
    data: shownGroups(report, names),
    other: other && shownGroup({ groups: other.groups }, other),
  }
}

/** A report over time, each group with its part of every bucket. */
export function shownSeries(report: UsageReport, names: Names): z.infer<typeof seriesOutput> {
  const { bucket, buckets, series } = report
  if (bucket === null || buckets === null || series === null) throw new Error("A series was asked without buckets.")
  return {
    ...shownSummary(report, names),
    bucket,
    buckets: buckets.map(({ fromMs, toMs, label }) => ({ from: iso(fromMs), until: iso(toMs), label })),
    series: [...series],
  }
}

/** The report, or its refusal as a 400 that names the part of the question. */
export function answered<Answer extends { readonly kind: string }>(answer: Answer | Refused): Exclude<Answer, Refused> {
  if (answer.kind !== "refused") return answer as Exclude<Answer, Refused>
  const { param, reason } = answer as Refused
  throw new ApiError("invalid_request", `${param}: ${reason}.`, { param })
}

type Grouped = { readonly sums: object; readonly previous: object | null; readonly series: readonly object[] | null }

function shownGroups({ groups, classes }: UsageReport, names: Names): Record<string, unknown>[] {
  if (classes !== null) return classes.map((one) => shownGroup({ token_class: one.tokenClass }, one))
  return groups.map((group) => {
    const named = [...names].map(([name, known]) => [`${name}_name`, known.get(group.key[name] ?? "")?.name ?? null])
    return shownGroup({ ...group.key, ...Object.fromEntries(named) }, group)
  })
}

function shownGroup(names: object, { sums, previous, series }: Grouped): Record<string, unknown> {
  return {
    ...names,
    ...sums,
    ...(previous === null ? {} : { previous }),
    ...(series === null ? {} : { series }),
  }
}

function shownPrevious(previous: EarlierRange): {
  from: string
  until: string
  totals: Sums
  series?: readonly Sums[]
} {
  const { totals, series } = previous
  return { ...shownRange(previous), totals, ...(series === null ? {} : { series }) }
}

function shownRange({ fromMs, toMs }: { readonly fromMs: number; readonly toMs: number }) {
  return { from: iso(fromMs), until: iso(toMs) }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
