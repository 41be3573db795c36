/** Puts a report together from sums: of the range, where tags overlap of its totals alone, and of the earlier range. */
import type { Transaction } from "../platform/postgres.ts"
import { type Bucket, cutRange } from "./buckets.ts"
import type { DimensionName } from "./dimensions.ts"
import { type Sums, zeroSums } from "./measures.ts"
import { piecesOf } from "./pieces.ts"
import { groupsOverlap, recordsOnly, topOf } from "./question.ts"
import { runSums, type Summed, type SummedGroup } from "./run-sums.ts"
import type { Places } from "./sums-statement.ts"
import { comparedRange, type TimeRange } from "./time-range.ts"
import { addedClasses, type ClassCost, restOf, splitByClass } from "./token-classes.ts"
import type { Asked, ClassGroup, ReportGroup, UsageReport } from "./usage-report.ts"

type Earlier = {
  readonly range: TimeRange
  readonly buckets: readonly Bucket[] | null
  readonly grouped: Summed
  /** With totals in which no call counts twice. */
  readonly whole: Summed
}

/** What groups are read by: classes are made of price rows. */
const BY_CLASS: readonly DimensionName[] = ["price_row"]

export async function answer(transaction: Transaction, asked: Asked): Promise<UsageReport> {
  const { question, frame, asOfMs } = asked
  const { range, timeZone, bucket, buckets } = frame
  const isByClass = question.group_by.includes("token_class")
  const places: Places = isByClass ? { kind: "all" } : { kind: "largest", top: topOf(question), by: question.order_by }
  const grouped = await sumsOf(transaction, asked, range, buckets, places)
  const whole = await wholeOf(transaction, asked, range, buckets, grouped)
  const earlier = await earlierOf(transaction, asked, grouped)
  const hasGroups = question.group_by.length > 0 && !isByClass
  return {
    kind: "report",
    asOfMs,
    timeZone,
    fromMs: range.fromMs,
    toMs: range.toMs,
    groupBy: question.group_by,
    bucket,
    buckets,
    source: recordsOnly(question).length > 0 ? "records" : "rollup",
    groupsOverlap: groupsOverlap(question),
    totals: whole.totals,
    series: buckets && whole.series,
    groups: hasGroups ? groupsOf(asked, grouped, earlier) : [],
    other: hasGroups ? otherOf(asked, grouped, earlier) : null,
    classes: isByClass ? classesOf(asked, grouped, earlier) : null,
    previous: earlier && {
      fromMs: earlier.range.fromMs,
      toMs: earlier.range.toMs,
      totals: earlier.whole.totals,
      buckets: earlier.buckets,
      series: earlier.buckets && earlier.whole.series,
    },
  }
}

async function sumsOf(
  transaction: Transaction,
  { question, scope, organizations }: Asked,
  range: TimeRange,
  buckets: readonly Bucket[] | null,
  places: Places,
  groupBy: readonly DimensionName[] = dimensionsOf(question.group_by),
): Promise<Summed> {
  const boundaries = [...(buckets?.map(({ fromMs }) => fromMs) ?? [range.fromMs]), range.toMs]
  const organizationIds = organizations.map(({ id }) => id)
  const source =
    recordsOnly(question).length > 0
      ? ({ kind: "records", organizationIds } as const)
      : ({ kind: "pieces", pieces: await piecesOf(transaction, organizationIds, boundaries) } as const)
  const sums = { filter: question, scope, groupBy, boundaries, places, withLatency: question.latency }
  return runSums(transaction, sums, source)
}

function dimensionsOf(groupBy: Asked["question"]["group_by"]): readonly DimensionName[] {
  return groupBy.flatMap((name) => (name === "token_class" ? BY_CLASS : [name]))
}

/** Sums with totals in which each call counts once, however many tags it has. */
async function wholeOf(
  transaction: Transaction,
  asked: Asked,
  range: TimeRange,
  buckets: readonly Bucket[] | null,
  grouped: Summed,
): Promise<Summed> {
  if (!groupsOverlap(asked.question)) return grouped
  return sumsOf(transaction, asked, range, buckets, { kind: "all" }, [])
}

/** The earlier range, with the groups of this one in their order. */
async function earlierOf(transaction: Transaction, asked: Asked, current: Summed): Promise<Earlier | null> {
  const { question, frame } = asked
  const range = comparedRange(question.compare, question, frame.range, frame.timeZone)
  if (range === null) return null
  const cut = frame.bucket === null ? null : cutRange(range, frame.bucket, frame.timeZone)
  const buckets = cut !== null && "kind" in cut ? null : cut
  const places: Places = question.group_by.includes("token_class")
    ? { kind: "all" }
    : { kind: "given", groups: current.groups.map(({ key }) => key) }
  const grouped = await sumsOf(transaction, asked, range, buckets, places)
  const whole = await wholeOf(transaction, asked, range, buckets, grouped)
  return { range, buckets, grouped, whole }
}

function groupsOf({ question, frame }: Asked, grouped: Summed, earlier: Earlier | null): ReportGroup[] {
  const before = new Map(earlier?.grouped.groups.map((group) => [group.key.join("\0"), group.sums]))
  return grouped.groups.map(({ key, sums, series }) => ({
    key: Object.fromEntries(question.group_by.map((name, index) => [name, key[index] ?? ""])),
    sums,
    previous: earlier && (before.get(key.join("\0")) ?? zeroSums(question.latency)),
    series: frame.buckets && series,
  }))
}

function otherOf({ question, frame }: Asked, { other }: Summed, earlier: Earlier | null): UsageReport["other"] {
  const before = earlier?.grouped.other
  // Groups that there were only earlier are others too, with nothing in this range.
  if (other === null && !before) return null
  const zero = zeroSums(question.latency)
  return {
    groups: other?.groups ?? 0,
    sums: other?.sums ?? zero,
    previous: earlier && (before?.sums ?? zero),
    series: frame.buckets && (other?.series ?? frame.buckets.map(() => zero)),
  }
}

function classesOf({ findSheet, frame }: Asked, grouped: Summed, earlier: Earlier | null): ClassGroup[] {
  const split = ({ key: [pin = ""] }: SummedGroup, sums: Sums) => splitByClass(sums, findSheet(pin), restOf(pin, sums))
  const added = (summed: Summed, sumsOfGroup: (group: SummedGroup) => Sums) =>
    addedClasses(summed.groups.map((group) => split(group, sumsOfGroup(group))))
  const before = earlier && byClass(added(earlier.grouped, ({ sums }) => sums))
  const series = frame.buckets?.map((_, index) =>
    byClass(added(grouped, (group) => group.series[index] ?? zeroSums(false))),
  )
  const now = byClass(added(grouped, ({ sums }) => sums))
  return [...new Set([...now.keys(), ...(before?.keys() ?? [])])].map((tokenClass) => ({
    tokenClass,
    sums: now.get(tokenClass) ?? NOTHING,
    previous: before && (before.get(tokenClass) ?? NOTHING),
    series: series?.map((bucket) => bucket.get(tokenClass) ?? NOTHING) ?? null,
  }))
}

const NOTHING = { tokens: "0", cost_usd: "0" } as const

function byClass(classes: readonly ClassCost[]): Map<string, ClassGroup["sums"]> {
  return new Map(classes.map(({ tokenClass, tokens, costUsd }) => [tokenClass, { tokens, cost_usd: costUsd }]))
}
