/**
 * Whether what was raised is told now. Pure. Of one subject at most one message goes out in 24 hours; a threshold higher
 * than what the last message told escalates at once, and all else folds into the next message, of which there is one as
 * soon as the 24 hours are over.
 */

/** Between two messages about one subject that is not getting worse. */
export const QUIET_MS = 24 * 3_600_000

export type Raised = {
  readonly id: string
  /** Percent of a cap that is used; 0 of a forecast, below whatever is reached, and where the rule has no thresholds. */
  readonly threshold: number
}

/** The last message about the subject. */
export type LastTold = { readonly atMs: number; readonly threshold: number }

export type TellDecision =
  /** `reason` is what the message is about; `folded` stand in it as well. */
  | { readonly kind: "tell"; readonly reason: Raised; readonly folded: readonly Raised[] }
  /** Not yet: all of it waits. */
  | { readonly kind: "wait" }

/**
 * `untold`: all that no message has told yet, oldest first, what was raised just now at the end. The reason is the highest
 * threshold, and of several equal ones the newest.
 */
export function decideTelling(untold: readonly Raised[], last: LastTold | null, nowMs: number): TellDecision {
  const [first] = untold
  if (first === undefined) return { kind: "wait" }
  const reason = untold.reduce((worst, one) => (one.threshold >= worst.threshold ? one : worst), first)
  const isQuiet = last !== null && nowMs - last.atMs < QUIET_MS
  if (isQuiet && reason.threshold <= last.threshold) return { kind: "wait" }
  return { kind: "tell", reason, folded: untold.filter((one) => one !== reason) }
}
