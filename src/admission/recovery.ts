/**
 * Fills an organization's lost counters from the ledger, together with the other proxies. An organization is `missing`
 * (never seen, or flushed: nobody can tell), or was filled on a server that has gone since (restarted, or its replica
 * promoted: the data may be older than what was answered); then it recovers under a new epoch, then is open:
 *
 * 1. One proxy coordinates: it reads the ledger's counters and how much of each journal is in them, at one moment, and
 *    loads both in the place of whatever was there.
 * 2. Every proxy takes up the new epoch, and in the same tick looks at its live calls; it asserts those as holds, then
 *    asks its journal for ended calls that the snapshot does not contain and asserts them as charges, then answers.
 * 3. When every live proxy has answered, or one lease after the load, the coordinator opens.
 *
 * Nothing is counted twice: an act sent under an earlier epoch is refused by the store, so a call that ended before a
 * proxy took up the epoch is charged by the snapshot or by its journal row, and one that ended after it by its settle;
 * both are told apart by id. A proxy that comes late, even long after the opening, does step 2 by itself. Each organization goes
 * one step at a time and waits outside of the bound on steps under way, so that proxies cannot wait for one another.
 */
import { inTime } from "../platform/in-time.ts"
import type { Charge, LedgerSnapshot } from "./limit-store.ts"
import type { ChargedCall } from "./limits.ts"
import type { RedisRecoveryActs, Standing } from "./redis-recovery-acts.ts"
import type { RedisLimitStore } from "./redis-store.ts"

/** The calls of a journal that ended after a row and belong to an organization. */
export type EndedCalls =
  | { readonly kind: "rows"; readonly rows: readonly Pick<ChargedCall, "id" | "charges">[] }
  /** Rows after that one have been shipped and are gone: a newer snapshot contains them. */
  | { readonly kind: "gap" }

export type RecoveryOptions = {
  readonly store: RedisLimitStore
  readonly acts: RedisRecoveryActs
  /** This process by the name that `liveProxies` uses; also the owner of its holds. */
  readonly proxy: string
  readonly ownJournalId: string
  readonly leaseMs: number
  readonly nowMs: () => number
  /** Of a clock that never goes back or forward by itself. */
  readonly elapsedMs: () => number
  readonly readSnapshot: (organizationId: string) => Promise<LedgerSnapshot>
  /** Proxies that have been seen in the last seconds. */
  readonly liveProxies: () => Promise<readonly string[]>
  /** Ended calls in this process' journal after a row; must know those that ended before it is asked. */
  readonly endedAfter: (organizationId: string, seq: number) => Promise<EndedCalls>
  /** What calls of this process hold now. */
  readonly liveHolds: (
    organizationId: string,
  ) => readonly { readonly id: string; readonly keyId?: string; readonly charges: readonly Charge[] }[]
  /** Resolves once this process charges calls that end to all limits that the directory has by this version. */
  readonly knowsVersion?: (version: number) => Promise<void>
  readonly onChange: (change: RecoveryChange) => void
  readonly pollMs?: number
  readonly stepMs?: number
  readonly snapshotTimeoutMs?: number
}

/** Told once for each change of an organization's state, not for each try. */
export type RecoveryChange =
  | { readonly kind: "recovering" | "answered" | "open"; readonly organizationId: string; readonly epoch: string }
  | { readonly kind: "failing"; readonly organizationId: string; readonly error: unknown }

type Recovering = {
  readonly organizationId: string
  /** The epoch under which it stands on the list of those that recover; '' where it was met in another way. */
  readonly listedEpoch: string
  timer: NodeJS.Timeout | undefined
  /** Asked for while a step was under way: the answer of that step may be older. */
  isWanted: boolean
  isFailing: boolean
  /** The epoch that was told last. */
  epoch: string
  /** When this process first saw the epoch's snapshot in place; null before. */
  loadedSeenMs: number | null
  /** An epoch whose snapshot is too old for this process' journal. */
  badEpoch: string
}

const POLL_MS = 300
/** Between two steps of an organization that waits for other proxies. */
const STEP_MS = 100
const STEP_MS_AFTER_FAULT = 1_000
const SNAPSHOT_TIMEOUT_MS = 10_000
/** Organizations that take a step at once: a flush may concern thousands, and each reads the ledger. */
const STEPS_MAX = 16

export class Recovery {
  readonly #options: RecoveryOptions
  readonly #recovering = new Map<string, Recovering>()
  readonly #queue: Recovering[] = []
  #steps = 0
  #poll: NodeJS.Timeout | undefined
  #isPolling = false
  #isStopped = false

  constructor(options: RecoveryOptions) {
    this.#options = options
  }

  /** The store has met an epoch that is not ours. Cheap, however often it is called. */
  want(organizationId: string, listedEpoch = ""): void {
    if (this.#isStopped) return
    const known = this.#recovering.get(organizationId)
    if (known !== undefined) {
      known.isWanted = true
      return
    }
    const one: Recovering = {
      organizationId,
      listedEpoch,
      timer: undefined,
      isWanted: false,
      isFailing: false,
      epoch: "",
      badEpoch: "",
      loadedSeenMs: null,
    }
    this.#recovering.set(organizationId, one)
    this.#enqueue(one)
  }

  /** Learns of recoveries that others have begun, from now on. The timer does not keep the process alive. */
  start(): void {
    this.#poll ??= setInterval(() => void this.#pollOnce(), this.#options.pollMs ?? POLL_MS).unref()
  }

  stop(): void {
    this.#isStopped = true
    clearInterval(this.#poll)
    for (const { timer } of this.#recovering.values()) clearTimeout(timer)
    this.#recovering.clear()
    this.#queue.length = 0
  }

  async #pollOnce(): Promise<void> {
    if (this.#isPolling) return
    this.#isPolling = true
    try {
      for (const [organizationId, epoch] of await this.#options.acts.recovering()) this.want(organizationId, epoch)
    } catch {
      // Redis is away: the calls that need it say so, and the next poll comes soon.
    } finally {
      this.#isPolling = false
    }
  }

  #enqueue(one: Recovering): void {
    this.#queue.push(one)
    this.#next()
  }

  #next(): void {
    while (this.#steps < STEPS_MAX) {
      const one = this.#queue.shift()
      if (one === undefined) return
      this.#steps += 1
      void this.#take(one)
    }
  }

  async #take(one: Recovering): Promise<void> {
    one.isWanted = false
    let waitMs: number | null
    try {
      waitMs = await this.#step(one)
      one.isFailing = false
    } catch (error) {
      if (!one.isFailing) this.#options.onChange({ kind: "failing", organizationId: one.organizationId, error })
      one.isFailing = true
      waitMs = STEP_MS_AFTER_FAULT
    } finally {
      this.#steps -= 1
    }
    if (waitMs === null && one.isWanted) waitMs = 0
    if (this.#isStopped) return
    if (waitMs === null) this.#recovering.delete(one.organizationId)
    else one.timer = setTimeout(() => this.#enqueue(one), waitMs).unref()
    this.#next()
  }

  /** One step; returns when the next is due, or null once the organization is open and knows all that we know. */
  async #step(one: Recovering): Promise<number | null> {
    const { acts, store, proxy, leaseMs } = this.#options
    const { organizationId } = one
    const standing = await acts.begin(organizationId, one.badEpoch)
    const { epoch, state, loadedForMs } = standing
    const waitMs = this.#options.stepMs ?? STEP_MS
    if (state === "recovering" && one.epoch !== epoch) {
      this.#options.onChange({ kind: "recovering", organizationId, epoch })
      one.epoch = epoch
      one.loadedSeenMs = null
    }
    if (loadedForMs === null) {
      if (!standing.isCoordinator) return waitMs
      return (await this.#load(organizationId, epoch)) ? 0 : waitMs
    }
    one.loadedSeenMs ??= this.#options.elapsedMs()
    const isMet = store.epochOf(organizationId) !== ""
    const hasAnswered = store.epochOf(organizationId) === epoch && standing.answeredBy.has(proxy)
    const isNewHere = state === "open" && !isMet
    if (!hasAnswered && !isNewHere) return (await this.#answer(one, standing)) ? 0 : waitMs
    if (state === "open") {
      // Whoever opened it may have died before it took it off the list.
      if (one.listedEpoch !== "") await acts.retract(organizationId, one.listedEpoch)
      return null
    }
    if (!standing.isCoordinator) return waitMs
    // Nobody is waited for longer than a lease: by Redis's clock, and by our own, since Redis's may be set forward.
    if (Math.min(loadedForMs, this.#options.elapsedMs() - one.loadedSeenMs) < leaseMs) {
      const proxies = await this.#options.liveProxies()
      if (!proxies.every((name) => standing.answeredBy.has(name))) return waitMs
    }
    if (!(await acts.open(organizationId, epoch))) return waitMs
    this.#options.onChange({ kind: "open", organizationId, epoch })
    return null
  }

  async #load(organizationId: string, epoch: string): Promise<boolean> {
    const { acts, nowMs, readSnapshot, snapshotTimeoutMs } = this.#options
    const snapshot = await inTime(readSnapshot(organizationId), snapshotTimeoutMs ?? SNAPSHOT_TIMEOUT_MS)
    return acts.load(organizationId, epoch, snapshot, nowMs())
  }

  /** Asserts all that this process knows and the snapshot does not. False where another beginning is needed or was made. */
  async #answer(one: Recovering, standing: Standing): Promise<boolean> {
    const { acts, store, proxy, leaseMs, nowMs, liveHolds, endedAfter, ownJournalId, snapshotTimeoutMs } = this.#options
    const { organizationId } = one
    // Calls that end under the new epoch are charged to every limit that its counters have.
    await inTime(this.#options.knowsVersion?.(standing.version) ?? Promise.resolve(), SNAPSHOT_TIMEOUT_MS)
    // Replies that came in before now must reach the calls that wait for them: a hold is live once its call knows.
    await new Promise((resolve) => setImmediate(resolve))
    store.adopt(organizationId, standing.epoch, standing.version)
    await store.assertHolds(organizationId, proxy, leaseMs, liveHolds(organizationId))
    const ended = await inTime(
      endedAfter(organizationId, standing.acks.get(ownJournalId) ?? 0),
      snapshotTimeoutMs ?? SNAPSHOT_TIMEOUT_MS,
    )
    if (ended.kind === "gap") {
      one.badEpoch = standing.epoch
      return false
    }
    await store.assertSettled(organizationId, ended.rows, nowMs())
    const isDone = await acts.answered(organizationId, standing.epoch)
    if (isDone) this.#options.onChange({ kind: "answered", organizationId, epoch: standing.epoch })
    return isDone
  }
}
