/**
 * By how much a limit can be overspent in one of its windows, and what of its own settings allows that. A bounded call on
 * a hard limit holds the most that it can use before it is forwarded, so it adds nothing; everything else is here.
 */
import { type Limit, refuses } from "../identity/limit.ts"
import { counterKind } from "./limits.ts"

/** `enforcement`: it refuses nothing. `store_failure`: calls pass while its store is away. `unbounded`: so may calls without a bound. `likely`: it holds what is likely. */
export type BoundReason = "enforcement" | "store_failure" | "unbounded" | "likely"

export type StatedBound = {
  /** At most so much beyond the cap, in the cap's unit; null where there is no such figure. */
  readonly atMost: bigint | null
  /** What of the limit's settings makes it other than 0. */
  readonly reasons: readonly BoundReason[]
}

/** What calls without a bound of their own may do on the limit; a limit that does not say lowers what they ask for. */
type Bounding = Limit & { readonly unbounded?: "clamp" | "deny" | "overshoot" }

/** `isShared`: the store that counts is another process, which can be away. */
export function statedBound(limit: Bounding, isShared: boolean): StatedBound {
  const unbounded = new Set<BoundReason>()
  if (!refuses(limit)) unbounded.add("enforcement")
  if (isShared && limit.onStoreFailure === "allow") unbounded.add("store_failure")
  const isOfSize = limit.kind === "usd" || limit.kind === "tokens"
  if (isOfSize && (limit.unbounded ?? "clamp") === "overshoot") unbounded.add("unbounded")
  // A call can use more of a rate than is likely, and the next calls wait the longer for it.
  if (limit.kind === "tokens" && counterKind(limit) === "rate") unbounded.add("likely")
  if (unbounded.size > 0) return { atMost: null, reasons: [...unbounded] }
  if (isShared && limit.onStoreFailure === "local") return { atMost: limit.cap, reasons: ["store_failure"] }
  return { atMost: 0n, reasons: [] }
}
