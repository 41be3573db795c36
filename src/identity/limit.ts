/** A limit as it is stored: what is capped, over which window, for whom. The decisions about it live in `admission`. */

export const LIMIT_KINDS = ["requests", "tokens", "usd", "concurrency"] as const
export type LimitKind = (typeof LIMIT_KINDS)[number]

/** `none` belongs to concurrency alone; the others are rates (`minute`) or calendar windows. */
export const LIMIT_WINDOWS = ["minute", "day", "month", "lifetime", "none"] as const
export type LimitWindow = (typeof LIMIT_WINDOWS)[number]

export const LIMIT_SCOPES = ["organization", "project", "user", "key", "provider_account"] as const
export type LimitScope = (typeof LIMIT_SCOPES)[number]

/** Whom a limit on a provider account counts apart, each with the whole cap; '' counts all its calls together. */
export const LIMIT_EACH = ["", "organization", "project", "user", "key"] as const
export type LimitEach = (typeof LIMIT_EACH)[number]

/**
 * What a limit does while the store that counts it is away. `deny`: calls are refused. `local`: each proxy admits within
 * its share of what it last saw left. `allow`: the limit is not applied.
 */
export const STORE_FAILURE_POLICIES = ["deny", "local", "allow"] as const
export type StoreFailurePolicy = (typeof STORE_FAILURE_POLICIES)[number]

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
  /** Day of the month (1-31, clamped to the month's length) on which a month window begins. */
  readonly anchorDay: number
  readonly onStoreFailure: StoreFailurePolicy
}

/** What a limit is where nobody said otherwise. `local` keeps money and calls bounded while the store is away. */
export const LIMIT_DEFAULTS = {
  timeZone: "UTC",
  anchorDay: 1,
  onStoreFailure: "local",
} as const satisfies Partial<Limit>
