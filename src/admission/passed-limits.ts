/**
 * Limits that let calls pass: what a soft one says to the caller, and how often a shadow one would have refused. Both are
 * known from what the counters say once the call is held, so that stores count all limits alike.
 */
import type { Registry } from "prom-client"
import { LIMIT_KINDS, type Limit, refuses } from "../identity/limit.ts"
import { registerSeries } from "../platform/figures.ts"
import type { Charge, CounterState } from "./limit-store.ts"

/** A soft limit at or beyond its first threshold; `used` with what running calls hold, in the unit of the cap. */
export type LimitWarning = { readonly limit: Limit; readonly used: bigint }

export type ShadowRefusals = { readonly limitId: string; readonly refusals: number }

const NONE: readonly LimitWarning[] = []

export class PassedLimits {
  /** By the limit's kind, since the start. */
  readonly #warned = new Map<Limit["kind"], number>()
  readonly #refused = new Map<Limit["kind"], number>()
  /** By the limit's id, of what nobody has written down yet. */
  readonly #unwritten = new Map<string, number>()

  /** To be asked of every held call: its charges, and what their counters say with the call in them. */
  of(charges: readonly Charge[], counters: readonly CounterState[]): readonly LimitWarning[] {
    let warnings = NONE
    for (let index = 0; index < charges.length; index += 1) {
      const limit = charges[index]?.limit
      const counter = counters[index]
      if (limit === undefined || counter === undefined || refuses(limit)) continue
      const used = counter.settled + counter.held
      if (limit.enforcement === "shadow") {
        if (used > limit.cap) this.#refuse(limit)
      } else if (isTold(limit, used)) {
        this.#warned.set(limit.kind, (this.#warned.get(limit.kind) ?? 0) + 1)
        warnings = [...warnings, { limit, used }]
      }
    }
    return warnings
  }

  /** What shadow limits would have refused since this was last asked. What cannot be written down is to be given back. */
  takeUnwritten(): readonly ShadowRefusals[] {
    const taken = [...this.#unwritten].map(([limitId, refusals]) => ({ limitId, refusals }))
    this.#unwritten.clear()
    return taken
  }

  giveBack(taken: readonly ShadowRefusals[]): void {
    for (const { limitId, refusals } of taken) this.#add(limitId, refusals)
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

  #refuse({ id, kind }: Limit): void {
    this.#refused.set(kind, (this.#refused.get(kind) ?? 0) + 1)
    this.#add(id, 1)
  }

  #add(limitId: string, refusals: number): void {
    this.#unwritten.set(limitId, (this.#unwritten.get(limitId) ?? 0) + refusals)
  }
}

/** Whether a caller hears of it: beyond the cap, or at the lowest threshold. */
function isTold({ cap, thresholds }: Limit, used: bigint): boolean {
  const [lowest] = thresholds
  return used > cap || (lowest !== undefined && used > 0n && used * 100n >= cap * BigInt(lowest))
}
