/** What a caller is answered whom a limit refuses, or whose limits cannot be checked: the same for a call and for a hold. */
import { ApiError } from "../platform/error-table.ts"
import type { AwayRefusal, Refusal } from "./refusal.ts"
import { awayMessage, refusalMessage } from "./refusal-text.ts"

export type RefusalReason = "budget" | "concurrency" | "rate"

/** The error, and in a word why. `headers` go with it, see `retryHeaders`. */
export function refusalError(
  refusal: Refusal,
  headers: readonly (readonly [string, string])[],
  nowMs: number,
): { readonly error: ApiError; readonly reason: RefusalReason } {
  const message = refusalMessage(refusal, nowMs)
  if (refusal.isBudget) return { error: new ApiError("insufficient_quota", message, { headers }), reason: "budget" }
  const type = refusal.limit.kind === "tokens" || refusal.limit.kind === "usd" ? "tokens" : "requests"
  const error = new ApiError("rate_limit_exceeded", message, { headers, type })
  return { error, reason: refusal.limit.kind === "concurrency" ? "concurrency" : "rate" }
}

/**
 * SDKs retry every 429 unless told otherwise: a used-up budget says so in `x-should-retry`, and `retry-after` stands only
 * where waiting helps (openai-node reads both).
 */
export function retryHeaders({ isBudget, retryAfterMs, limit }: Refusal): [string, string][] {
  const headers: [string, string][] = []
  if (isBudget || (retryAfterMs === null && limit.kind !== "concurrency")) headers.push(["x-should-retry", "false"])
  if (retryAfterMs !== null) {
    headers.push(["retry-after", String(Math.max(1, Math.ceil(retryAfterMs / 1000)))])
    headers.push(["retry-after-ms", String(Math.max(1, Math.ceil(retryAfterMs)))])
  }
  return headers
}

/** Not the caller's doing, and no limit is known to be reached: SDKs retry a 503 by themselves. */
export function awayError(refusal: AwayRefusal): ApiError {
  const headers = [["retry-after", String(Math.ceil(refusal.retryAfterMs / 1000))]] as const
  return new ApiError("quota_store_unavailable", awayMessage(refusal), { headers })
}
