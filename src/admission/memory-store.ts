/**
 * The limit store of a single process: the port over Maps. One act never waits in its middle, so it is atomic by the
 * event loop; what it costs is proportional to its charges. Restart empties it, and `seed` fills it from the ledger.
 */
import { type Counter, drain, expire, giveBack, settle as settleCounter, settleLate } from "./counter.ts"
import { FinishedHolds } from "./finished-holds.ts"
import {
  type Charge,
  type CounterState,
  type Hold,
  type LimitStore,
  organizationOf,
  type ReserveReply,
  type SettledAmount,
  type SettleReply,
} from "./limit-store.ts"
import { MemoryCounters, type Taken } from "./memory-counters.ts"

type LiveHold = {
  readonly id: string
  readonly owner: string
  readonly sinceMs: number
  leaseUntilMs: number
  charges: Charge[]
  /** The counter of each charge, in order. */
  readonly counters: Counter[]
}

export class MemoryLimitStore implements LimitStore {
  readonly #clock: () => number
  readonly #counters = new MemoryCounters()
  /** Oldest first. */
  readonly #holds = new Map<string, LiveHold>()
  readonly #finished = new FinishedHolds()
  /** No lease ends before this; prolonging one makes it too early, which costs one scan of the holds. */
  #nextLeaseEndMs = Number.POSITIVE_INFINITY

  /** `nowMs`: milliseconds since 1970 UTC. */
  constructor(nowMs: () => number) {
    this.#clock = () => Math.floor(nowMs())
  }

  async reserve(id: string, owner: string, leaseMs: number, charges: readonly Charge[]): Promise<ReserveReply> {
    const nowMs = this.#clock()
    if (this.#holds.has(id)) return { kind: "held", counters: this.#counters.states(charges, nowMs) }
    if (this.#finished.isDone(id)) return { kind: "done" }
    if (this.#finished.sweptCharges(id) !== undefined) return { kind: "gone" }
    requireAmounts(charges)
    const taken = this.#takeOrSweep(charges, nowMs)
    if (taken.kind === "denied") return this.#counters.denied(taken.denied, charges, nowMs)
    const leaseUntilMs = nowMs + leaseMs
    const hold = { id, owner, sinceMs: nowMs, leaseUntilMs, charges: [...charges], counters: taken.counters }
    for (const counter of hold.counters) counter.liveHolds += 1
    this.#holds.set(id, hold)
    this.#nextLeaseEndMs = Math.min(this.#nextLeaseEndMs, hold.leaseUntilMs)
    return { kind: "held", counters: this.#counters.statesOf(charges, taken.counters) }
  }

  /** A charge on a counter that the hold already has is added to the hold's charge; another one is appended. */
  async extend(id: string, charges: readonly Charge[]): Promise<ReserveReply> {
    const nowMs = this.#clock()
    if (!this.#holds.has(id)) return { kind: this.#finished.isDone(id) ? "done" : "gone" }
    requireAmounts(charges)
    const taken = this.#takeOrSweep(charges, nowMs)
    // The sweep may have met this very hold.
    const hold = this.#holds.get(id)
    if (hold === undefined) {
      if (taken.kind === "taken") this.#counters.undo(charges, taken.counters)
      return { kind: "gone" }
    }
    if (taken.kind === "denied") return this.#counters.denied(taken.denied, charges, nowMs)
    charges.forEach((charge, index) => {
      const counter = taken.counters[index]
      if (counter !== undefined) addToHold(hold, charge, counter)
    })
    return { kind: "held", counters: this.#counters.statesOf(charges, taken.counters) }
  }

  async settle(id: string, actual: readonly Charge[]): Promise<SettleReply> {
    const nowMs = this.#clock()
    const hold = this.#holds.get(id)
    if (hold !== undefined) {
      requireAmounts(actual)
      requireSameCounters(hold.charges, actual)
      this.#endHold(hold, nowMs, (counter, held, index) => settleCounter(counter, held, actual[index]?.amount ?? 0n))
      for (const charge of actual.slice(hold.charges.length)) {
        settleCounter(this.#counters.of(charge, nowMs), 0n, charge.amount)
      }
      this.#finished.addDone(id, nowMs)
      return "settled"
    }
    if (this.#finished.isDone(id)) return "done"
    const swept = this.#finished.sweptCharges(id)
    if (swept !== undefined) requireSameCounters(swept, actual)
    actual.forEach((charge, index) => {
      const counter = this.#counters.of(charge, nowMs)
      const held = swept?.[index]
      if (held === undefined) settleCounter(counter, 0n, charge.amount)
      else settleLate(counter, held.amount, charge.amount)
    })
    this.#finished.addDone(id, nowMs)
    return swept === undefined ? "unknown" : "late"
  }

  async release(_organizationId: string, id: string): Promise<boolean> {
    const hold = this.#holds.get(id)
    if (hold === undefined) return false
    const nowMs = this.#clock()
    this.#endHold(hold, nowMs, giveBack)
    this.#finished.addDone(id, nowMs)
    return true
  }

  async renew(_organizationId: string, ids: readonly string[], leaseMs: number): Promise<readonly string[]> {
    const leaseUntilMs = this.#clock() + leaseMs
    this.#nextLeaseEndMs = Math.min(this.#nextLeaseEndMs, leaseUntilMs)
    return ids.filter((id) => {
      const hold = this.#holds.get(id)
      if (hold !== undefined) hold.leaseUntilMs = leaseUntilMs
      return hold === undefined
    })
  }

  async sweep(): Promise<number> {
    const nowMs = this.#clock()
    const expired = this.#expireDue(nowMs)
    this.#finished.forget(nowMs)
    this.#counters.dropSome(nowMs)
    return expired
  }

  async read(charges: readonly Charge[]): Promise<readonly CounterState[]> {
    return this.#counters.states(charges, this.#clock())
  }

  async holds(max: number, organizationId?: string): Promise<readonly Hold[]> {
    const oldest: Hold[] = []
    for (const { id, owner, sinceMs, leaseUntilMs, charges } of this.#holds.values()) {
      if (oldest.length >= max) break
      if (organizationId !== undefined && organizationOf(charges) !== organizationId) continue
      oldest.push({ id, owner, sinceMs, leaseUntilMs, charges: [...charges] })
    }
    return oldest
  }

  /** Sets settled amounts from the ledger, before the first call is admitted. */
  seed(rows: readonly SettledAmount[]): void {
    this.#counters.seed(rows, this.#clock())
  }

  /** Adds to what is settled, for limits that are new. */
  addSettled(rows: readonly SettledAmount[]): void {
    this.#counters.addSettled(rows, this.#clock())
  }

  /** Counters of one name go on under another one. Holds that stand keep their counters, whatever those are called. */
  rename(from: string, to: string): void {
    this.#counters.rename(from, to)
  }

  /** Looks again after a sweep, since a deny must not rest on leases that have ended. */
  #takeOrSweep(charges: readonly Charge[], nowMs: number): Taken {
    const taken = this.#counters.takeAll(charges, nowMs)
    return taken.kind === "denied" && this.#expireDue(nowMs) > 0 ? this.#counters.takeAll(charges, nowMs) : taken
  }

  #endHold(hold: LiveHold, nowMs: number, end: (counter: Counter, held: bigint, index: number) => void): void {
    hold.counters.forEach((counter, index) => {
      drain(counter, nowMs)
      end(counter, hold.charges[index]?.amount ?? 0n, index)
      counter.liveHolds -= 1
    })
    this.#holds.delete(hold.id)
  }

  #expireDue(nowMs: number): number {
    if (nowMs < this.#nextLeaseEndMs) return 0
    let expired = 0
    this.#nextLeaseEndMs = Number.POSITIVE_INFINITY
    for (const hold of this.#holds.values()) {
      if (hold.leaseUntilMs > nowMs) {
        this.#nextLeaseEndMs = Math.min(this.#nextLeaseEndMs, hold.leaseUntilMs)
        continue
      }
      this.#endHold(hold, nowMs, expire)
      this.#finished.addSwept(hold.id, hold.charges, nowMs)
      expired += 1
    }
    return expired
  }
}

function addToHold(hold: LiveHold, charge: Charge, counter: Counter): void {
  const index = hold.counters.indexOf(counter)
  const held = hold.charges[index]
  if (held !== undefined) {
    hold.charges[index] = { ...held, amount: held.amount + charge.amount }
    return
  }
  hold.charges.push(charge)
  hold.counters.push(counter)
  counter.liveHolds += 1
}

/** Checked before the first write, so that a fault of the caller leaves nothing half done. */
function requireAmounts(charges: readonly Charge[]): void {
  for (const { amount, limit } of charges) {
    if (amount < 0n) throw new RangeError(`charge on limit ${limit.id} is negative: ${amount}`)
  }
}

function requireSameCounters(held: readonly Charge[], actual: readonly Charge[]): void {
  const isSame =
    held.length <= actual.length &&
    held.every(({ limit, window }, index) => {
      const other = actual[index]
      return other?.limit.id === limit.id && other.limit.subject === limit.subject && other.window === window
    })
  if (!isSame) throw new Error("a hold is settled by one actual charge for each of its charges, in order")
}
