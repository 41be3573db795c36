/**
 * What limits count, day by day, from the usage that reports read: limits of one zone, kind of subject and tool are one
 * statement, so that hundreds of budgets are a few. The ledger's own sum of a limit has no days.
 */
import { NOBODY } from "../identity/counted-apart.ts"
import type { Limit } from "../identity/limit.ts"
import type { Transaction } from "../platform/postgres.ts"
import { PICOS_PER_NANO } from "../pricing/money.ts"
import type { DimensionName } from "./dimensions.ts"
import type { Sums } from "./measures.ts"
import { piecesOf } from "./pieces.ts"
import { DAYS_SEEN_MAX, type DayUse } from "./projection.ts"
import { daysSinceFirstUse, type PastDays, pastDays } from "./projection-days.ts"
import type { UsageFilter } from "./question.ts"
import { runSums } from "./run-sums.ts"
import { picosOf } from "./token-classes.ts"

/** One counter of a limit of money or tokens. */
export type Counter = {
  /** '' of a provider account's, which counts calls of all organizations. */
  readonly organizationId: string
  readonly scope: Limit["scope"]
  /** An id; a provider account as people write it, `<provider>/<account>`. */
  readonly subject: string
  readonly each: Limit["each"]
  /** Whom it counts apart; '' where it counts all together. */
  readonly counted: string
  readonly kind: "usd" | "tokens"
  readonly timeZone: string
  readonly filter: Limit["filter"]
}

/** Tags are on single records alone, which are read over a month at the most. */
const TAGGED_DAYS = 30

/** The whole days since each counter's first use, eight weeks at the most, in the order of the counters. */
export async function daysOfCounters(
  transaction: Transaction,
  counters: readonly Counter[],
  nowMs: number,
): Promise<readonly (readonly DayUse[])[]> {
  const days = new Map<Counter, readonly DayUse[]>()
  for (const alike of Map.groupBy(counters, batchOf).values()) {
    await readBatch(transaction, alike, nowMs, days)
  }
  return counters.map((counter) => days.get(counter) ?? [])
}

/** What must be equal for counters to be read together. */
function batchOf({ organizationId, scope, each, timeZone, filter }: Counter): string {
  return [organizationId, scope, each, timeZone, filter?.by ?? "", filter?.value ?? ""].join("\0")
}

async function readBatch(
  transaction: Transaction,
  counters: readonly Counter[],
  nowMs: number,
  into: Map<Counter, readonly DayUse[]>,
): Promise<void> {
  const [first] = counters
  if (first === undefined) return
  // Reports know models by their names alone.
  if (first.filter?.by === "model" && first.filter.value.includes("*")) return
  const isByRecords = first.filter?.by === "tag" || first.each === "end_customer"
  const past = pastDays(first.timeZone, nowMs, isByRecords ? TAGGED_DAYS : DAYS_SEEN_MAX)
  const groupBy = dimensionsOf(first)
  const keys = [...new Map(counters.map((counter) => [keyOf(counter).join("\0"), keyOf(counter)])).values()]
  const organizationIds = first.organizationId === "" ? await allOrganizations(transaction) : [first.organizationId]
  const { boundaries } = past
  const source = isByRecords
    ? ({ kind: "records", organizationIds } as const)
    : ({ kind: "pieces", pieces: await piecesOf(transaction, organizationIds, boundaries) } as const)
  const places = { kind: "given", groups: keys } as const
  const asked = { scope: { kind: "all" }, groupBy, boundaries, places, withLatency: false } as const
  const summed = await runSums(transaction, { ...asked, filter: filterOf(counters, groupBy) }, source)
  const byKey = new Map(summed.groups.map(({ key, series }) => [key.join("\0"), series]))
  for (const counter of counters) {
    into.set(counter, usedDays(past, byKey.get(keyOf(counter).join("\0")) ?? [], counter.kind))
  }
}

/** The whole days of a series over `boundaries` since the first call. */
function usedDays(past: PastDays, series: readonly Sums[], kind: Counter["kind"]): readonly DayUse[] {
  const parts = series.map((sums) => ({
    amount: kind === "usd" ? picosOf(sums.cost_usd) / PICOS_PER_NANO : BigInt(sums.tokens),
    isUsed: sums.records !== "0",
  }))
  return daysSinceFirstUse(past, parts)
}

/** By what a counter's usage is told from that of others. */
function dimensionsOf({ scope, each }: Counter): readonly DimensionName[] {
  const own: readonly DimensionName[] = scope === "provider_account" ? ["provider", "provider_account"] : [scope]
  return each === "" || own.includes(each) ? own : [...own, each]
}

/** The counter's values of these dimensions. */
function keyOf({ scope, subject, each, counted }: Counter): readonly string[] {
  const slash = subject.indexOf("/")
  const own = scope === "provider_account" ? [subject.slice(0, slash), subject.slice(slash + 1)] : [subject]
  return each === "" ? own : [...own, counted === NOBODY ? "" : counted]
}

/** Nothing is read that no counter counts. */
function filterOf(counters: readonly Counter[], groupBy: readonly DimensionName[]): UsageFilter {
  const values = groupBy.map((name, index) => [name, [...new Set(counters.map((one) => keyOf(one)[index] ?? ""))]])
  const filter = counters[0]?.filter
  return {
    ...Object.fromEntries(values),
    ...(filter === null || filter === undefined ? {} : { [filter.by]: [filter.value] }),
  }
}

async function allOrganizations(transaction: Transaction): Promise<readonly string[]> {
  const rows = await transaction<{ id: string }[]>`SELECT id FROM organizations ORDER BY id`
  return rows.map(({ id }) => id)
}
