/**
 * Looks at what alert rules are about and raises what they find: once across all processes, since the row decides. Each
 * alert stands in the log as well, so that an installation without channels is not blind.
 */
import type { Clock } from "../platform/clock.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { RegularWork } from "../platform/regular-work.ts"
import type { FindSheet } from "../reporting/token-classes.ts"
import type { RuleKind } from "./alert-rule.ts"
import { type AlertRule, enabledRules } from "./alert-rule-rows.ts"
import { newThresholds, raise, tellWaiting } from "./alert-state.ts"
import { lookAtAnomalies } from "./anomaly-look.ts"
import { lookAtLimits } from "./limits-look.ts"
import type { Found, Look, LookOptions, ProcessState } from "./look.ts"
import { lookAtBacklog, lookAtStores } from "./process-look.ts"
import { lookAtProviders } from "./provider-look.ts"
import { lookAtErrorRate, lookAtKeyExpiry, lookAtUnpriced } from "./usage-look.ts"

const EVERY_MS = 10_000
/** How often what was not charged lately is looked at too: caps change, and processes are away. */
const WHOLE_EVERY_MS = 5 * 60_000

const LOOKS: Readonly<Record<RuleKind, Look>> = {
  threshold: lookAtLimits,
  anomaly: lookAtAnomalies,
  error_rate: lookAtErrorRate,
  provider_down: lookAtProviders,
  unpriced: lookAtUnpriced,
  key_expiry: lookAtKeyExpiry,
  store_degraded: lookAtStores,
  journal_backlog: lookAtBacklog,
}

export type WatchOptions = {
  readonly sql: Sql
  readonly clock: Clock
  readonly log: Log
  readonly findSheet: FindSheet
  readonly process: ProcessState
  /** Where the dashboard is, for links; null where nobody said. */
  readonly baseUrl: string | null
}

export class AlertWatch {
  readonly #options: WatchOptions
  readonly #downSinceMs = new Map<string, number>()
  readonly #work: RegularWork
  #wholeAtMs = Number.NEGATIVE_INFINITY

  constructor(options: WatchOptions) {
    this.#options = options
    this.#work = new RegularWork({
      everyMs: EVERY_MS,
      beginsAtOnce: true,
      work: () => this.look(),
      log: options.log,
      failing: "alerts cannot be watched in full; what is missed is looked at again",
      mended: "alerts are watched again",
    })
  }

  /** Looks now, at all that was missed while no process ran, and every ten seconds. */
  start(): void {
    this.#work.start()
  }

  /** Resolves when the look under way has ended. */
  stop(): Promise<void> {
    return this.#work.stop()
  }

  /**
   * Looks once, and tells what had to wait; returns how many alerts were raised. A rule that fails keeps no other one from
   * being followed; the first failure is thrown at the end.
   */
  async look(): Promise<number> {
    const { sql, clock, findSheet, process, baseUrl } = this.#options
    const nowMs = clock.nowMs()
    this.#noteStores(nowMs)
    const isQuick = nowMs - this.#wholeAtMs < WHOLE_EVERY_MS
    const looking = { sql, nowMs, findSheet, process, downSinceMs: this.#downSinceMs, isQuick }
    const rules = await enabledRules(sql, (kind) => kind in LOOKS)
    let raised = 0
    const failures: unknown[] = []
    for (const rule of rules) {
      try {
        raised += await this.#follow(rule, looking)
      } catch (error) {
        failures.push(error)
      }
    }
    await tellWaiting({ sql, nowMs, baseUrl }, rules)
    if (failures.length > 0) throw failures[0]
    if (!isQuick) this.#wholeAtMs = nowMs
    return raised
  }

  async #follow(rule: AlertRule, looking: LookOptions): Promise<number> {
    const { sql, log, baseUrl } = this.#options
    const found = await LOOKS[rule.kind](looking, rule)
    let count = 0
    for (const { one, thresholds } of await this.#unknown(rule, found)) {
      const factsOf = await one.facts()
      const finding = { ...one.finding, thresholds }
      for (const { threshold } of await raise({ sql, nowMs: looking.nowMs, baseUrl }, rule, finding, factsOf)) {
        count++
        log.warn({ rule_id: rule.id, ...one.logged(threshold) }, one.said)
      }
    }
    return count
  }

  /** What has thresholds that nobody raised yet. */
  async #unknown(rule: AlertRule, found: readonly Found[]): Promise<{ one: Found; thresholds: readonly number[] }[]> {
    const fresh = await newThresholds(
      this.#options.sql,
      rule.id,
      found.map(({ finding }) => finding),
    )
    return found.flatMap((one, index) => {
      const thresholds = fresh[index] ?? []
      return thresholds.length === 0 ? [] : [{ one, thresholds }]
    })
  }

  #noteStores(nowMs: number): void {
    for (const [store, isUp] of Object.entries(this.#options.process.storesUp())) {
      if (isUp) this.#downSinceMs.delete(store)
      else if (!this.#downSinceMs.has(store)) this.#downSinceMs.set(store, nowMs)
    }
  }
}
