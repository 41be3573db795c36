/**
 * Limits that let calls pass: what a soft one says to the caller, and how often a shadow one would have refused. Both are
 * known from what the counters say once the call is held, so that stores count all limits alike.
 */
import type { Registry } from "prom-client"
import { LIMIT_KINDS, type Limit, refuses } from "../identity/limit.ts"
import { registerSeries } from "../platform/figures.ts"
import type { Charge, CounterState } from "./limit-store.ts"
import type { RefusalTally } from "./refusal-tally.ts"

/** A soft limit at or beyond its first threshold; `used` with what running calls hold, in the unit of the cap. */
export type LimitWarning = { readonly limit: Limit; readonly used: bigint }

const NONE: readonly LimitWarning[] = []

export class PassedLimits {
  /** By the limit's kind, since the start. */
  readonly #warned = new Map<Limit["kind"], number>()
  readonly #refused = new Map<Limit["kind"], number>()
  readonly #tally: RefusalTally

  constructor(tally: RefusalTally) {
    this.#tally = tally
  }

  /** To be asked of every held call: its charges, and what their counters say with the call in them. */
  of(charges: readonly Charge[], counters: readonly CounterState[]): readonly LimitWarning[] {
    let warnings = NONE
    for (let index = 0; index < charges.length; index += 1) {
      const charge = charges[index]
      const counter = counters[index]
      if (charge === undefined || counter === undefined || refuses(charge.limit)) continue
      const { limit, window } = charge
      const used = counter.settled + counter.held
      if (limit.enforcement === "shadow") {
        if (used > limit.cap) this.#shadow(limit, window)
      } else if (isTold(limit, used)) {
        this.#warned.set(limit.kind, (this.#warned.get(limit.kind) ?? 0) + 1)
        warnings = [...warnings, { limit, used }]
      }
    }
    return warnings
  }

  /** Registers what is counted; each exposition reads it. */
  register(registry: Registry): void {
    const series = (name: string, help: string, counts: ReadonlyMap<string, number>) =>
      registerSeries(registry, { name, help, type: "counter" }, () =>
        LIMIT_KINDS.map((kind) => ({ labels: { kind }, value: counts.get(kind) ?? 0 })),
      )
    series("tallygate_shadow_refusals_total", "Times that a shadow limit would have refused a call.", this.#refused)
    series("tallygate_soft_limit_warnings_total", "Answers that carry the warning of a soft limit.", this.#warned)
  }

  #shadow(limit: Limit, windowId: string): void {
    this.#refused.set(limit.kind, (this.#refused.get(limit.kind) ?? 0) + 1)
    this.#tally.add(limit, windowId, "shadowed")
  }
}

/** Whether a caller hears of it: beyond the cap, or at the lowest threshold. */
function isTold({ cap, thresholds }: Limit, used: bigint): boolean {
  const [lowest] = thresholds
  return used > cap || (lowest !== undefined && used > 0n && used * 100n >= cap * BigInt(lowest))
}
