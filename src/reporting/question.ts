/**
 * What can be asked of usage: the one filter, and the questions that are built on it. API, page, export and command line
 * read these schemas, so that each takes and refuses the same. Lists are given as arrays or, in a query string, with
 * commas; an empty text means the same as nothing.
 */
import { z } from "zod"
import { BUCKETS } from "./buckets.ts"
import { DIMENSION_NAMES, isOnRecordsOnly, LIST_FILTERS } from "./dimensions.ts"
import { type Refused, refused } from "./refused.ts"
import { COMPARISONS, RANGE_DEFAULT, RANGES } from "./time-range.ts"

/** Stands for "has none", such as calls that no user is named for; an empty text would mean no filter. */
export const NONE = "(none)"
const VALUES_MAX = 100
const VALUE_LENGTH_MAX = 256
const GROUPS_MAX = 2
export const TOP_MAX = 5_000
const TOP_DEFAULT = 100
const TOP_OVER_TIME_DEFAULT = 10
export const PAGE_MAX = 1_000

const list = z
  .union([z.string().max(VALUES_MAX * VALUE_LENGTH_MAX), z.array(z.string())])
  .transform((given) => {
    const values = typeof given === "string" ? given.split(",").filter((value) => value !== "") : given
    return values.map((value) => (value === NONE ? "" : value))
  })
  .pipe(z.array(z.string().max(VALUE_LENGTH_MAX)).max(VALUES_MAX))
  .transform((values) => (values.length === 0 ? undefined : values))
  .optional()
  .describe(`Values with commas between them, any of which may match; ${NONE}: those that have none.`)

const truth = z
  .union([z.boolean(), z.enum(["true", "false", ""])])
  .transform((given) => (given === "" ? undefined : given === true || given === "true"))
  .optional()

const emptyIsAbsent = (given: unknown) => (given === "" ? undefined : given)
export const choice = <Name extends string>(names: readonly [Name, ...Name[]]) =>
  z.preprocess(emptyIsAbsent, z.enum(names).optional())

const moment = z.preprocess(emptyIsAbsent, z.union([z.iso.date(), z.iso.datetime({ offset: true })]).optional())
const timeZone = z.preprocess(
  emptyIsAbsent,
  z.string().refine(isTimeZone, "must be an IANA time zone such as Europe/Berlin").optional(),
)

/** Every name of the filter; all that are given must match, and of a list any value. */
export const FILTER_SHAPE = {
  range: choice(RANGES).describe(`Alternatively from and until; ${RANGE_DEFAULT} unless told.`),
  from: moment.describe("A date, or an instant with its offset."),
  until: moment.describe("A date is meant as a whole; an instant is not part of the range."),
  time_zone: timeZone.describe("IANA zone of the days; the organization's own where there is one, else UTC."),
  ...(Object.fromEntries(LIST_FILTERS.map((name) => [name, list])) as Record<
    (typeof LIST_FILTERS)[number],
    typeof list
  >),
  stream: truth.describe("Whether the answer was a stream."),
  estimated: truth.describe("Whether tokens were counted here, since the provider said nothing."),
  unpriced: truth.describe("Whether no price was known."),
}

/** Dimensions, and `token_class`, by which money and tokens can be told apart but not calls. */
export const GROUP_NAMES = ["token_class", ...DIMENSION_NAMES] as const
export type GroupName = (typeof GROUP_NAMES)[number]

const groups = z
  .union([z.string(), z.array(z.string())])
  .transform((given) => (typeof given === "string" ? given.split(",").filter((name) => name !== "") : given))
  .pipe(z.array(z.enum(GROUP_NAMES)).max(GROUPS_MAX))
  .default([])

const whole = (min: number, max: number) =>
  z.preprocess(emptyIsAbsent, z.coerce.number().int().min(min).max(max).optional())

export const ORDERS = ["cost", "records", "tokens"] as const

/** Sums: by up to two groups, over time, against an earlier range. */
export const usageQuestion = z.strictObject({
  ...FILTER_SHAPE,
  group_by: groups.describe(`At most two with a comma: ${GROUP_NAMES.join(", ")}.`),
  bucket: choice(["auto", ...BUCKETS]).describe("auto takes one that fits the range."),
  top: whole(1, TOP_MAX).describe(
    `So many groups, ${TOP_DEFAULT} by default and ${TOP_OVER_TIME_DEFAULT} over time; the rest are one, other.`,
  ),
  order_by: choice(ORDERS)
    .transform((given) => given ?? "cost")
    .describe("What the top groups have most of; cost unless told."),
  compare: choice(COMPARISONS)
    .transform((given) => given ?? "none")
    .describe("With the range before, or with the same weekdays whole weeks earlier; none unless told."),
  latency: truth
    .transform((given) => given ?? false)
    .describe("Whether to tell percentiles of duration and of time to the first token."),
})
export type UsageQuestion = z.output<typeof usageQuestion>

/** Single records, a page at a time. */
export const recordsQuestion = z.strictObject({
  ...FILTER_SHAPE,
  order: choice(["newest", "oldest"])
    .transform((given) => given ?? "newest")
    .describe("Which come first; newest unless told."),
  limit: whole(1, PAGE_MAX)
    .transform((given) => given ?? 100)
    .describe(`Rows of a page, 100 unless told, at most ${PAGE_MAX}.`),
  after: z.preprocess(emptyIsAbsent, z.string().max(200).optional()).describe("The last page's `next`."),
})
export type RecordsQuestion = z.output<typeof recordsQuestion>

const filterSchema = z.strictObject(FILTER_SHAPE)
export type UsageFilter = z.output<typeof filterSchema>

/** How many groups stand alone. */
export function topOf({ top, bucket }: Pick<UsageQuestion, "top" | "bucket">): number {
  return top ?? (bucket === undefined ? TOP_DEFAULT : TOP_OVER_TIME_DEFAULT)
}

/** Groups of a tag overlap, since a call has several. */
export function groupsOverlap(question: Pick<UsageQuestion, "group_by">): boolean {
  return question.group_by.includes("tag")
}

/** The filters and groups that only records can answer; empty where the rollup can. */
export function recordsOnly(question: UsageFilter & Partial<Pick<UsageQuestion, "group_by">>): string[] {
  const filters = LIST_FILTERS.filter((name) => isOnRecordsOnly(name) && question[name] !== undefined)
  const groupNames = (question.group_by ?? []).filter((name) => name !== "token_class" && isOnRecordsOnly(name))
  return [...new Set([...filters, ...(question.unpriced === undefined ? [] : ["unpriced"]), ...groupNames])]
}

/** Why the parts of a question do not go together; null where they do. */
export function combinationRefusal(question: UsageQuestion): Refused | null {
  const { group_by: groupBy, latency, order_by: order } = question
  if (groupBy.length === 2 && groupBy[0] === groupBy[1]) return refused("group_by", "name two different dimensions")
  if (groupBy.includes("token_class")) {
    if (groupBy.length > 1) {
      return refused("group_by", "token_class stands alone: filter by the other dimension instead")
    }
    if (latency)
      return refused("latency", "one call has tokens of several classes, so they have no latency of their own")
    if (order === "records") return refused("order_by", "token_class has no calls to order by; take cost or tokens")
  }
  return null
}

/** Offsets such as +05:30 are no zones, since they do not know when clocks change. */
function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name) || name.length > 64) return false
  try {
    new Intl.DateTimeFormat("en", { timeZone: name })
    return true
  } catch {
    return false
  }
}
