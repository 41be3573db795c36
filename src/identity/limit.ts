/** A limit as it is stored: what is capped, over which window, for whom. The decisions about it live in `admission`. */

export const LIMIT_KINDS = ["requests", "tokens", "usd", "concurrency"] as const
export type LimitKind = (typeof LIMIT_KINDS)[number]

/**
 * `none` belongs to concurrency alone; the others are rates (`second`, `minute`, `hour`, `per_day`), `lifetime`, or windows of
 * the calendar, `rolling` the last days with today. Stores keep a window by its place in this list, so new ones stand at its end.
 */
export const LIMIT_WINDOWS = [
  "minute",
  "day",
  "month",
  "lifetime",
  "none",
  "week",
  "quarter",
  "year",
  "rolling",
  "second",
  "hour",
  "per_day",
] as const
export type LimitWindow = (typeof LIMIT_WINDOWS)[number]

/** In how long a rate drains by its whole cap. */
const RATE_PERIODS_MS: Readonly<Partial<Record<LimitWindow, number>>> = {
  second: 1_000,
  minute: 60_000,
  hour: 3_600_000,
  per_day: 86_400_000,
}

/** Milliseconds in which a rate drains by its cap; null for every other window. */
export function ratePeriodMs(window: LimitWindow): number | null {
  return RATE_PERIODS_MS[window] ?? null
}

/** Windows that begin and end by the calendar of a zone. */
export function isCalendarWindow(window: LimitWindow): boolean {
  return ratePeriodMs(window) === null && window !== "lifetime" && window !== "none"
}

/** Most days of a rolling window: each is a counter that a call reads. */
export const ROLLING_DAYS_MAX = 31

/** The largest anchor that a window may have: a weekday of weeks, else a day of a month; 0 where it has none. */
export function anchorDayMax(window: LimitWindow): number {
  if (window === "week") return 7
  return window === "month" || window === "quarter" || window === "year" ? 31 : 0
}

export const LIMIT_SCOPES = ["organization", "project", "user", "key", "provider_account"] as const
export type LimitScope = (typeof LIMIT_SCOPES)[number]

/**
 * Whom a limit on a provider account, organization or project counts apart, each with the whole cap; '' counts all its
 * calls together. On an organization or project it is each user, key or end-customer.
 */
export const LIMIT_EACH = ["", "organization", "project", "user", "key", "end_customer"] as const
export type LimitEach = (typeof LIMIT_EACH)[number]

/**
 * What a limit does while the store that counts it is away. `deny`: calls are refused. `local`: each proxy admits within
 * its share of what it last saw left. `allow`: the limit is not applied.
 */
export const STORE_FAILURE_POLICIES = ["deny", "local", "allow"] as const
export type StoreFailurePolicy = (typeof STORE_FAILURE_POLICIES)[number]

/**
 * What a limit does to a call that has no room under it. `hard`: the call is refused. `soft`: it goes on, and its answer
 * warns. `shadow`: it goes on, nobody is told, and what would have been refused is counted. All three count the same.
 */
export const ENFORCEMENTS = ["hard", "soft", "shadow"] as const
export type Enforcement = (typeof ENFORCEMENTS)[number]

/**
 * What a hard limit on tokens or money does to a call of which nobody can tell beforehand what it uses at most, the
 * strictest first. `deny`: the call is refused. `clamp`: what can be bounded of it is, and that much is held.
 * `overshoot`: it goes on as it is, held at what is likely.
 */
export const UNBOUNDED_POLICIES = ["deny", "clamp", "overshoot"] as const
export type UnboundedPolicy = (typeof UNBOUNDED_POLICIES)[number]

/** Bounds of a slice: a smaller one would ask the store at every event, a larger one is as good as none. */
export const SLICE_TOKENS_MIN = 64
export const SLICE_TOKENS_MAX = 1_000_000

/** A larger cap for a time. It ends by itself, since the cap in force is asked for by the time. */
export type CapRaise = { readonly cap: bigint; readonly untilMs: number }

export type Limit = {
  readonly id: string
  /** Among whose counters it stands: an organization's, or a provider account's own (`account-limit.ts`). */
  readonly organizationId: string
  readonly scope: LimitScope
  /** Id of the organization, project, user or key that the limit counts; for a provider account see `account-limit.ts`. */
  readonly subject: string
  readonly kind: LimitKind
  readonly window: LimitWindow
  /** Whole requests, tokens or calls in flight; nano-dollars (1e-9 USD) for `usd`. */
  readonly cap: bigint
  /** IANA zone of calendar windows. */
  readonly timeZone: string
  /**
   * Where the window begins: of a week the weekday, 1 Monday to 7 Sunday; of a month, of a quarter's or a year's first
   * month the day (1-31, clamped to the month's length). Of a rolling window, of how many days it is.
   */
  readonly anchorDay: number
  readonly onStoreFailure: StoreFailurePolicy
  readonly enforcement: Enforcement
  readonly unbounded: UnboundedPolicy
  /** Percent of the cap at which someone is told, lowest first. */
  readonly thresholds: readonly number[]
  /** Null where the cap was never raised for a time. */
  readonly raise: CapRaise | null
  readonly each: LimitEach
  /** Counts only calls of this tool, with this tag, to these models or to this endpoint; null where it counts all. */
  readonly filter: LimitFilter | null
  /**
   * Of a budget of tokens or dollars: a stream holds its output in slices of so many tokens, and is ended when no further
   * one fits. Null: the whole output is held beforehand.
   */
  readonly sliceTokens: number | null
  /**
   * A new limit starts from what the ledger has: the directory's version with which that was added up, negative where it was
   * nothing; null where nobody has looked yet; 0 or absent of limits that started from nothing.
   */
  readonly seededVersion?: number | null
}

export const FILTER_BY = ["tool", "tag", "model", "endpoint"] as const

/** What a call must carry: that very tool, tag or endpoint, or a model that the pattern (`*` for any run) describes. */
export type LimitFilter = { readonly by: (typeof FILTER_BY)[number]; readonly value: string }

/** Whether calls without room are refused. */
export function refuses({ enforcement }: Pick<Limit, "enforcement">): boolean {
  return enforcement === "hard"
}

/** Limits with a raise in force, by what they are without it: what stores remember of a limit they remember by its object. */
const raised = new WeakMap<Limit, Limit>()

/** The limit as it applies at an instant (epoch milliseconds): itself, or with the larger cap of a raise in force. */
export function limitInForce(limit: Limit, atMs: number): Limit {
  const { raise } = limit
  if (raise === null || atMs >= raise.untilMs || raise.cap <= limit.cap) return limit
  let larger = raised.get(limit)
  if (larger === undefined) {
    larger = { ...limit, cap: raise.cap }
    raised.set(limit, larger)
  }
  return larger
}

/** What a limit is where nobody said otherwise. `local` keeps money and calls bounded while the store is away. */
export const LIMIT_DEFAULTS = {
  timeZone: "UTC",
  anchorDay: 1,
  onStoreFailure: "local",
  enforcement: "hard",
  unbounded: "clamp",
  thresholds: [50, 80, 100],
  sliceTokens: null,
} as const satisfies Partial<Limit>
