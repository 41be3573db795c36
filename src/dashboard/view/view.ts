/**
 * The URL is the view. Range, zone, comparison and filters stand in its query under the names that the API gives them, so
 * that a copied address shows the same numbers; `docs/urls.md` fixes the names. What is the default is left out.
 */

export const RANGES = {
  today: "Today",
  yesterday: "Yesterday",
  "7d": "7 days",
  "28d": "28 days",
  "90d": "90 days",
  this_week: "This week",
  last_week: "Last week",
  this_month: "This month",
  last_month: "Last month",
  this_quarter: "This quarter",
  last_quarter: "Last quarter",
  all: "All",
} as const
export type RangeName = keyof typeof RANGES
const RANGE_DEFAULT: RangeName = "this_month"

export const COMPARISONS = {
  weeks: "Same weekdays, whole weeks earlier",
  previous: "Previous period, day by day",
  none: "None",
} as const
export type Comparison = keyof typeof COMPARISONS

/** Filters of lists: the name in the URL and in the API → the word for people. */
export const FILTERS = {
  project: "Project",
  user: "User",
  key: "Key",
  model: "Model",
  provider: "Provider",
  provider_account: "Provider account",
  endpoint: "Endpoint",
  tool: "Tool",
  tier: "Tier",
  outcome: "Outcome",
  usage_source: "Usage source",
  end_customer: "End customer",
  conversation: "Conversation",
  tag: "Tag",
} as const
export type FilterName = keyof typeof FILTERS
export const FILTER_NAMES = Object.keys(FILTERS) as readonly FilterName[]

/** Filters that are true or false. */
export const TRUTHS = { stream: "Streamed", estimated: "Estimated", unpriced: "No price" } as const
export type TruthName = keyof typeof TRUTHS
export const TRUTH_NAMES = Object.keys(TRUTHS) as readonly TruthName[]

export const GROUPS = {
  model: "Model",
  project: "Project",
  user: "User",
  key: "Key",
  provider: "Provider",
  provider_account: "Provider account",
  token_class: "Token class",
  endpoint: "Endpoint",
  tool: "Tool",
  operation: "Operation",
  tier: "Tier",
  outcome: "Outcome",
} as const
export type GroupName = keyof typeof GROUPS

export const MEASURES = { spend: "Spend", tokens: "Tokens", requests: "Requests", latency: "Latency" } as const
export type MeasureName = keyof typeof MEASURES

export const BUCKETS = { auto: "Auto", hour: "Hour", day: "Day", week: "Week", month: "Month" } as const
export type BucketName = keyof typeof BUCKETS

/** Values of filters in the order of the URL; several of one name are any of them. */
export type Filters = Readonly<Partial<Record<FilterName, readonly string[]>>>

export type View = {
  readonly range: RangeName | null
  readonly from: string | null
  readonly until: string | null
  readonly timeZone: string | null
  readonly compare: Comparison
  readonly organization: string | null
  readonly filters: Filters
  readonly truths: Readonly<Partial<Record<TruthName, boolean>>>
  readonly by: readonly GroupName[]
  readonly measure: MeasureName
  readonly bucket: BucketName
  readonly isTable: boolean
}

/** Names that go along from page to page. */
const CARRIED = ["range", "from", "until", "time_zone", "compare", "organization"] as const

export function readView(search: URLSearchParams): View {
  const from = search.get("from")
  const until = search.get("until")
  const hasEnds = from !== null || until !== null
  const lists = FILTER_NAMES.flatMap((name) => {
    const values = (search.get(name) ?? "").split(",").filter((value) => value !== "")
    return values.length === 0 ? [] : [[name, values] as const]
  })
  const truths = TRUTH_NAMES.flatMap((name) => {
    const value = search.get(name)
    return value === "true" || value === "false" ? [[name, value === "true"] as const] : []
  })
  return {
    range: hasEnds ? null : oneOf(RANGES, search.get("range"), RANGE_DEFAULT),
    from,
    until,
    timeZone: search.get("time_zone"),
    compare: oneOf(COMPARISONS, search.get("compare"), "weeks"),
    organization: search.get("organization"),
    filters: Object.fromEntries(lists),
    truths: Object.fromEntries(truths),
    by: groupsIn(search.get("by")),
    measure: oneOf(MEASURES, search.get("measure"), "spend"),
    bucket: oneOf(BUCKETS, search.get("bucket"), "auto"),
    isTable: search.get("view") === "table",
  }
}

/** The query with some names set, or taken away where the value is null or the default. */
export function withNames(search: URLSearchParams, names: Readonly<Record<string, string | null>>): URLSearchParams {
  const next = new URLSearchParams(search)
  for (const [name, value] of Object.entries(names)) {
    if (value === null || value === "" || value === DEFAULTS[name]) next.delete(name)
    else next.set(name, value)
  }
  return next
}

/** What the API is asked: the filter of this view, without grouping. */
export function filterQuery(view: View): Record<string, string | boolean | null | undefined> {
  return {
    range: view.range,
    from: view.from,
    until: view.until,
    time_zone: view.timeZone,
    organization: view.organization,
    ...Object.fromEntries(Object.entries(view.filters).map(([name, values]) => [name, values.join(",")])),
    ...view.truths,
  }
}

/** Part of the query that a link to another page takes along; with filters where that page has them too. */
export function carried(search: URLSearchParams, withFilters: boolean): URLSearchParams {
  const next = new URLSearchParams()
  const names: readonly string[] = withFilters ? [...CARRIED, ...FILTER_NAMES, ...TRUTH_NAMES] : CARRIED
  for (const name of names) {
    const value = search.get(name)
    if (value !== null) next.set(name, value)
  }
  return next
}

const DEFAULTS: Readonly<Record<string, string>> = {
  range: RANGE_DEFAULT,
  compare: "weeks",
  measure: "spend",
  bucket: "auto",
  view: "chart",
}

function groupsIn(text: string | null): readonly GroupName[] {
  return (text ?? "").split(",").filter((name): name is GroupName => name in GROUPS)
}

function oneOf<Names extends Readonly<Record<string, string>>>(
  names: Names,
  given: string | null,
  otherwise: keyof Names,
): keyof Names {
  return given !== null && given in names ? given : otherwise
}
