/**
 * Stands between admission and a limit store that can be away, and never rejects because it is. An act waits at most one
 * deadline; failures open a breaker, and while it is open no act waits at all. Calls are then decided here, limit by
 * limit, as `onStoreFailure` says (`local-share.ts`), and what the store misses waits (`waiting-settles.ts`). Only a call
 * that would be refused waits longer: most silences are over in a moment, and counters that are being filled are soon whole.
 *
 * Nothing leaks, because everything that is owed to the store is a settle by id. A hold whose answer was lost is settled:
 * to what the call used if it went on, to nothing if it was refused, which also stops a reserve that arrives after all.
 * A local call is settled when it has ended, and charged although the store never held it. One probe after a back-off
 * asks whether the store takes a settle; it gets what waits, oldest first, before calls are put to it again.
 *
 * A process that is killed while the store is away leaves its calls to its journal, and the counters to reconciliation.
 */
import { randomBase62 } from "../platform/ids.ts"
import { Breaker } from "./breaker.ts"
import { Deadlines } from "./deadlines.ts"
import { Extensions } from "./extensions.ts"
import {
  type AdmissionStore,
  type Charge,
  nothingOf,
  organizationOf,
  type ReserveReply,
  type SettleReply,
} from "./limit-store.ts"
import { type LocalDecision, LocalShare, type Outage } from "./local-share.ts"
import { OutageTimes } from "./outage-times.ts"
import { SendWaiting } from "./send-waiting.ts"
import { Sights } from "./sights.ts"
import type { Asking, StoreGuardOptions } from "./store-guard-options.ts"
import type { StoreGuardStats } from "./store-metrics.ts"
import { WaitingSettles } from "./waiting-settles.ts"
import { cachedWindowAt } from "./window.ts"

const DEADLINE_MS = 150
const WAITING_MAX = 50_000
/** More counters than calls meet within the five seconds for which a sight is good. */
const SIGHTS_MAX = 50_000
/** A settle whose answer was lost is sent again soon; what a store that is not away has refused, later. */
const RESEND_MS = 250
const RESEND_REFUSED_MS = 2_000
/** How long a silence is worth a call's wait, how long a filling is, and how often that call asks again. */
const SILENCE_WAIT_MS = 1_500
export const FILLING_WAIT_MS = 4_000
const WAIT_STEP_MS = 50
const QUEUED: Promise<SettleReply> = Promise.resolve("queued")

type AwayReply = Extract<ReserveReply, { kind: "away" }>

export class StoreGuard implements AdmissionStore {
  readonly #options: StoreGuardOptions
  readonly #store: AdmissionStore
  readonly #elapsedMs: () => number
  readonly #breaker = new Breaker()
  readonly #deadlines: Deadlines
  readonly #sights = new Sights(SIGHTS_MAX)
  readonly #share: LocalShare
  readonly #waiting: WaitingSettles
  readonly #sendWaiting: SendWaiting
  readonly #times = new OutageTimes()
  readonly #overflowed = new Set<string>()
  readonly #extensions = new Extensions()
  /** Acts are numbered as they are sent. */
  #actNumber = 0
  /** Of the last act on a call that failed. */
  #lastCharges: readonly Charge[] = []
  #timer: NodeJS.Timeout | null = null
  #mending: Promise<void> | null = null
  #isStopped = false
  #resendMs = RESEND_MS
  #decidedInOutage = 0
  readonly #sums = { outages: 0, failures: 0, admittedLocally: 0, refusedAway: 0, dropped: 0 }

  constructor(options: StoreGuardOptions) {
    this.#options = options
    this.#store = options.store
    this.#elapsedMs = options.elapsedMs
    this.#deadlines = new Deadlines(options.deadlineMs ?? DEADLINE_MS, options.elapsedMs)
    this.#share = new LocalShare(this.#sights, cachedWindowAt(), options.proxiesMax)
    this.#waiting = new WaitingSettles(options.waitingMax ?? WAITING_MAX)
    this.#sendWaiting = new SendWaiting({
      store: options.store,
      waiting: this.#waiting,
      deadlines: this.#deadlines,
      elapsedMs: options.elapsedMs,
      onSettled: (id, sentMs) => {
        this.#onAnswer(sentMs)
        this.#onSettled(id)
      },
      onUnanswered: (error, { actual }, sentMs) => {
        if (!this.isAway) this.#onFailure(error, sentMs, actual)
      },
      onGivenUp: ({ organizationId }) => this.#drop(organizationId),
    })
  }

  /** Whether calls are decided without the store. */
  get isAway(): boolean {
    return !this.#breaker.isClosed
  }

  stats(): StoreGuardStats {
    const awayMs = this.isAway ? this.#elapsedMs() - (this.#times.failingSinceMs ?? this.#elapsedMs()) : 0
    const localCalls = this.#share.callsCount
    return { isAway: this.isAway, awayMs, waiting: this.#waiting.size, localCalls, ...this.#sums }
  }

  reserve(id: string, owner: string, leaseMs: number, charges: readonly Charge[]): Promise<ReserveReply> {
    const asking: Asking = { id, owner, leaseMs, charges, mayBeHeld: false }
    return new Promise((resolve) => {
      this.#reserve(asking, (reply) => {
        resolve(reply.kind === "away" ? this.#reserveLater(asking, reply) : reply)
      })
    })
  }

  /** Asked once: whether an answer that was lost had been done shows at the settle, which goes by what the store holds. */
  extend(id: string, charges: readonly Charge[]): Promise<ReserveReply> {
    if (this.isAway || this.#share.has(id)) return Promise.resolve(this.#extendHere(id, charges, false))
    const ask = (whenAway: () => ReserveReply) => this.#ask(() => this.#store.extend(id, charges), whenAway)
    return this.#extensions.ask(id, ask, (isRecovering) => this.#extendHere(id, charges, isRecovering))
  }

  settle(id: string, actual: readonly Charge[]): Promise<SettleReply> {
    this.#extensions.end(id)
    if (this.#share.isInUse) this.#share.settle(id, actual, this.#elapsedMs())
    if (this.isAway) {
      this.#keep(id, actual)
      return QUEUED
    }
    const sentMs = this.#elapsedMs()
    return new Promise((resolve) => {
      this.#deadlines.watch(
        sentMs,
        this.#store.settle(id, actual),
        (reply) => {
          this.#onAnswer(sentMs)
          this.#onSettled(id)
          resolve(reply)
        },
        (error) => {
          this.#onFailure(error, sentMs, actual)
          this.#keep(id, actual)
          resolve("queued")
        },
        () => this.#onSettled(id),
      )
    })
  }

  /** False also where the store is away or the call was admitted here: such a hold is settled to nothing. */
  release(organizationId: string, id: string): Promise<boolean> {
    this.#extensions.end(id)
    if (this.isAway || this.#share.has(id)) return Promise.resolve(false)
    return this.#ask(
      () => this.#store.release(organizationId, id),
      () => false,
    )
  }

  /** Nothing is known to be lost while the store is away; local calls are not the store's to lose. */
  renew(organizationId: string, ids: readonly string[], leaseMs: number): Promise<readonly string[]> {
    const none: readonly string[] = []
    if (this.isAway) return Promise.resolve(none)
    const lost = this.#ask(
      () => this.#store.renew(organizationId, ids, leaseMs),
      () => none,
    )
    return this.#share.isInUse ? lost.then((some) => some.filter((id) => !this.#share.has(id))) : lost
  }

  sweep(): Promise<number> {
    if (this.isAway) return Promise.resolve(0)
    const nowMs = this.#elapsedMs()
    if (this.#times.isLongOver(nowMs) && this.#share.isInUse) this.#share.forget(nowMs)
    return this.#ask(
      () => this.#store.sweep(),
      () => 0,
    )
  }

  /** Settles of an organization that are not sent yet need not be: its counters have been filled from the ledger, which has them. Returns how many. */
  forget(organizationId: string): number {
    const forgotten = this.#waiting.takeOrganization(organizationId)
    for (const { id } of forgotten) this.#share.told(id, this.#actNumber, this.#elapsedMs())
    return forgotten.length
  }

  /** Tries once more to send what waits, and hands the rest to `onOverflow`, also of acts under way. No act may follow. */
  async stop(): Promise<void> {
    this.#isStopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#mending
    await this.#sendWaiting.send()
    this.#deadlines.failAll("the limit store is not waited for at a stop")
    this.#deadlines.stop()
    for (const { organizationId } of this.#waiting.all()) this.#drop(organizationId)
  }

  #ask<T>(send: () => Promise<T>, whenAway: () => T): Promise<T> {
    const sentMs = this.#elapsedMs()
    return new Promise((resolve) => {
      this.#deadlines.watch(
        sentMs,
        send(),
        (reply) => {
          this.#onAnswer(sentMs)
          resolve(reply)
        },
        (error) => {
          this.#onFailure(error, sentMs)
          resolve(whenAway())
        },
      )
    })
  }

  /** Asks once, and decides without the store where that cannot be asked. */
  #reserve(asking: Asking, answered: (reply: ReserveReply) => void): void {
    if (this.isAway) {
      answered(this.#decide(asking, false))
      return
    }
    const { id, owner, leaseMs, charges } = asking
    const sentMs = this.#elapsedMs()
    this.#actNumber += 1
    const actNumber = this.#actNumber
    this.#deadlines.watch(
      sentMs,
      this.#store.reserve(id, owner, leaseMs, charges),
      (reply) => answered(this.#onReserved(asking, reply, actNumber, sentMs)),
      (error) => {
        this.#onFailure(error, sentMs, charges)
        asking.mayBeHeld = true
        answered(this.#decide(asking, false))
      },
    )
  }

  async #reserveLater(asking: Asking, refusal: AwayReply): Promise<ReserveReply> {
    const askedMs = this.#elapsedMs()
    let reply: ReserveReply = refusal
    while (reply.kind === "away" && this.#isWorthAWait(reply, askedMs)) {
      await new Promise((resolve) => setTimeout(resolve, WAIT_STEP_MS))
      reply = await new Promise<ReserveReply>((resolve) => this.#reserve(asking, resolve))
    }
    // What was held without our knowledge has expired, as after a step of the store's clock.
    if (reply.kind === "gone" && asking.mayBeHeld) reply = refusal
    if (reply.kind === "away") {
      this.#decidedInOutage += 1
      this.#sums.refusedAway += 1
    }
    if (reply.kind !== "held" && asking.mayBeHeld) this.#keep(asking.id, nothingOf(asking.charges))
    return reply
  }

  /** A store that has been away for long is waited for by nobody. */
  #isWorthAWait({ isRecovering }: AwayReply, askedMs: number): boolean {
    if (this.#isStopped || this.#options.isPatient === false) return false
    const nowMs = this.#elapsedMs()
    if (isRecovering) return nowMs - askedMs < FILLING_WAIT_MS
    return nowMs - Math.min(askedMs, this.#times.failingSinceMs ?? askedMs) < SILENCE_WAIT_MS
  }

  #onReserved(asking: Asking, reply: ReserveReply, actNumber: number, sentMs: number): ReserveReply {
    const { charges } = asking
    this.#onAnswer(sentMs)
    if (reply.kind === "held" || reply.kind === "denied") {
      this.#sights.note(charges, reply.counters, actNumber, sentMs)
      if (this.#share.isInUse) this.#share.seen(charges, actNumber)
      this.#times.noteWhole(organizationOf(charges))
      return reply
    }
    if (reply.kind !== "recovering") return reply
    this.#times.noteRecovering(organizationOf(charges), sentMs)
    return this.#decide(asking, true)
  }

  #onAnswer(sentMs: number): void {
    if (this.isAway) return
    this.#breaker.succeed(sentMs)
    this.#times.failingSinceMs = null
  }

  #onFailure(error: unknown, sentMs: number, charges: readonly Charge[] = []): void {
    this.#sums.failures += 1
    this.#times.failingSinceMs ??= sentMs
    if (charges.length > 0) this.#lastCharges = charges
    if (!this.#breaker.fail(this.#elapsedMs())) return
    this.#sums.outages += 1
    this.#decidedInOutage = 0
    this.#options.log.warn({ err: error }, "limit store is away: calls are decided without it, limit by limit")
    this.#armMending()
    this.#deadlines.failAll("the limit store is away")
  }

  #decide({ id, charges }: Asking, isRecovering: boolean): ReserveReply {
    const decision = this.#share.take(id, charges, this.#outage(charges))
    if (decision.kind === "away") return this.#awayReply(decision, isRecovering)
    this.#decidedInOutage += 1
    this.#sums.admittedLocally += 1
    return { kind: "held", counters: [] }
  }

  #extendHere(id: string, charges: readonly Charge[], isRecovering: boolean): ReserveReply {
    const decision = this.#share.extend(id, charges, this.#outage(charges))
    return decision.kind === "away" ? this.#awayReply(decision, isRecovering) : { kind: "held", counters: [] }
  }

  #outage(charges: readonly Charge[]): Outage {
    return this.#times.of(organizationOf(charges), this.#elapsedMs(), this.#options.nowMs())
  }

  #awayReply({ denied, reason }: Extract<LocalDecision, { kind: "away" }>, isRecovering: boolean): AwayReply {
    const waitMs = this.#breaker.waitMs(this.#elapsedMs())
    return { kind: "away", denied, reason, isRecovering, retryAfterMs: 1_000 * Math.max(1, Math.ceil(waitMs / 1_000)) }
  }

  #keep(id: string, actual: readonly Charge[]): void {
    const organizationId = organizationOf(actual)
    const sinceMs = this.#elapsedMs()
    const settle = { id, organizationId, actual, sinceMs, refusals: 0, takenAtRefusal: null }
    if (this.#overflowed.has(organizationId) || !this.#waiting.add(settle)) {
      this.#sums.dropped += 1
      this.#share.told(id, this.#actNumber, sinceMs)
      this.#drop(organizationId)
    }
    this.#armMending()
  }

  /** The ledger has what is dropped here; the counters get it from there. */
  #drop(organizationId: string): void {
    this.#sums.dropped += this.forget(organizationId)
    if (this.#overflowed.has(organizationId)) return
    this.#overflowed.add(organizationId)
    this.#options.log.error({ organization_id: organizationId }, "settles dropped: counters need a rebuild")
    this.#options.onOverflow(organizationId)
  }

  /** The store has it, or says that the ledger brings it. */
  #onSettled(id: string): void {
    this.#sendWaiting.noteTaken()
    if (this.#waiting.size > 0) this.#waiting.delete(id)
    if (this.#share.isInUse) this.#share.told(id, this.#actNumber, this.#elapsedMs())
  }

  #armMending(): void {
    if (this.#timer !== null || this.#mending !== null || this.#isStopped) return
    if (!this.isAway && this.#waiting.size === 0) return
    const waitMs = this.isAway ? this.#breaker.waitMs(this.#elapsedMs()) : this.#resendMs
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#mending = this.#mend().finally(() => {
        this.#mending = null
        this.#armMending()
      })
    }, Math.ceil(waitMs)).unref()
  }

  /** One attempt to bring the store what it misses; of a store that is away, also the probe. */
  async #mend(): Promise<void> {
    const wasAway = this.isAway
    if (wasAway && !this.#breaker.tryProbe(this.#elapsedMs())) return
    const isAnswering = wasAway && this.#waiting.size === 0 ? await this.#probe() : await this.#sendWaiting.send()
    this.#resendMs = isAnswering ? RESEND_MS : RESEND_REFUSED_MS
    if (!isAnswering && wasAway) this.#breaker.fail(this.#elapsedMs())
    if (isAnswering && wasAway) this.#comeBack()
  }

  #comeBack(): void {
    const endedMs = this.#elapsedMs()
    const sinceMs = this.#times.end(endedMs)
    this.#breaker.close()
    this.#overflowed.clear()
    this.#options.log.info(
      { away_ms: Math.round(endedMs - sinceMs), calls_decided_without_it: this.#decidedInOutage },
      "limit store is back",
    )
  }

  /**
   * Settles to nothing what no call holds, under an id that was never used: only that has to be written. A store that is
   * out of memory, or has become a replica, answers everything else.
   */
  #probe(): Promise<boolean> {
    const charges = nothingOf(this.#lastCharges)
    const answer: Promise<unknown> =
      charges.length === 0 ? this.#store.sweep() : this.#store.settle(`probe_${randomBase62(16)}`, charges)
    return new Promise((resolve) => {
      this.#deadlines.watch(
        this.#elapsedMs(),
        answer,
        () => resolve(true),
        () => resolve(false),
      )
    })
  }
}
