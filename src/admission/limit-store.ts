/**
 * The port to the place where limits are counted. A hold is a two-phase transfer: reserved before the call is
 * forwarded, then settled or released exactly once; a hold whose owner is gone expires with its lease. Every act is
 * idempotent by hold id. One contract suite (`test/contract/limit-store.ts`) is run for each implementation.
 */
import type { Limit } from "../identity/limit.ts"

/** One counter that a call touches: a limit in one of its windows, and how much of it. Units are those of the limit's cap. */
export type Charge = {
  readonly limit: Limit
  /** The window's id, part of the counter's name: `2026-11`, `2026-11-23`, `lifetime`, `rate`, `now`. */
  readonly window: string
  /** When the window ends, in epoch milliseconds; null for rates, lifetime and concurrency. */
  readonly resetsAtMs: number | null
  readonly amount: bigint
}

/** What a counter says right after the act: settled plus held is what the cap is compared with. */
export type CounterState = {
  readonly settled: bigint
  readonly held: bigint
  /** For rates: milliseconds until the counter is empty again. Null elsewhere. */
  readonly emptyInMs: number | null
}

export type ReserveReply =
  /** Everything was taken; one state for each charge, in order, or none where the store could not be asked. */
  | { readonly kind: "held"; readonly counters: readonly CounterState[] }
  /** Nothing was taken. `denied` is the index of the first charge that did not fit. */
  | {
      readonly kind: "denied"
      readonly denied: number
      readonly counters: readonly CounterState[]
      /** Milliseconds after which the same call could fit; null where waiting does not help. */
      readonly retryAfterMs: number | null
    }
  /** This hold id was settled or released before. */
  | { readonly kind: "done" }
  /** This hold id was swept before. */
  | { readonly kind: "gone" }
  /** The store has lost its counters and is being filled from the ledger: nothing was taken. */
  | { readonly kind: "recovering" }
  /**
   * The store could not be asked, and a limit's `onStoreFailure` lets no call pass: nothing is taken, or will be given
   * back. `denied` is the index of that limit's charge. Answered by the guard in front of a store, never by a store.
   */
  | {
      readonly kind: "away"
      readonly denied: number
      readonly reason: AwayReason
      /** The store answers, but its counters are being filled from the ledger: soon it can be asked. */
      readonly isRecovering: boolean
      readonly retryAfterMs: number
    }

/** `policy`: the limit refuses while the store is away. `unseen`: nothing recent is known of it. `share`: used up. */
export type AwayReason = "policy" | "unseen" | "share"

/**
 * `settled`: charged now. `late`: the hold had expired; the truth replaced what expiry charged. `done`: settled before,
 * nothing changed. `unknown`: no such hold; charged all the same, since the money is spent. `recovering`: the store is
 * being filled from the ledger, and the call's journal row will charge it there. `queued`: the store is away, and the
 * guard in front of it sends this when it answers again.
 */
export type SettleReply = "settled" | "late" | "done" | "unknown" | "recovering" | "queued"

export type Hold = {
  readonly id: string
  /** The process and the key that it was made for, see `ownerText`. */
  readonly owner: string
  /** When it was made, in epoch milliseconds of the store's clock. */
  readonly sinceMs: number
  readonly leaseUntilMs: number
  readonly charges: readonly Charge[]
}

export type SettledAmount = {
  readonly limitId: string
  readonly subject: string
  readonly window: string
  readonly settled: bigint
}

/** What the ledger says at one moment: counters, and how much of each journal is in them. */
export type LedgerSnapshot = {
  readonly settled: readonly SettledAmount[]
  /** Of the directory: what limits start from that were seeded later is not in `settled`. Absent: 0. */
  readonly version?: number
  /** Journal id -> sequence number of its last row in `settled`. */
  readonly acks: ReadonlyMap<string, number>
}

/** All charges of one act belong to one organization, or one provider account, which a store may keep in a place of its own. */
export interface LimitStore {
  /** Checks and takes every charge, or none of them. There is at least one. */
  reserve(id: string, owner: string, leaseMs: number, charges: readonly Charge[]): Promise<ReserveReply>
  /** Adds to a live hold, all or none; for calls whose size becomes known as they flow. */
  extend(id: string, charges: readonly Charge[]): Promise<ReserveReply>
  /**
   * Replaces the hold by what was really used: one actual amount for each of the hold's charges, in order; after those,
   * charges on limits that came up while the call ran. An id that holds nothing is charged; a negative amount takes back
   * what another id has charged.
   */
  settle(id: string, actual: readonly Charge[]): Promise<SettleReply>
  /** Gives everything back: the call never reached a provider. False where the hold was already finished. */
  release(organizationId: string, id: string): Promise<boolean>
  /** Prolongs the leases of an organization's live holds; returns the ids that are no longer live. */
  renew(organizationId: string, ids: readonly string[], leaseMs: number): Promise<readonly string[]>
  /** Expires due leases (money and tokens are charged in full, rates and concurrency freed); returns how many. */
  sweep(): Promise<number>
  /** The counters of these charges, without taking anything. */
  read(charges: readonly Charge[]): Promise<readonly CounterState[]>
  /** Live holds, oldest first, at most `max`: of this organization or provider account, else of all that this store has met. */
  holds(max: number, organizationId?: string): Promise<readonly Hold[]>
}

/** What is read of a store that counts, for people to see; nothing is taken. */
export type LimitReadings = Pick<LimitStore, "read" | "holds">

/** Whose hold it is, as the store keeps it: the process that renews it, and the key whose call it is. */
export function ownerText(processName: string, keyId: string): string {
  return keyId === "" ? processName : `${processName} ${keyId}`
}

export function readOwner(owner: string): { readonly processName: string; readonly keyId: string } {
  const blank = owner.lastIndexOf(" ")
  const isOfKey = blank !== -1 && owner.startsWith("key_", blank + 1)
  return isOfKey
    ? { processName: owner.slice(0, blank), keyId: owner.slice(blank + 1) }
    : { processName: owner, keyId: "" }
}

/** What admission asks of a store on the way of a call. */
export type AdmissionStore = Pick<LimitStore, "reserve" | "extend" | "settle" | "release" | "renew" | "sweep">

/** The counter's name, the same in every store and in the ledger's `limit_usage`. */
export function counterName(charge: Pick<Charge, "limit" | "window">): string {
  return `${charge.limit.id}|${charge.limit.subject}|${charge.window}`
}

/** The organization, or provider account, to which all charges of an act belong; '' where there is no charge. */
export function organizationOf(charges: readonly Pick<Charge, "limit">[]): string {
  return charges[0]?.limit.organizationId ?? ""
}

/** The same charges, of nothing: what settles a hold that used nothing. */
export function nothingOf(charges: readonly Charge[]): Charge[] {
  return charges.map((charge) => ({ ...charge, amount: 0n }))
}
