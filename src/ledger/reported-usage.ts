/**
 * Usage that is told to us: what it says, and the record that becomes of it. Its price is worked out as a call's is; where
 * the report names a cost, that is the cost, and our own price stands beside it.
 */
import { createHash } from "node:crypto"
import type { CallActual } from "../admission/limits.ts"
import type { Reporter } from "../identity/reporter.ts"
import { totalTokens, type Usage } from "../metering/usage.ts"
import { formatUsd, nanosRoundedUp } from "../pricing/money.ts"
import { readPinned } from "../pricing/price-terms.ts"
import { BlankRecord } from "./blank-record.ts"
import { type Prices, priceRecord, priceServed, putUsage } from "./priced-record.ts"
import type { EndState, Outcome, UsageRecord } from "./usage-record.ts"

/** As the endpoint of reported records, where calls have theirs. */
export const REPORT_ENDPOINT = "usage.report"

/** The largest cost of one record, and with it of one charge that every limit store takes. */
const COST_PICOS_MAX = 10n ** 9n * 10n ** 12n

/** Checked and complete; texts are '' where nothing was said. */
export type ReportedUsage = {
  readonly provider: string
  readonly model: string
  readonly tier: string
  readonly tool: string
  readonly operation: string
  readonly usage: Usage
  /** Pico-dollars; null where the price book is to say it. */
  readonly costPicos: bigint | null
  readonly endCustomer: string
  readonly conversation: string
  readonly tags: readonly string[]
  readonly metadata: Readonly<Record<string, string>>
  readonly durationMs: number
  /** Epoch milliseconds; null: when it is told. */
  readonly timeMs: number | null
  readonly outcome: Outcome
  readonly error: string
}

/** The same content has the same fingerprint, however it was written. The time counts where it was said. */
export function fingerprintOf(reporter: Reporter, said: ReportedUsage): Buffer {
  const { organizationId, projectId, userId, keyId } = reporter
  const { costPicos, metadata, tags, usage, ...rest } = said
  const content = {
    reporter: [organizationId, projectId, userId, keyId],
    ...rest,
    usage: Object.entries(usage).sort(),
    cost: costPicos?.toString() ?? null,
    tags: [...tags].sort(),
    metadata: Object.entries(metadata).sort(),
  }
  return createHash("sha256")
    .update(JSON.stringify(Object.entries(content).sort()))
    .digest()
}

export type ReportRecord =
  | { readonly kind: "record"; readonly record: UsageRecord; readonly actual: CallActual }
  | { readonly kind: "refused"; readonly param: string; readonly message: string }

/** The record of a report, priced, and what it used of its limits; its charges are for the caller to add. */
export function reportRecord(
  prices: Prices,
  { id, timeMs, clientRequestId }: { readonly id: string; readonly timeMs: number; readonly clientRequestId: string },
  reporter: Reporter,
  said: ReportedUsage,
): ReportRecord {
  const record = unpricedRecord(id, timeMs, clientRequestId, reporter, said)
  const isNothing = said.costPicos === null && totalTokens(said.usage) + said.usage.units + said.usage.webSearches === 0
  const source = isNothing ? "none" : "reported"
  putUsage(record, said.usage, { source, estimator: "", raw: null, isMismatch: false })
  const costNanos =
    said.costPicos === null
      ? priceRecord(prices, record, said.usage, timeMs)
      : putCost(prices, record, said, said.costPicos)
  if (costNanos * 1_000n > COST_PICOS_MAX) {
    const message = "This would cost more than a billion dollars. Check the amounts, or report it in parts."
    return { kind: "refused", param: said.costPicos === null ? "units" : "cost_usd", message }
  }
  return { kind: "record", record, actual: { requests: 1n, tokens: BigInt(totalTokens(said.usage)), costNanos } }
}

/** The reported cost, 0 included, with the price's beside it, before markup and discount; returns nano-dollars, rounded up. */
function putCost(prices: Prices, record: UsageRecord, { usage }: ReportedUsage, costPicos: bigint): bigint {
  const served = { model: record.model_served, tier: record.tier_served }
  const priced = priceServed(prices, record, served, usage, Date.parse(record.time))
  record.price_state = "priced"
  record.cost_usd = formatUsd(costPicos)
  record.cost_source = "reported"
  record.price_row = priced.kind === "priced" ? readPinned(priced.pin).priceRow : ""
  record.book_cost_usd = priced.kind === "priced" ? formatUsd(priced.baseCostPicos ?? priced.costPicos) : null
  return nanosRoundedUp(costPicos)
}

const END_STATES: Readonly<Record<Outcome, EndState>> = {
  ok: "complete",
  error: "upstream_error",
  aborted: "client_abort",
}

function unpricedRecord(
  id: string,
  timeMs: number,
  clientRequestId: string,
  reporter: Reporter,
  said: ReportedUsage,
): UsageRecord {
  return {
    ...new BlankRecord(),
    id,
    time: new Date(timeMs).toISOString(),
    kind: "report",
    organization_id: reporter.organizationId,
    project_id: reporter.projectId,
    user_id: reporter.userId,
    key_id: reporter.keyId,
    end_customer: said.endCustomer,
    conversation: said.conversation,
    tool: said.tool,
    operation: said.operation,
    tags: [...new Set([...reporter.tags, ...said.tags])],
    metadata: said.metadata,
    client_request_id: clientRequestId,
    endpoint: REPORT_ENDPOINT,
    provider: said.provider,
    model_requested: said.model,
    model_routed: said.model,
    model_served: said.model,
    tier_requested: said.tier,
    tier_served: said.tier,
    outcome: said.outcome,
    end_state: END_STATES[said.outcome],
    error_code: said.error,
    usage_source: "reported",
    price_state: "unpriced",
    cost_usd: null,
    duration_ms: said.durationMs,
  }
}
