/**
 * A proxy process as far as limits go: the store, the guard in front of it, admission, recovery and what counts the calls
 * of the dead, put together as `app/shared-limits.ts` does it. The calls themselves are played.
 */
import { Admission, type Admitted } from "../../src/admission/admit.ts"
import { AdoptedCalls } from "../../src/admission/adopted-calls.ts"
import { recordCharges } from "../../src/admission/limits.ts"
import { Recovery } from "../../src/admission/recovery.ts"
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import { limitScripts } from "../../src/admission/redis-scripts.ts"
import { RedisLimitStore } from "../../src/admission/redis-store.ts"
import { StoreGuard } from "../../src/admission/store-guard.ts"
import type { Limit } from "../../src/identity/limit.ts"
import { Connection } from "./connection.ts"
import { Journal, type Ledger, type Row } from "./ledger.ts"
import { redisCommands } from "./redis-commands.ts"
import type { World } from "./world.ts"

export const LEASE_MS = 6_000
/** A proxy that was not seen for so long is not waited for. */
const SEEN_MS_MAX = 5_500
const PRESENCE_EVERY_MS = 700
/** Read once: a world has many stores. */
const scripts = limitScripts()
const ROWS_PER_SHIP_MAX = 20
/** A journal forgets what was shipped a while ago. */
const PRUNED_AFTER_MS = 1_500
/** Until a row that was handed to the journal is on the disk. */
const DURABLE_AFTER_MS_MAX = 4

type Hold = Extract<Admitted, { kind: "held" }>["hold"]

export class SimulatedProxy {
  readonly name: string
  readonly journal: Journal
  readonly connection: Connection
  readonly store: RedisLimitStore
  readonly guard: StoreGuard
  readonly admission: Admission
  readonly recovery: Recovery
  readonly adopted: AdoptedCalls
  /** It counts the calls of a dead process; it is not killed before it has, since nobody would do it again. */
  isAdopting = false
  /** How far its clock is ahead of the world's. */
  readonly #skewMs: number
  readonly #world: World
  readonly #ledger: Ledger

  constructor(world: World, name: string, proxiesMax: number) {
    const { time, random, ledger } = world
    this.name = name
    this.#world = world
    this.#ledger = ledger
    this.#skewMs = random.whole(-2_000, 2_000)
    this.journal = new Journal(`journal_of_${name}`)
    this.connection = new Connection(world.redis, time, random, name)
    const client = redisCommands(this.connection.carry)
    const nowMs = () => this.nowMs
    const want = (organizationId: string) => this.recovery.want(organizationId)
    this.store = new RedisLimitStore({
      client,
      scripts,
      onRecovering: want,
      onNewEpoch: (organizationId) => void this.guard.forget(organizationId),
    })
    const acts = new RedisRecoveryActs({ client, scripts, proxy: name, coordinatorLeaseMs: 3_000 })
    this.adopted = new AdoptedCalls({ store: this.store, acts, want, nowMs, onFault: () => undefined })
    const silent = () => undefined
    this.guard = new StoreGuard({
      store: this.store,
      nowMs,
      elapsedMs: () => time.nowMs,
      log: { warn: silent, info: silent, error: silent } as never,
      proxiesMax: () => proxiesMax,
      onOverflow: (organizationId) => void this.adopted.rebuild(organizationId),
    })
    this.admission = new Admission({
      store: this.guard,
      nowMs,
      owner: name,
      leaseMs: LEASE_MS,
      onFault: (error) => world.fail(error),
    })
    this.recovery = new Recovery({
      store: this.store,
      acts,
      proxy: name,
      ownJournalId: this.journal.id,
      leaseMs: LEASE_MS,
      nowMs,
      elapsedMs: () => time.nowMs,
      readSnapshot: () => this.#later(() => ledger.snapshot()),
      liveProxies: () => this.#later(() => this.#liveProxies()),
      endedAfter: async (_, seq) =>
        seq < this.journal.prunedSeq ? { kind: "gap" } : { kind: "rows", rows: this.journal.after(seq) },
      liveHolds: (organizationId) => this.admission.liveHolds(organizationId),
      onChange: (change) => world.tell(`${name} ${change.kind}`),
      pollMs: 500,
    })
  }

  get nowMs(): number {
    return this.#world.epochMs + this.#skewMs
  }

  start(): void {
    const { time } = this.#world
    this.admission.start()
    this.recovery.start()
    const seen = () => {
      if (!this.#ledger.isAway) this.#ledger.seenAtMs.set(this.name, time.nowMs)
      time.after(PRESENCE_EVERY_MS, seen)
    }
    seen()
    this.#shipSometimes()
  }

  #liveProxies(): string[] {
    if (this.#ledger.isAway) throw new Error("the ledger is away")
    const { nowMs } = this.#world.time
    return [...this.#ledger.seenAtMs].filter(([, atMs]) => nowMs - atMs < SEEN_MS_MAX).map(([name]) => name)
  }

  /** Asks the ledger: the question and the answer take their time. */
  #later<T>(ask: () => T): Promise<T> {
    const { time, random } = this.#world
    return new Promise((resolve, reject) => {
      time.after(
        random.whole(1, 20),
        () => {
          try {
            const answer = ask()
            time.after(random.whole(1, 20), () => resolve(answer), this.name)
          } catch (error) {
            time.after(0, () => reject(error), this.name)
          }
        },
        "",
      )
    })
  }

  #shipSometimes(): void {
    const { time, random } = this.#world
    time.after(random.whole(20, 400), () => {
      const { journal } = this
      const rows = journal.rows.slice(
        journal.shippedSeq,
        Math.min(journal.durableSeq, journal.shippedSeq + ROWS_PER_SHIP_MAX),
      )
      this.#later(() => this.#ledger.ship(journal.id, rows))
        .then(
          () => this.#onShipped(rows),
          () => undefined,
        )
        .finally(() => this.#shipSometimes())
    })
  }

  #onShipped(rows: readonly Row[]): void {
    const last = rows.at(-1)?.seq
    if (last === undefined) return
    this.journal.shippedSeq = last
    this.#world.time.after(PRUNED_AFTER_MS, () => {
      this.journal.prunedSeq = last
    })
  }

  /** Admits a call, or does not; what it may use at the most is `bound`. */
  async begin(id: string, limits: readonly Limit[], bound: bigint): Promise<{ hold: Hold; isLocal: boolean } | null> {
    const estimate = { requests: 1n, tokensBound: bound, tokensLikely: bound, costNanosBound: bound }
    const admitted = await this.admission.admit({ holdId: id, limits, estimate })
    if (admitted.kind !== "held") return null
    const { hold, counters } = admitted
    // Were the process to die now, the record would say so.
    const estimated = BigInt(this.#world.random.whole(0, Number(bound)))
    this.journal.open.set(id, chargesOf(hold, estimated))
    return { hold, isLocal: counters.length === 0 }
  }

  /** Holds so much more for a stream that flows; false where it is not held. */
  async extend(hold: Hold, more: bigint): Promise<boolean> {
    return (await this.admission.extend(hold, { tokensBound: more, costNanosBound: more })).kind === "held"
  }

  /** The call has used so much; it is settled and written down in one tick. */
  end(hold: Hold, used: bigint): void {
    const { journal } = this
    this.admission.settle(hold, actualOf(used)).then(
      (reply) => this.#world.tell(`${this.name} has settled ${hold.id.slice(-3)} to ${used}: ${reply}`),
      (error: unknown) => this.#world.fail(error),
    )
    const charges = chargesOf(hold, used)
    journal.end(hold.id, charges)
    const seq = journal.rows.length
    this.#world.time.after(this.#world.random.whole(0, DURABLE_AFTER_MS_MAX), () => {
      journal.durableSeq = Math.max(journal.durableSeq, seq)
      journal.open.delete(hold.id)
    })
  }

  /** The call never reached a provider: it is taken back, and no record is made. */
  release(hold: Hold): void {
    this.journal.open.delete(hold.id)
    this.admission.release(hold).then(
      () => this.#world.tell(`${this.name} has released ${hold.id.slice(-3)}`),
      (error: unknown) => this.#world.fail(error),
    )
  }

  /** Ships what a dead process has left, then has the counters told; tried again until the ledger takes it. */
  adopt(journal: Journal, writtenAtMs: number): void {
    this.isAdopting = true
    const ended = journal.rows.slice(0, journal.durableSeq)
    const shippedSeq = this.#ledger.acknowledged(journal.id)
    const cut = [...journal.open]
    const rows = ended.filter(({ seq }) => seq > shippedSeq)
    const begun = cut.map(([id, charges]) => ({ seq: shippedSeq, id, charges }))
    this.#later(() => this.#ledger.ship(journal.id, [...begun, ...rows])).then(
      () => {
        this.#world.onAdopted(journal)
        for (const { id, charges } of begun)
          this.#world.tell(`${this.name} has adopted ${id.slice(-3)} of ${charges[0]?.amount}`)
        const calls = ended.map(({ id, charges }) => ({ id, organizationId: "org_1", charges }))
        const kind =
          cut.length > 0
            ? ({ kind: "cut", organizationIds: ["org_1"] } as const)
            : ({ kind: "ended", calls, writtenAtMs } as const)
        this.adopted.count(kind).then(
          () => {
            this.isAdopting = false
            this.#ledger.seenAtMs.delete(journal.id.slice("journal_of_".length))
          },
          (error: unknown) => this.#world.fail(error),
        )
      },
      () => this.#world.time.after(100, () => this.adopt(journal, writtenAtMs)),
    )
  }
}

function actualOf(used: bigint) {
  return { requests: 1n, tokens: used, costNanos: used }
}

function chargesOf(hold: Hold, used: bigint) {
  return recordCharges(hold.charges, actualOf(used))
}
