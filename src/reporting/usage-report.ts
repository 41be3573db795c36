/**
 * Sums of usage: what API, pages, exports, command line and refusals ask. One question is answered from one snapshot, so
 * totals, groups, buckets and the earlier range agree with each other to the last digit.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"
import { type Bucket, type BucketName, cutRange, fittingBucket } from "./buckets.ts"
import type { Sums } from "./measures.ts"
import { type AskedOrganization, askedOrganizations, firstBucketMs, zoneOf } from "./organizations.ts"
import {
  combinationRefusal,
  type GroupName,
  recordsOnly,
  topOf,
  type UsageFilter,
  type UsageQuestion,
} from "./question.ts"
import { type Refused, refused } from "./refused.ts"
import { answer } from "./report-answer.ts"
import type { Scope } from "./scope.ts"
import { inSnapshot } from "./snapshot.ts"
import { exactRange, resolveRange, type TimeRange } from "./time-range.ts"
import type { FindSheet } from "./token-classes.ts"

/** Questions that records answer go over this much time at most: it is what an index is quick for. */
export const RECORDS_DAYS_MAX = 31
const CELLS_MAX = 50_000
const DAY_MS = 24 * 3_600_000

export type ReportGroup = {
  /** The value of each group that was asked for; '' where a call has none. */
  readonly key: Readonly<Partial<Record<GroupName, string>>>
  readonly sums: Sums
  /** The same group in the earlier range; null where nothing is compared. */
  readonly previous: Sums | null
  /** One for each bucket; null without buckets. */
  readonly series: readonly Sums[] | null
}

/** Every group beyond the top ones, added up. */
export type OtherGroups = Omit<ReportGroup, "key"> & { readonly groups: number }

/** Money and tokens of one class, over all calls; see `token-classes.ts`. */
export type ClassGroup = {
  readonly tokenClass: string
  readonly sums: ClassSums
  readonly previous: ClassSums | null
  readonly series: readonly ClassSums[] | null
}
export type ClassSums = { readonly tokens: string; readonly cost_usd: string }

export type EarlierRange = {
  readonly fromMs: number
  readonly toMs: number
  readonly totals: Sums
  /** Cut as the range itself is; null without buckets. */
  readonly buckets: readonly Bucket[] | null
  readonly series: readonly Sums[] | null
}

export type UsageReport = {
  readonly kind: "report"
  /** When the snapshot was taken: what had reached the ledger by then is in the sums. */
  readonly asOfMs: number
  readonly timeZone: string
  /** Widened to whole quarters of an hour. */
  readonly fromMs: number
  readonly toMs: number
  readonly groupBy: readonly GroupName[]
  readonly bucket: BucketName | null
  readonly buckets: readonly Bucket[] | null
  readonly source: "rollup" | "records"
  /** Calls may stand in several groups, so that groups add up to more than the totals. */
  readonly groupsOverlap: boolean
  readonly totals: Sums
  readonly series: readonly Sums[] | null
  readonly groups: readonly ReportGroup[]
  readonly other: OtherGroups | null
  /** In place of groups where `token_class` was asked for; null otherwise. Their costs add up to the totals' cost. */
  readonly classes: readonly ClassGroup[] | null
  readonly previous: EarlierRange | null
}

export type ReportOptions = {
  readonly sql: Sql
  /** Where the price rows of records are looked up, for costs by token class. */
  readonly findSheet: FindSheet
}

/** `nowMs` is the present, epoch milliseconds. What does not go together, or would be too much, is refused. */
export async function usageReport(
  { sql, findSheet }: ReportOptions,
  question: UsageQuestion,
  scope: Scope,
  nowMs: number,
): Promise<UsageReport | Refused> {
  const wrong = combinationRefusal(question)
  if (wrong !== null) return wrong
  return inSnapshot(sql, async (transaction, asOfMs) => {
    const organizations = await askedOrganizations(transaction, question, scope)
    const frame = await frameOf(transaction, question, organizations, nowMs)
    return frame.kind === "refused"
      ? frame
      : answer(transaction, { question, scope, organizations, frame, asOfMs, findSheet })
  })
}

/** What a question is about in time. */
export type Frame = {
  readonly kind: "frame"
  readonly timeZone: string
  readonly range: TimeRange
  readonly bucket: BucketName | null
  readonly buckets: readonly Bucket[] | null
}

/** A question with all that is known before rows are read. */
export type Asked = {
  readonly question: UsageQuestion
  readonly scope: Scope
  readonly organizations: readonly AskedOrganization[]
  readonly frame: Frame
  readonly asOfMs: number
  readonly findSheet: FindSheet
}

/** The range and zone that a filter means: in whole quarters of an hour for sums, exact for records. */
export async function rangeOf(
  transaction: Transaction,
  filter: UsageFilter,
  organizations: readonly AskedOrganization[],
  nowMs: number,
  isExact: boolean,
): Promise<{ readonly timeZone: string; readonly range: TimeRange } | Refused> {
  const timeZone = zoneOf(filter, organizations)
  const firstMs = filter.range === "all" ? await firstBucketMs(transaction, organizations) : null
  const range = (isExact ? exactRange : resolveRange)(filter, timeZone, nowMs, firstMs)
  if (range.kind === "refused") return range
  const [slow] = recordsOnly(filter)
  if (slow !== undefined && isTooLongForRecords(range)) {
    return refused(slow, `this is read from single records, ${RECORDS_DAYS_MAX} days at most; take a shorter range`)
  }
  return { timeZone, range }
}

async function frameOf(
  transaction: Transaction,
  question: UsageQuestion,
  organizations: readonly AskedOrganization[],
  nowMs: number,
): Promise<Frame | Refused> {
  const found = await rangeOf(transaction, question, organizations, nowMs, false)
  if ("kind" in found) return found
  const { range, timeZone } = found
  const { bucket: wanted } = question
  if (wanted === undefined) return { kind: "frame", timeZone, range, bucket: null, buckets: null }
  const bucket = wanted === "auto" ? fittingBucket(range) : wanted
  const buckets = cutRange(range, bucket, timeZone)
  if ("kind" in buckets) return buckets
  const cells = buckets.length * (question.group_by.length === 0 ? 1 : topOf(question))
  if (cells > CELLS_MAX) {
    return refused("top", `${cells} figures are more than ${CELLS_MAX}; take fewer groups or longer buckets`)
  }
  return { kind: "frame", timeZone, range, bucket, buckets }
}

/** An hour more than the days, since clocks may be set back within them. */
function isTooLongForRecords({ fromMs, toMs }: TimeRange): boolean {
  return toMs - fromMs > RECORDS_DAYS_MAX * DAY_MS + 3_600_000
}
