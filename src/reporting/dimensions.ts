/**
 * What usage can be filtered and grouped by, and where each of it stands. Most dimensions are in the rollup; those whose
 * values have no bound (conversation, end-customer, tag) are on the records alone, which are read through an index.
 */

type Dimension = {
  /** Column of the rollup and of `usage_series`; null where only records know it. */
  readonly rollup: string | null
  /** SQL over a record. Names that callers or providers word are cut as the rollup cuts them, so that both agree. */
  readonly record: string
}

export const DIMENSIONS = {
  organization: { rollup: "organization_id", record: "organization_id" },
  project: { rollup: "project_id", record: "project_id" },
  user: { rollup: "user_id", record: "user_id" },
  key: { rollup: "key_id", record: "key_id" },
  provider: { rollup: "provider", record: "provider" },
  provider_account: { rollup: "provider_account", record: "provider_account" },
  model: { rollup: "model_served", record: "left(model_served, 120)" },
  endpoint: { rollup: "endpoint", record: "endpoint" },
  tool: { rollup: "tool", record: "left(tool, 120)" },
  operation: { rollup: "operation", record: "left(operation, 120)" },
  tier: { rollup: "tier_served", record: "tier_served" },
  outcome: { rollup: "outcome", record: "outcome" },
  stream: { rollup: "stream::text", record: "stream::text" },
  usage_source: { rollup: "usage_source", record: "usage_source" },
  price_row: { rollup: "price_row", record: "price_row" },
  conversation: { rollup: null, record: "conversation" },
  end_customer: { rollup: null, record: "end_customer" },
  tag: { rollup: null, record: "tag" },
} as const satisfies Readonly<Record<string, Dimension>>

export type DimensionName = keyof typeof DIMENSIONS
export const DIMENSION_NAMES = Object.keys(DIMENSIONS) as readonly DimensionName[]

/** Filters that name values, any of which may match. */
export const LIST_FILTERS = [
  "organization",
  "project",
  "user",
  "key",
  "provider",
  "provider_account",
  "model",
  "endpoint",
  "tool",
  "operation",
  "outcome",
  "tier",
  "usage_source",
  "conversation",
  "end_customer",
  "tag",
] as const satisfies readonly DimensionName[]

export function isOnRecordsOnly(name: DimensionName): boolean {
  return DIMENSIONS[name].rollup === null
}
