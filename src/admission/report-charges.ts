/**
 * What usage that is reported afterwards charges, in the windows of its own time: budgets alone, since rates and calls in
 * flight mean nothing a minute later. A window that is over is charged in the ledger and nowhere else: no call is decided
 * by its counter any more.
 */
import { type Limit, limitInForce } from "../identity/limit.ts"
import type { Charge } from "./limit-store.ts"
import { actualCharges, type CallActual, chargesFor, counterKind, type DurableCharge } from "./limits.ts"
import { earlierWindows, lastReadMs, windowAt } from "./window.ts"

const NOTHING = { requests: 0n, tokensBound: 0n, tokensLikely: 0n, costNanosBound: 0n }

/** One charge for each budget among the limits, in its window of `atMs` (epoch milliseconds). */
export function budgetCharges(limits: readonly Limit[], actual: CallActual, atMs: number): Charge[] {
  return actualCharges(chargesFor(budgetsOf(limits), NOTHING, atMs), actual)
}

/**
 * The charges of a record that a limit store still counts at `nowMs`, on those of its limits that are there. `atMs` is the
 * record's time; a limit that counts by another calendar since then is filled from the ledger, as it always is.
 */
export function countedCharges(
  durable: readonly DurableCharge[],
  limits: readonly Limit[],
  atMs: number,
  nowMs: number,
): Charge[] {
  const byCounter = new Map(budgetsOf(limits).map((limit) => [`${limit.id} ${limit.subject}`, limit]))
  return durable.flatMap(({ limit_id, subject, window, amount }) => {
    const limit = byCounter.get(`${limit_id} ${subject}`)
    if (limit === undefined) return []
    const span = windowAt(limit.window, limit.timeZone, limit.anchorDay, atMs)
    const readUntilMs = lastReadMs(span.id, span.endsAtMs)
    if (span.id !== window || (readUntilMs !== null && readUntilMs <= nowMs)) return []
    return [{ limit: limitInForce(limit, nowMs), window, resetsAtMs: span.endsAtMs, amount: BigInt(amount) }]
  })
}

/** The counters, as charges of nothing, that say whether the limits are passed on which usage of `atMs` still counts. */
export function standingsToRead(charges: readonly Charge[], atMs: number, nowMs: number): Charge[] {
  return charges.flatMap((charge) => {
    const { limit } = charge
    const span = windowAt(limit.window, limit.timeZone, limit.anchorDay, Math.max(atMs, nowMs))
    const isCounted = span.id === charge.window || earlierWindows(span.id).includes(charge.window)
    return isCounted ? [{ limit, window: span.id, resetsAtMs: span.endsAtMs, amount: 0n }] : []
  })
}

function budgetsOf(limits: readonly Limit[]): readonly Limit[] {
  return limits.filter((limit) => counterKind(limit) === "budget")
}
