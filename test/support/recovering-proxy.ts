/**
 * Proxies as far as limits go, in one process: a limit store, a journal in an array, and a ledger in a Map that the
 * journals are shipped to. The oracle of every recovery test is the sum of all journal rows.
 */
import { Admission, type Admitted } from "../../src/admission/admit.ts"
import type { LedgerSnapshot } from "../../src/admission/limit-store.ts"
import { type DurableCharge, recordCharges } from "../../src/admission/limits.ts"
import { Recovery, type RecoveryChange } from "../../src/admission/recovery.ts"
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import type { LimitScripts } from "../../src/admission/redis-scripts.ts"
import { RedisLimitStore } from "../../src/admission/redis-store.ts"
import type { Limit } from "../../src/identity/limit.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import type { RedisClient } from "../../src/platform/redis.ts"

export type JournalRow = { readonly seq: number; readonly id: string; readonly charges: readonly DurableCharge[] }
type Held = Extract<Admitted, { kind: "held" }>["hold"]

export class FakeLedger {
  readonly #settled = new Map<string, bigint>()
  readonly #acks = new Map<string, number>()
  /** Names of the proxies that are seen. */
  readonly proxies = new Set<string>()
  /** Awaited by each snapshot, so that a test can be slow or fail. */
  beforeSnapshot: () => Promise<void> = async () => undefined
  snapshots = 0

  ship(journalId: string, rows: readonly JournalRow[]): void {
    for (const { seq, charges } of rows) {
      for (const { limit_id, subject, window, amount } of charges) {
        const name = `${limit_id}|${subject}|${window}`
        this.#settled.set(name, (this.#settled.get(name) ?? 0n) + BigInt(amount))
      }
      this.#acks.set(journalId, seq)
    }
  }

  async snapshot(): Promise<LedgerSnapshot> {
    await this.beforeSnapshot()
    this.snapshots += 1
    const settled = [...this.#settled].map(([name, amount]) => {
      const [limitId = "", subject = "", window = ""] = name.split("|")
      return { limitId, subject, window, settled: amount }
    })
    return { settled, acks: new Map(this.#acks) }
  }
}

export type TestProxyOptions = {
  readonly name: string
  readonly client: RedisClient
  readonly ledger: FakeLedger
  readonly leaseMs?: number
  readonly coordinatorLeaseMs?: number
  /** How often it looks, as production does; tests are in a hurry. */
  readonly isPaced?: boolean
  /** For tests that move the clock, or have another server than Redis. */
  readonly scripts?: LimitScripts
}

const mint = uuidv7Mint()

export class TestProxy {
  readonly name: string
  readonly store: RedisLimitStore
  readonly acts: RedisRecoveryActs
  readonly recovery: Recovery
  readonly admission: Admission
  readonly changes: RecoveryChange[] = []
  readonly #ledger: FakeLedger
  /** All rows ever; those before `#shipped` are in the ledger, those before `pruned` are forgotten by the journal. */
  readonly rows: JournalRow[] = []
  #shipped = 0
  pruned = 0

  constructor(options: TestProxyOptions) {
    const { name, client, ledger, leaseMs = 60_000 } = options
    this.name = name
    this.#ledger = ledger
    ledger.proxies.add(name)
    const scripts = options.scripts === undefined ? {} : { scripts: options.scripts }
    this.store = new RedisLimitStore({
      client,
      ...scripts,
      onRecovering: (organizationId) => this.recovery.want(organizationId),
    })
    this.acts = new RedisRecoveryActs({
      client,
      proxy: name,
      ...scripts,
      ...(options.coordinatorLeaseMs === undefined ? {} : { coordinatorLeaseMs: options.coordinatorLeaseMs }),
    })
    this.admission = new Admission({
      store: this.store,
      nowMs: Date.now,
      owner: name,
      leaseMs,
      onFault: (error) => {
        throw error
      },
    })
    this.recovery = new Recovery({
      store: this.store,
      acts: this.acts,
      proxy: name,
      ownJournalId: `journal_of_${name}`,
      leaseMs,
      nowMs: Date.now,
      elapsedMs: () => performance.now(),
      readSnapshot: () => ledger.snapshot(),
      liveProxies: async () => [...ledger.proxies],
      endedAfter: async (_organizationId, seq) =>
        seq < this.pruned ? { kind: "gap" } : { kind: "rows", rows: this.rows.filter((row) => row.seq > seq) },
      liveHolds: (organizationId) => this.admission.liveHolds(organizationId),
      onChange: (change) => this.changes.push(change),
      ...(options.isPaced === true ? {} : { pollMs: 20, stepMs: 5 }),
    })
  }

  /** The hold of a call, or undefined where it was not admitted. */
  async begin(limits: readonly Limit[], cost: bigint): Promise<Held | undefined> {
    const id = mint(Date.now())
    const estimate = { requests: 1n, tokensBound: cost, tokensLikely: cost, costNanosBound: cost }
    try {
      const admitted = await this.admission.admit({ holdId: id, limits, estimate })
      return admitted.kind === "held" ? admitted.hold : undefined
    } catch (error) {
      if (String(error).includes("recovering")) return undefined
      throw error
    }
  }

  /** Ends a call as the proxy does: settle and journal row in one tick. */
  end(hold: Held, cost: bigint) {
    const actual = { requests: 1n, tokens: cost, costNanos: cost }
    const settled = this.admission.settle(hold, actual)
    this.rows.push({ seq: this.rows.length + 1, id: hold.id, charges: recordCharges(hold.charges, actual) })
    return settled
  }

  /** Ships at most `max` rows to the ledger. */
  ship(max = Number.POSITIVE_INFINITY): void {
    const rows = this.rows.slice(this.#shipped, this.#shipped + Math.min(max, this.rows.length))
    this.#ledger.ship(`journal_of_${this.name}`, rows)
    this.#shipped += rows.length
  }

  /** What all calls that ended here used. */
  used(): bigint {
    return this.rows.reduce((sum, { charges }) => sum + BigInt(charges[0]?.amount ?? 0), 0n)
  }
}
