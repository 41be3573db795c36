/**
 * Compares the counters in Redis with the ledger, exactly, once a window is over and what was under way has ended. Two
 * looks at the same difference make it one: what is on its way between the two is gone by the second. A difference is
 * counted, logged, and mended by what the ledger says; where entries came late, which the ledger alone counts, it is
 * mended without a word. Any number of proxies may do so at once: a counter is put right only where it still says what it
 * said.
 */
import { setTimeout as wait } from "node:timers/promises"
import type { Registry } from "prom-client"
import type { SettledCounters } from "../admission/settled-counters.ts"
import type { Clock } from "../platform/clock.ts"
import { type Figure, registerFigures } from "../platform/figures.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { RegularWork } from "../platform/regular-work.ts"
import { type ClosedCounter, type ClosedWindow, closedWindows, settledIn } from "./closed-windows.ts"

export type DriftStats = {
  /** Counters of windows that were over, compared with the ledger. */
  readonly compared: number
  /** Those that said something else. */
  readonly drifted: number
}

export type DriftAuditOptions = {
  readonly sql: Sql
  readonly counters: Pick<SettledCounters, "read" | "repair">
  readonly clock: Clock
  readonly log: Log
  readonly secondLookAfterMs?: number
}

/** Calls that began in a window have ended or expired by then, and their records are shipped. */
const CLOSED_FOR_MS = 15 * 60_000
/** Redis keeps what a window has counted for two days after its end. */
const COMPARED_FOR_MS = 47 * 3_600_000
/** Of a process: the metric has all of them. */
const LOGGED_MAX = 100
const EVERY_MS = 10 * 60_000
const SECOND_LOOK_AFTER_MS = 30_000

const COUNTERS: readonly Figure<DriftStats>[] = [
  {
    name: "tallygate_limit_counters_compared_total",
    help: "Counters of windows that were over, compared with the ledger.",
    read: (stats) => stats.compared,
  },
  {
    name: "tallygate_limit_counters_drifted_total",
    help: "Counters of windows that were over which said something else than the ledger, and were put right.",
    read: (stats) => stats.drifted,
  },
]

type Difference = ClosedCounter & { readonly before: bigint | null }

export class DriftAudit {
  readonly #options: DriftAuditOptions
  /** Windows that agreed, by calendar and id, with when they ended. */
  readonly #work: RegularWork
  readonly #stopping = new AbortController()
  readonly #agreed = new Map<string, number>()
  #compared = 0
  #drifted = 0

  constructor(options: DriftAuditOptions) {
    this.#options = options
    this.#work = new RegularWork({
      everyMs: EVERY_MS,
      beginsAtOnce: false,
      work: () => this.compareDue(),
      log: options.log,
      failing: "counters cannot be compared with the ledger yet",
      mended: "counters are compared with the ledger again",
    })
  }

  start(): void {
    this.#work.start()
  }

  /** Resolves when nothing is compared or put right any more. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#work.stop()
  }

  /** Each exposition reads what has been compared so far. */
  register(registry: Registry): void {
    registerFigures(registry, () => this.stats(), { gauges: [], counters: COUNTERS })
  }

  stats(): DriftStats {
    return { compared: this.#compared, drifted: this.#drifted }
  }

  /** Compares every window that has ended and did not agree yet. */
  async compareDue(): Promise<void> {
    const { sql, clock } = this.#options
    const nowMs = clock.nowMs()
    const fromMs = nowMs - COMPARED_FOR_MS
    for (const [name, endsAtMs] of this.#agreed) if (endsAtMs <= fromMs) this.#agreed.delete(name)
    for (const closed of await closedWindows(sql, fromMs, nowMs - CLOSED_FOR_MS)) {
      const name = `${closed.window} ${closed.timeZone} ${closed.anchorDay} ${closed.id}`
      if (!this.#agreed.has(name) && (await this.#agrees(closed))) this.#agreed.set(name, closed.endsAtMs)
    }
  }

  async #agrees(closed: ClosedWindow): Promise<boolean> {
    const first = await this.#look(closed)
    if (first.size === 0) return true
    const { signal } = this.#stopping
    await wait(this.#options.secondLookAfterMs ?? SECOND_LOOK_AFTER_MS, undefined, { signal }).catch(() => undefined)
    if (signal.aborted) return false
    const second = await this.#look(closed)
    const lasting = [...second].flatMap(([name, difference]) => {
      const before = first.get(name)
      const isSame = before?.settled === difference.settled && before.before === difference.before
      return isSame ? [difference] : []
    })
    for (const [owner, differences] of Map.groupBy(lasting, (difference) => difference.owner)) {
      const repaired = await this.#options.counters.repair(owner, closed.id, differences)
      if (repaired > 0) this.#tell(closed, differences)
    }
    // The next turn sees whether they do now.
    return false
  }

  /** The counters of a window that say something else than the ledger. */
  async #look(closed: ClosedWindow): Promise<Map<string, Difference>> {
    const { sql, counters } = this.#options
    const differences = new Map<string, Difference>()
    for await (const page of settledIn(sql, closed)) {
      this.#compared += page.length
      for (const [owner, asked] of Map.groupBy(page, (counter) => counter.owner)) {
        const said = await counters.read(owner, closed.id, asked)
        for (const [index, counter] of asked.entries()) {
          const before = said[index] ?? null
          if ((before ?? 0n) === counter.settled) continue
          differences.set(`${owner} ${counter.limitId} ${counter.subject}`, { ...counter, before })
        }
      }
    }
    return differences
  }

  #tell(closed: ClosedWindow, differences: readonly Difference[]): void {
    for (const { owner, limitId, subject, settled, before, isLate } of differences) {
      if (isLate && (before ?? 0n) < settled) continue
      this.#drifted++
      if (this.#drifted > LOGGED_MAX) continue
      const difference = { organization_id: owner, limit_id: limitId, subject, window: closed.id }
      this.#options.log.warn(
        { ...difference, counted: String(before ?? 0n), ledger: String(settled) },
        "a counter of a window that is over differed from the ledger, and is put right",
      )
    }
  }
}
