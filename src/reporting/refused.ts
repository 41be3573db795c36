/** A question that cannot be answered as it was put: which part of it, why, and what to ask instead. */

export type Refused = {
  readonly kind: "refused"
  /** The part of the question that stands in the way, by its name. */
  readonly param: string
  /** A clause without its full stop; says the next step where there is one. */
  readonly reason: string
}

export function refused(param: string, reason: string): Refused {
  return { kind: "refused", param, reason }
}
