/**
 * What this proxy may admit by itself while the limit store is away: of each `local` budget its share of what the store
 * last said was left, less what it has admitted itself and the store does not know of; of a window that began since, its
 * share of the cap; of rates per second or minute and calls in flight, its share of the cap. Longer rates are shared out by
 * what was last seen left until their period is over.
 *
 * The bound: with n not below the number of proxies, and calls that keep their bounds, all proxies together admit on a
 * budget at most the mean of what each last saw left. A cap can be passed by that much at the most, and only by what is
 * taken through the store after such a sight: in the five seconds before the outage, by proxies that still reach the
 * store, or once it is back, before it is told of the local calls. They are charged when they end.
 */
import { ratePeriodMs, refuses } from "../identity/limit.ts"
import { type Counter, drain, giveBack, hasRoom, isBlank, newCounter, owesLate, settle, take } from "./counter.ts"
import { type AwayReason, type Charge, counterName } from "./limit-store.ts"
import { counterKind } from "./limits.ts"
import { SIGHT_AGE_MS_MAX, type Sights } from "./sights.ts"
import type { WindowAt } from "./window.ts"

export type LocalDecision =
  | { readonly kind: "admitted" }
  /** `denied` is the index of the first charge that did not fit. */
  | { readonly kind: "away"; readonly denied: number; readonly reason: AwayReason }

/** The moment of a decision. Epoch milliseconds name windows; all others are of the clock that never goes back. */
export type Outage = { readonly nowMs: number; readonly sinceMs: number; readonly sinceEpochMs: number }

type Local = {
  readonly name: string
  readonly counter: Counter
  /** Part of what is settled: charged in the store, though perhaps after the last sight of it. */
  told: bigint
  /** Number of the newest act when it was told; a later act's reply includes it. */
  toldAtAct: number
  toldAtMs: number
}

type LocalCall = {
  /** As held, then as settled. */
  charges: readonly Charge[]
  /** One for each charge; null where the limit lets calls pass uncounted. */
  readonly locals: readonly (Local | null)[]
  isSettled: boolean
}

export class LocalShare {
  readonly #sights: Sights
  readonly #windowOf: WindowAt
  readonly #proxiesMax: () => number
  readonly #locals = new Map<string, Local>()
  readonly #calls = new Map<string, LocalCall>()
  /** The most proxies there were while anything was spent locally: a share that grew later could be spent twice. */
  #proxies = 1

  /** `proxiesMax`: how many proxies there may be; each gets one share. */
  constructor(sights: Sights, windowOf: WindowAt, proxiesMax: () => number) {
    this.#sights = sights
    this.#windowOf = windowOf
    this.#proxiesMax = proxiesMax
  }

  /** Whether anything is counted here; nothing is while the store has not been away. */
  get isInUse(): boolean {
    return this.#locals.size > 0 || this.#calls.size > 0
  }

  /** Calls admitted here of which the store has not been told. */
  get callsCount(): number {
    return this.#calls.size
  }

  /** Whether this call was admitted here and the store has not been told what it used. */
  has(id: string): boolean {
    return this.#calls.has(id)
  }

  /** Takes every charge more for a call that goes on, or none; a call that the store holds is counted here from then on. */
  extend(id: string, charges: readonly Charge[], outage: Outage): LocalDecision {
    const known = this.#calls.get(id)
    if (known === undefined) return this.take(id, charges, outage)
    const taken = this.take(`${id}+`, charges, outage)
    const more = this.#calls.get(`${id}+`)
    if (taken.kind === "away" || more === undefined) return taken
    this.#calls.delete(`${id}+`)
    for (const local of more.locals) if (local !== null) local.counter.liveHolds -= 1
    const added = inOrderOf(known.charges, charges)
    known.charges = known.charges.map((charge, at) => ({
      ...charge,
      amount: charge.amount + (added[at]?.amount ?? 0n),
    }))
    return taken
  }

  /** Takes every charge, or none. */
  take(id: string, charges: readonly Charge[], outage: Outage): LocalDecision {
    const proxies = Math.max(1, Math.ceil(this.#proxiesMax()))
    this.#proxies = this.isInUse ? Math.max(this.#proxies, proxies) : proxies
    const locals: (Local | null)[] = []
    const refuse = (reason: AwayReason): LocalDecision => {
      undo(charges, locals)
      for (const local of locals) if (local !== null) this.#dropIfBlank(local)
      return { kind: "away", denied: locals.length, reason }
    }
    for (const charge of charges) {
      const policy = refuses(charge.limit) ? charge.limit.onStoreFailure : "allow"
      if (policy === "deny") return refuse("policy")
      if (policy === "allow") {
        locals.push(null)
        continue
      }
      const cap = this.#capOf(charge, outage)
      if (cap === null) return refuse("unseen")
      const local = this.#localOf(charge, cap, outage.nowMs)
      if (!hasRoom(local.counter, charge.amount)) {
        this.#dropIfBlank(local)
        return refuse("share")
      }
      take(local.counter, charge.amount)
      local.counter.liveHolds += 1
      locals.push(local)
    }
    this.#calls.set(id, { charges, locals, isSettled: false })
    return { kind: "admitted" }
  }

  /** Replaces what a local call holds by what it used: one actual charge for each of its charges, in order. */
  settle(id: string, actual: readonly Charge[], nowMs: number): void {
    const call = this.#calls.get(id)
    if (call === undefined || call.isSettled) return
    const ended = inOrderOf(call.charges, actual)
    call.locals.forEach((local, index) => {
      if (local === null) return
      drain(local.counter, Math.floor(nowMs))
      settle(local.counter, call.charges[index]?.amount ?? 0n, ended[index]?.amount ?? 0n)
    })
    call.charges = ended
    call.isSettled = true
  }

  /** The store, or the ledger from which it is being rebuilt, has what this settled call used. */
  told(id: string, actNumber: number, nowMs: number): void {
    const call = this.#calls.get(id)
    if (call === undefined || !call.isSettled) return
    this.#calls.delete(id)
    call.locals.forEach((local, index) => {
      if (local === null) return
      local.counter.liveHolds -= 1
      if (local.counter.kind === "budget") local.told += call.charges[index]?.amount ?? 0n
      local.toldAtAct = actNumber
      local.toldAtMs = nowMs
    })
  }

  /** The store's reply to this act says what the charges' counters are: what it was told before counts here no more. */
  seen(charges: readonly Charge[], actNumber: number): void {
    for (const charge of charges) {
      const local = this.#locals.get(counterName(charge))
      if (local === undefined || local.told === 0n || actNumber <= local.toldAtAct) continue
      local.counter.settled -= local.told
      local.told = 0n
      this.#dropIfBlank(local)
    }
  }

  /** While the store answers: drops what no sight could still be compared with, and rates that have drained. */
  forget(nowMs: number): void {
    for (const local of this.#locals.values()) {
      if (local.counter.liveHolds > 0) continue
      drain(local.counter, Math.floor(nowMs))
      if (nowMs - local.toldAtMs > SIGHT_AGE_MS_MAX) {
        local.counter.settled -= local.told
        local.told = 0n
      }
      this.#dropIfBlank(local)
    }
  }

  /** This proxy's part of what may be spent; null where nothing recent enough is known. */
  #capOf(charge: Charge, outage: Outage): bigint | null {
    const { limit } = charge
    const shares = BigInt(this.#proxies)
    if (counterKind(limit) !== "budget" && !owesLate(limit)) return limit.cap / shares
    const period = ratePeriodMs(limit.window)
    if (period !== null && outage.nowMs - outage.sinceMs >= period + SIGHT_AGE_MS_MAX) return limit.cap / shares
    const sight = this.#sights.of(charge)
    if (sight !== undefined && outage.sinceMs - sight.atMs <= SIGHT_AGE_MS_MAX) {
      const left = limit.cap - sight.seen.settled - sight.seen.held
      // An overspent budget has no room even for a charge of 0, as in the store; division would round it up to 0.
      return left < 0n ? left : left / shares
    }
    return this.#isNewWindow(charge, outage) ? limit.cap / shares : null
  }

  /** Windows follow one another without gap, so one that ends after the outage's first window began during the outage. */
  #isNewWindow({ limit, resetsAtMs }: Charge, outage: Outage): boolean {
    // Of a rolling window only the newest day is new.
    if (resetsAtMs === null || limit.window === "rolling") return false
    const { endsAtMs } = this.#windowOf(limit.window, limit.timeZone, limit.anchorDay, outage.sinceEpochMs)
    return endsAtMs !== null && resetsAtMs > endsAtMs
  }

  #localOf(charge: Charge, cap: bigint, nowMs: number): Local {
    const name = counterName(charge)
    const wholeMs = Math.floor(nowMs)
    let local = this.#locals.get(name)
    if (local === undefined) {
      const counter = newCounter(charge.limit, cap, charge.resetsAtMs, wholeMs)
      local = { name, counter, told: 0n, toldAtAct: 0, toldAtMs: 0 }
      this.#locals.set(name, local)
    }
    // Drained by the old cap first, as in every store.
    drain(local.counter, wholeMs)
    local.counter.cap = cap
    return local
  }

  #dropIfBlank(local: Local): void {
    if (local.counter.liveHolds === 0 && isBlank(local.counter)) this.#locals.delete(local.name)
  }
}

/** The second charges by the counters of the first; nothing where there is none. One call's are nearly always the same. */
function inOrderOf(charges: readonly Charge[], others: readonly Charge[]): readonly Charge[] {
  if (charges.length === others.length) return others
  const byName = new Map(others.map((charge) => [counterName(charge), charge]))
  return charges.map((charge) => byName.get(counterName(charge)) ?? { ...charge, amount: 0n })
}

function undo(charges: readonly Charge[], locals: readonly (Local | null)[]): void {
  locals.forEach((local, index) => {
    if (local === null) return
    giveBack(local.counter, charges[index]?.amount ?? 0n)
    local.counter.liveHolds -= 1
  })
}
