/**
 * Watches what the ledger says limits have used, and raises an alert when a budget crosses a threshold: once for each
 * limit, window and threshold across all processes, since the row decides. The channel is the log.
 */
import { windowAt } from "../admission/window.ts"
import type { Limit } from "../identity/limit.ts"
import type { Clock } from "../platform/clock.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { crossedThresholds } from "./thresholds.ts"

const EVERY_MS = 10_000

type UsedLimit = {
  organization_id: string
  limit_id: string
  subject: string
  scope: Limit["scope"]
  kind: Limit["kind"]
  window: Limit["window"]
  time_zone: string
  anchor_day: number
  window_id: string
  settled: string
  cap: string
}

export class ThresholdWatch {
  readonly #sql: Sql
  readonly #clock: Clock
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined
  #isWatching = true

  constructor(options: { sql: Sql; clock: Clock; log: Log }) {
    this.#sql = options.sql
    this.#clock = options.clock
    this.#log = options.log
  }

  start(): void {
    this.#timer = setInterval(() => void this.#tick(), EVERY_MS)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Looks once; returns how many alerts were raised. */
  async look(): Promise<number> {
    let raised = 0
    for (const used of await usedLimits(this.#sql)) {
      const current = windowAt(used.window, used.time_zone, used.anchor_day, this.#clock.nowMs())
      if (current.id !== used.window_id) continue
      for (const percent of crossedThresholds(BigInt(used.settled), BigInt(used.cap))) {
        if (await raise(this.#sql, used, percent)) {
          raised++
          this.#announce(used, percent)
        }
      }
    }
    return raised
  }

  async #tick(): Promise<void> {
    try {
      await this.look()
      if (!this.#isWatching) this.#log.info("alerts are watched again")
      this.#isWatching = true
    } catch (error) {
      if (this.#isWatching) this.#log.warn({ err: error }, "alerts cannot be watched, the ledger is away")
      this.#isWatching = false
    }
  }

  #announce(used: UsedLimit, percent: number): void {
    const { kind, limit_id, scope, settled, subject, window_id, cap } = used
    this.#log.warn(
      { alert: "limit", percent, limit_id, scope, subject, kind, window: window_id, settled, cap },
      "limit crossed",
    )
  }
}

/** Budgets that were charged lately, with what they have settled. */
function usedLimits(sql: Sql): Promise<UsedLimit[]> {
  return sql<UsedLimit[]>`
    SELECT u.organization_id, u.limit_id, u.subject, l.scope, l.kind, l."window", l.time_zone, l.anchor_day,
           u.window_id, u.settled::text AS settled, l.cap::text AS cap
    FROM limit_usage u JOIN limits l ON l.id = u.limit_id
    WHERE u.updated_at > now() - interval '5 minutes' AND u.settled * 100 >= l.cap * 50`
}

/** True where this process wrote the row, so that it is the one to tell. */
async function raise(sql: Sql, used: UsedLimit, percent: number): Promise<boolean> {
  const rows = await sql`
    INSERT INTO alerts (organization_id, limit_id, subject, window_id, threshold_percent, settled, cap)
    VALUES (${used.organization_id}, ${used.limit_id}, ${used.subject}, ${used.window_id}, ${percent}, ${used.settled}, ${used.cap})
    ON CONFLICT DO NOTHING RETURNING 1`
  return rows.length === 1
}
