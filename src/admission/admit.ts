/**
 * May this call go on? Holds what a call may use under every limit that applies, or says which limit refuses it; later
 * settles or releases the hold. Holds of this process stay in one set, so that one store call renews them all; a hold
 * whose process dies is not renewed and expires. A store that can be away stands behind a `StoreGuard`, which answers in
 * its place; any other failure of the store makes `admit`, `settle` and `release` reject.
 *
 * Limits on a provider account hold over all organizations, so their counters stand apart and no one act can take both:
 * they are held in a second step, and where they refuse, what the first step holds is given back. Whoever dies between
 * the two leaves a hold that its lease ends, like any other.
 */
import { type Limit, refuses } from "../identity/limit.ts"
import {
  type AdmissionStore,
  type AwayReason,
  type Charge,
  type CounterState,
  organizationOf,
  type ReserveReply,
  type SettleReply,
} from "./limit-store.ts"
import { accountHoldId, actualCharges, type CallActual, type CallEstimate, chargesFor, counterKind } from "./limits.ts"
import { type LimitWarning, PassedLimits } from "./passed-limits.ts"
import { cachedWindowAt } from "./window.ts"

export const LEASE_MS = 60_000
const SWEEP_EVERY_MS = 5_000
/** A lease survives three renewals that fail. */
const RENEWALS_PER_LEASE = 4
/** A caller may be told to wait for a budget's next window if it begins within this; beyond, waiting is no advice. */
const RESET_WAIT_MS_MAX = 60_000

/** What is held among the counters of one organization, or of one provider account. */
export type HeldCharges = {
  readonly id: string
  readonly charges: readonly Charge[]
}

/** What is held for a call: charges in the order of its limits. A call without limits holds nothing. */
export type HeldCall = HeldCharges & {
  /** What it holds on its provider account; null where that has no limits. */
  readonly account: HeldCharges | null
}

const NOTHING = { requests: 0n, tokens: 0n, costNanos: 0n }

/** All that a call is charged, on whomever's counters. */
export function chargesOf({ charges, account }: HeldCall): readonly Charge[] {
  return account === null ? charges : [...charges, ...account.charges]
}

/** The limit that refuses a call. Amounts are in the units of the limit's cap. */
export type Refusal = {
  readonly limit: Limit
  readonly windowId: string
  readonly used: bigint
  readonly held: bigint
  readonly cap: bigint
  readonly requested: bigint
  /** When the window ends; null for rates, concurrency and lifetime budgets. */
  readonly resetsAtMs: number | null
  /** Null where waiting does not help, or would have to last longer than a minute on a budget. */
  readonly retryAfterMs: number | null
  /** A day, month or lifetime is used up, as opposed to a rate or the calls in flight. */
  readonly isBudget: boolean
}

/** The limit because of which a call is refused while its store is away. */
export type AwayRefusal = {
  readonly limit: Limit
  readonly reason: AwayReason
  readonly retryAfterMs: number
}

export type Admitted =
  /** `counters` are what each charge's counter says with this call in it; none where the limit store is away. */
  | {
      readonly kind: "held"
      readonly hold: HeldCall
      readonly counters: readonly CounterState[]
      readonly warnings: readonly LimitWarning[]
    }
  /** Nothing is held. `charges` and `counters` are those of all limits, for the rate limit headers. */
  | {
      readonly kind: "refused"
      readonly refusal: Refusal
      readonly charges: readonly Charge[]
      readonly counters: readonly CounterState[]
    }
  /** Nothing is held, and no limit is known to be reached: the limit store is away. */
  | { readonly kind: "away"; readonly refusal: AwayRefusal }

export type AdmissionOptions = {
  readonly store: AdmissionStore
  /** Milliseconds since 1970 UTC. */
  readonly nowMs: () => number
  /** Names this process in the store's list of holds. */
  readonly owner: string
  readonly leaseMs?: number
  /** Told when a renewal or a sweep fails; both are tried again by the next tick. */
  readonly onFault: (error: unknown, act: "renew" | "sweep") => void
  /** Reads counters, bounded in time; the port of admission itself takes nothing but acts. Absent: they are not known. */
  readonly readCounters?: (charges: readonly Charge[]) => Promise<readonly CounterState[]>
}

/** A hold that no process renews. `uncertain`: the store is away, so it would not outlive this process; nothing is held. */
export type Lent =
  | { readonly kind: "lent" }
  | Exclude<Admitted, { readonly kind: "held" }>
  | { readonly kind: "uncertain" }

export class Admission {
  readonly #store: AdmissionStore
  readonly #nowMs: () => number
  readonly #owner: string
  readonly #leaseMs: number
  readonly #onFault: AdmissionOptions["onFault"]
  readonly #readCounters: AdmissionOptions["readCounters"]
  /** What limits let pass that do not refuse. */
  readonly passed = new PassedLimits()
  readonly #windowOf = cachedWindowAt()
  /** Live holds by organization and id. */
  readonly #live = new Map<string, Map<string, HeldCharges>>()
  #timers: NodeJS.Timeout[] = []

  constructor(options: AdmissionOptions) {
    this.#store = options.store
    this.#nowMs = options.nowMs
    this.#owner = options.owner
    this.#leaseMs = options.leaseMs ?? LEASE_MS
    this.#onFault = options.onFault
    this.#readCounters = options.readCounters
  }

  /** Holds the estimate under all limits, or none. `holdId` is minted by us for this call, and never used again. */
  admit(call: {
    readonly holdId: string
    readonly limits: readonly Limit[]
    /** Those of the provider account that the call goes to. */
    readonly accountLimits?: readonly Limit[]
    readonly estimate: CallEstimate
  }): Promise<Admitted> {
    const { accountLimits } = call
    const admitting = this.#hold(call.holdId, call.limits, call.estimate)
    if (accountLimits === undefined || accountLimits.length === 0) return admitting
    return admitting.then((first) => {
      return first.kind === "held" ? this.#holdOnAccount(first, accountLimits, call.estimate) : first
    })
  }

  /** The second step; where it fails, the first is undone. The counters told are those of the organization's limits. */
  async #holdOnAccount(
    first: Extract<Admitted, { kind: "held" }>,
    limits: readonly Limit[],
    estimate: CallEstimate,
  ): Promise<Admitted> {
    let isHeld = false
    try {
      const second = await this.#hold(accountHoldId(first.hold.id), limits, estimate)
      isHeld = second.kind === "held"
      if (second.kind !== "held") return second
      const { id, charges } = second.hold
      const warnings = [...first.warnings, ...second.warnings]
      return { kind: "held", hold: { ...first.hold, account: { id, charges } }, counters: first.counters, warnings }
    } finally {
      if (!isHeld) await this.release(first.hold)
    }
  }

  async #hold(holdId: string, limits: readonly Limit[], estimate: CallEstimate): Promise<Admitted> {
    const charges = chargesFor(limits, estimate, this.#nowMs(), this.#windowOf)
    const held = await this.#reserve(holdId, charges, this.#leaseMs)
    if (held.kind === "held" && charges.length > 0) this.#addLive(held.hold)
    return held
  }

  async #reserve(holdId: string, charges: readonly Charge[], leaseMs: number): Promise<Admitted> {
    const nowMs = this.#nowMs()
    const hold = { id: holdId, charges, account: null }
    if (charges.length === 0) return { kind: "held", hold, counters: [], warnings: [] }
    const reply = await this.#store.reserve(holdId, this.#owner, leaseMs, charges)
    if (reply.kind === "held") {
      const { counters } = reply
      return { kind: "held", hold, counters, warnings: this.passed.of(charges, counters) }
    }
    if (reply.kind === "denied") {
      return { kind: "refused", refusal: refusalFrom(reply, charges, nowMs), charges, counters: reply.counters }
    }
    if (reply.kind === "away") return { kind: "away", refusal: awayRefusalFrom(reply, charges) }
    throw new Error(`hold ${holdId} was used before, or cannot be made: ${reply.kind}`)
  }

  /** What a call is charged under that held nothing beforehand, because it came to light only later: to be settled. */
  unheld(id: string, limits: readonly Limit[], accountLimits: readonly Limit[]): HeldCall {
    const onAccount = this.#unheldCharges(accountLimits)
    const account = onAccount.length === 0 ? null : { id: accountHoldId(id), charges: onAccount }
    return { id, charges: this.#unheldCharges(limits), account }
  }

  #unheldCharges(limits: readonly Limit[]): readonly Charge[] {
    const budgets = limits.filter((limit) => counterKind(limit) === "budget")
    const nothing = { requests: 0n, tokensBound: 0n, tokensLikely: 0n, costNanosBound: 0n }
    return chargesFor(budgets, nothing, this.#nowMs(), this.#windowOf)
  }

  /** What a hold of this estimate would charge now: to be written down where any process finds it, then lent. */
  toLend(holdId: string, limits: readonly Limit[], estimate: CallEstimate): HeldCharges {
    return { id: holdId, charges: chargesFor(limits, estimate, this.#nowMs(), this.#windowOf) }
  }

  /** Holds it for a call that does not come this way, for so long; any process may end it, see `release`. */
  async lend(lent: HeldCharges, leaseMs: number): Promise<Lent> {
    if (lent.charges.length === 0) return { kind: "lent" }
    const held = await this.#reserve(lent.id, lent.charges, leaseMs)
    if (held.kind !== "held") return held
    if (held.counters.length > 0) return { kind: "lent" }
    await this.release({ ...lent, account: null })
    return { kind: "uncertain" }
  }

  /** Takes up a hold that was lent and that the store may have forgotten with its process, whatever the caps say now. */
  async lendAgain({ id, charges }: HeldCharges, leaseMs: number): Promise<void> {
    if (charges.length > 0) await this.#store.reserve(id, this.#owner, leaseMs, charges)
  }

  /** Charges what held nothing beforehand, once by its id. Amounts may be negative: they take back what another id charged. */
  async charge(id: string, charges: readonly Charge[]): Promise<void> {
    if (charges.length > 0) await this.#store.settle(id, charges)
  }

  /** What these charges' counters say; null where that cannot be known at the moment. */
  async counters(charges: readonly Charge[]): Promise<readonly CounterState[] | null> {
    if (charges.length === 0) return []
    // Its caller has been charged by now, whatever the answer is.
    return (await this.#readCounters?.(charges).catch(() => null)) ?? null
  }

  /** Replaces the hold by what the call really used. */
  async settle(hold: HeldCall, actual: CallActual): Promise<SettleReply> {
    const onAccount = hold.account === null ? null : this.#settle(hold.account, actual)
    const reply = await this.#settle(hold, actual)
    await onAccount
    return reply
  }

  /** Gives everything back: the call never reached a provider. */
  async release(hold: HeldCall): Promise<void> {
    const onAccount = hold.account === null ? null : this.#release(hold.account)
    await this.#release(hold)
    await onAccount
  }

  async #settle(hold: HeldCharges, actual: CallActual): Promise<SettleReply> {
    if (hold.charges.length === 0) return "settled"
    this.#liveOf(hold)?.delete(hold.id)
    return this.#store.settle(hold.id, actualCharges(hold.charges, actual))
  }

  async #release(hold: HeldCharges): Promise<void> {
    if (hold.charges.length === 0) return
    this.#liveOf(hold)?.delete(hold.id)
    if (await this.#store.release(organizationOf(hold.charges), hold.id)) return
    // It had expired, charged in full; the truth is that nothing was used.
    await this.#store.settle(hold.id, actualCharges(hold.charges, NOTHING))
  }

  /** Prolongs all holds of this process by one store call an organization; returns how many had expired. Those settle late. */
  async renewAll(): Promise<number> {
    const renewals = [...this.#live].map(([organizationId, holds]) => this.#renew(organizationId, holds))
    const lost = await Promise.all(renewals)
    return lost.reduce((sum, count) => sum + count, 0)
  }

  /** What calls of this process hold of an organization now: what a store that lost its counters must be told. */
  liveHolds(organizationId: string): HeldCharges[] {
    return [...(this.#live.get(organizationId)?.values() ?? [])]
  }

  /** Expires holds whose owner is gone, whoever that was; returns how many. */
  sweep(): Promise<number> {
    return this.#store.sweep()
  }

  /** Renews and sweeps from now on. The timers do not keep the process alive. */
  start(): void {
    if (this.#timers.length > 0) return
    const every = (periodMs: number, act: "renew" | "sweep", run: () => Promise<number>) =>
      setInterval(() => run().catch((error: unknown) => this.#onFault(error, act)), periodMs).unref()
    this.#timers = [
      every(this.#leaseMs / RENEWALS_PER_LEASE, "renew", () => this.renewAll()),
      every(SWEEP_EVERY_MS, "sweep", () => this.sweep()),
    ]
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#timers = []
  }

  async #renew(organizationId: string, holds: Map<string, HeldCharges>): Promise<number> {
    if (holds.size === 0) {
      this.#live.delete(organizationId)
      return 0
    }
    const lost = await this.#store.renew(organizationId, [...holds.keys()], this.#leaseMs)
    // What ended while the answer was under way has left by itself.
    for (const id of lost) holds.delete(id)
    return lost.length
  }

  #liveOf(hold: HeldCharges): Map<string, HeldCharges> | undefined {
    return this.#live.get(organizationOf(hold.charges))
  }

  #addLive(hold: HeldCharges): void {
    const live = this.#liveOf(hold)
    if (live === undefined) this.#live.set(organizationOf(hold.charges), new Map([[hold.id, hold]]))
    else live.set(hold.id, hold)
  }
}

/**
 * The limit to name. A budget without room comes before a rate without room, since a caller who waits for the rate
 * would only meet the budget next.
 */
function refusalFrom(
  reply: Extract<ReserveReply, { kind: "denied" }>,
  charges: readonly Charge[],
  nowMs: number,
): Refusal {
  const spent = charges.findIndex(({ limit, amount }, index) => {
    const counter = reply.counters[index]
    return (
      refuses(limit) && counterKind(limit) === "budget" && counter !== undefined && !fits(counter, amount, limit.cap)
    )
  })
  const index = spent === -1 ? reply.denied : spent
  const charge = charges[index]
  const counter = reply.counters[index]
  if (charge === undefined || counter === undefined) {
    throw new Error(`the limit store denied charge ${index} of ${charges.length}`)
  }
  const { limit, window, resetsAtMs, amount } = charge
  const isBudget = counterKind(limit) === "budget"
  const retryAfterMs = isBudget ? budgetWaitMs(charge, nowMs) : reply.retryAfterMs
  const { settled: used, held } = counter
  return {
    limit,
    windowId: window,
    used,
    held,
    cap: limit.cap,
    requested: amount,
    resetsAtMs,
    retryAfterMs,
    isBudget,
  }
}

function awayRefusalFrom(
  { denied, reason, retryAfterMs }: Extract<ReserveReply, { kind: "away" }>,
  charges: readonly Charge[],
): AwayRefusal {
  const charge = charges[denied]
  if (charge === undefined) throw new Error(`the limit store refused charge ${denied} of ${charges.length}`)
  return { limit: charge.limit, reason, retryAfterMs }
}

function fits(counter: CounterState, amount: bigint, cap: bigint): boolean {
  return counter.settled + counter.held + amount <= cap
}

function budgetWaitMs(charge: Charge, nowMs: number): number | null {
  if (charge.resetsAtMs === null || charge.amount > charge.limit.cap) return null
  const waitMs = Math.max(0, charge.resetsAtMs - nowMs)
  return waitMs < RESET_WAIT_MS_MAX ? waitMs : null
}
