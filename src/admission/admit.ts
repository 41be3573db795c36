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
import type { Limit } from "../identity/limit.ts"
import {
  type AdmissionStore,
  type Charge,
  type CounterState,
  organizationOf,
  ownerText,
  type SettleReply,
} from "./limit-store.ts"
import {
  accountHoldId,
  actualCharges,
  type CallActual,
  type CallEstimate,
  chargesFor,
  counterKind,
  extensionCharges,
  type SliceBound,
} from "./limits.ts"
import { type LimitWarning, PassedLimits } from "./passed-limits.ts"
import { type AwayRefusal, awayRefusalFrom, type Refusal, type Room, refusalFrom, roomsOf } from "./refusal.ts"
import { RefusalTally } from "./refusal-tally.ts"
import { cachedWindowAt } from "./window.ts"

export const LEASE_MS = 60_000
const SWEEP_EVERY_MS = 5_000
/** A lease survives three renewals that fail. */
const RENEWALS_PER_LEASE = 4

/** What is held among the counters of one organization, or of one provider account. */
export type HeldCharges = {
  readonly id: string
  /** Whose call it is; '' where that is not known. */
  readonly keyId: string
  /** Grows where a stream holds its output in slices. */
  charges: readonly Charge[]
}

/** What is held for a call: charges in the order of its limits. A call without limits holds nothing. */
export type HeldCall = HeldCharges & {
  /** What it holds on its provider account; null where that has no limits. */
  account: HeldCharges | null
}

export type RefusedCall = Extract<Admitted, { kind: "refused" }>

/** What less than what was refused is to be held in its place; null: nothing. */
export type Lower = (refused: RefusedCall) => CallEstimate | null

/** What is to be held; lowered on the way, so that the second step asks for no more than the first got. */
type Wish = { estimate: CallEstimate; readonly lower: Lower | null }

const NOTHING = { requests: 0n, tokens: 0n, costNanos: 0n }
const NOTHING_TO_SETTLE: Promise<SettleReply> = Promise.resolve("settled")

/** All that a call is charged, on whomever's counters. */
export function chargesOf({ charges, account }: HeldCall): readonly Charge[] {
  return account === null ? charges : [...charges, ...account.charges]
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

/** What came of holding more for a call. Where it is not held, nothing of it is, and what was held before stays so. */
export type Extended =
  | { readonly kind: "held" }
  /** `rooms`: what the limits of the refused act would have room for. */
  | { readonly kind: "refused"; readonly refusal: Refusal; readonly rooms: readonly Room[] }
  | { readonly kind: "away"; readonly refusal: AwayRefusal }
  /** The hold is over: nothing can be added to it. */
  | { readonly kind: "lost" }

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
  /** How often limits have refused, by what callers were told. */
  readonly refusals = new RefusalTally()
  readonly #readCounters: AdmissionOptions["readCounters"]
  /** What limits let pass that do not refuse. */
  readonly passed = new PassedLimits(this.refusals)
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

  /**
   * Holds the estimate under all limits, or none. `holdId` is minted by us for this call, and never used again. Where a
   * limit refuses, `lower` may say what less the call would be content with, until it says null.
   */
  admit(call: {
    readonly holdId: string
    readonly limits: readonly Limit[]
    /** Those of the provider account that the call goes to. */
    readonly accountLimits?: readonly Limit[]
    readonly estimate: CallEstimate
    readonly lower?: Lower
    /** Whose call it is, for the list of holds. */
    readonly keyId?: string
  }): Promise<Admitted> {
    const { accountLimits, keyId = "" } = call
    const wish: Wish = { estimate: call.estimate, lower: call.lower ?? null }
    const admitting = this.#hold(call.holdId, keyId, call.limits, wish)
    if (accountLimits === undefined || accountLimits.length === 0) return admitting
    return admitting.then((first) => {
      return first.kind === "held" ? this.#holdOnAccount(first, accountLimits, wish) : first
    })
  }

  /** The second step; where it fails, the first is undone. The counters told are those of the organization's limits. */
  async #holdOnAccount(
    first: Extract<Admitted, { kind: "held" }>,
    limits: readonly Limit[],
    wish: Wish,
  ): Promise<Admitted> {
    let isHeld = false
    try {
      const { id, keyId } = first.hold
      const second = await this.#hold(accountHoldId(id), keyId, limits, wish)
      isHeld = second.kind === "held"
      if (second.kind !== "held") return second
      const warnings = [...first.warnings, ...second.warnings]
      first.hold.account = second.hold
      return { kind: "held", hold: first.hold, counters: first.counters, warnings }
    } finally {
      if (!isHeld) await this.release(first.hold)
    }
  }

  async #hold(holdId: string, keyId: string, limits: readonly Limit[], wish: Wish): Promise<Admitted> {
    const charges = chargesFor(limits, wish.estimate, this.#nowMs(), this.#windowOf)
    const held = await this.#reserve({ id: holdId, keyId, charges }, this.#leaseMs)
    if (held.kind === "held" && charges.length > 0) this.#addLive(held.hold)
    if (held.kind !== "refused") return held
    const less = wish.lower?.(held) ?? null
    if (less === null) {
      this.refusals.add(held.refusal.limit, held.refusal.windowId, "refused")
      return held
    }
    wish.estimate = less
    return this.#hold(holdId, keyId, limits, wish)
  }

  async #reserve({ id, keyId, charges }: HeldCharges, leaseMs: number): Promise<Admitted> {
    const hold: HeldCall = { id, keyId, charges, account: null }
    if (charges.length === 0) return { kind: "held", hold, counters: [], warnings: [] }
    const reply = await this.#store.reserve(id, ownerText(this.#owner, keyId), leaseMs, charges)
    if (reply.kind === "held") {
      const { counters } = reply
      return { kind: "held", hold, counters, warnings: this.passed.of(charges, counters) }
    }
    if (reply.kind === "denied") {
      const refusal = refusalFrom(reply, charges, this.#nowMs())
      return { kind: "refused", refusal, charges, counters: reply.counters }
    }
    if (reply.kind === "away") return { kind: "away", refusal: awayRefusalFrom(reply, charges) }
    throw new Error(`hold ${id} was used before, or cannot be made: ${reply.kind}`)
  }

  /** What a call is charged under that held nothing beforehand, because it came to light only later: to be settled. */
  unheld(id: string, limits: readonly Limit[], accountLimits: readonly Limit[]): HeldCall {
    const onAccount = this.#unheldCharges(accountLimits)
    const account = onAccount.length === 0 ? null : { id: accountHoldId(id), keyId: "", charges: onAccount }
    return { id, keyId: "", charges: this.#unheldCharges(limits), account }
  }

  #unheldCharges(limits: readonly Limit[]): readonly Charge[] {
    const budgets = limits.filter((limit) => counterKind(limit) === "budget")
    const nothing = { requests: 0n, tokensBound: 0n, tokensLikely: 0n, costNanosBound: 0n }
    return chargesFor(budgets, nothing, this.#nowMs(), this.#windowOf)
  }

  /**
   * Holds more for a call whose output flows, under its limits with slices: all of it or none. Where a provider account
   * refuses, what the organization's limits hold by then stays held until the call is settled.
   */
  async extend(hold: HeldCall, more: SliceBound): Promise<Extended> {
    for (const held of hold.account === null ? [hold] : [hold, hold.account]) {
      const charges = extensionCharges(held.charges, more)
      const taken = charges.filter(({ amount }) => amount > 0n)
      if (taken.length === 0) continue
      const reply = await this.#store.extend(held.id, taken)
      if (reply.kind === "held") {
        held.charges = held.charges.map((charge, at) => ({
          ...charge,
          amount: charge.amount + (charges[at]?.amount ?? 0n),
        }))
        continue
      }
      if (reply.kind === "denied") {
        const refusal = refusalFrom(reply, taken, this.#nowMs())
        return { kind: "refused", refusal, rooms: roomsOf(taken, reply.counters) }
      }
      if (reply.kind === "away") return { kind: "away", refusal: awayRefusalFrom(reply, taken) }
      // Its lease had ended and it is charged in full, or it is over: nothing more can be held for it.
      return { kind: "lost" }
    }
    return { kind: "held" }
  }

  /** What a hold of this estimate would charge now: to be written down where any process finds it, then lent. */
  toLend(id: string, keyId: string, limits: readonly Limit[], estimate: CallEstimate): HeldCharges {
    return { id, keyId, charges: chargesFor(limits, estimate, this.#nowMs(), this.#windowOf) }
  }

  /** Holds it for a call that does not come this way, for so long; any process may end it, see `release`. */
  async lend(lent: HeldCharges, leaseMs: number): Promise<Lent> {
    if (lent.charges.length === 0) return { kind: "lent" }
    const held = await this.#reserve(lent, leaseMs)
    if (held.kind !== "held") return held
    if (held.counters.length > 0) return { kind: "lent" }
    await this.release({ ...lent, account: null })
    return { kind: "uncertain" }
  }

  /** Takes up a hold that was lent and that the store may have forgotten with its process, whatever the caps say now. */
  async lendAgain({ id, keyId, charges }: HeldCharges, leaseMs: number): Promise<void> {
    if (charges.length > 0) await this.#store.reserve(id, ownerText(this.#owner, keyId), leaseMs, charges)
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
  settle(hold: HeldCall, actual: CallActual): Promise<SettleReply> {
    if (hold.account === null) return this.#settle(hold, actual)
    const onAccount = this.#settle(hold.account, actual)
    return Promise.all([this.#settle(hold, actual), onAccount]).then(([reply]) => reply)
  }

  /** Gives everything back: the call never reached a provider. */
  async release(hold: HeldCall): Promise<void> {
    const onAccount = hold.account === null ? null : this.#release(hold.account)
    await this.#release(hold)
    await onAccount
  }

  #settle(hold: HeldCharges, actual: CallActual): Promise<SettleReply> {
    if (hold.charges.length === 0) return NOTHING_TO_SETTLE
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

  /** Prolongs all holds of this process by one store call an organization; returns how many have expired. Those settle late. */
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
    // What has expired stays among them while its call runs: once counters are filled anew nothing else tells of it.
    return (await this.#store.renew(organizationId, [...holds.keys()], this.#leaseMs)).length
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
