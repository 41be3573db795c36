/**
 * Writes down what shadow limits would have refused, limit by limit: every second as one statement, whatever the number
 * of calls. While Postgres is away the figures wait in memory; a process that is killed loses its last second of them,
 * never anything that a limit counts.
 */
import type { PassedLimits } from "../admission/passed-limits.ts"
import { inTime } from "../platform/in-time.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"

const EVERY_MS = 1_000
const STOP_MS_MAX = 2_000

export class ShadowRefusalWriter {
  readonly #sql: Sql
  readonly #passed: PassedLimits
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()
  #isWriting = false
  #isFailing = false

  constructor(options: { sql: Sql; passed: PassedLimits; log: Log }) {
    this.#sql = options.sql
    this.#passed = options.passed
    this.#log = options.log
  }

  start(): void {
    this.#timer = setInterval(() => {
      if (!this.#isWriting) void this.write()
    }, EVERY_MS)
    this.#timer.unref()
  }

  /** Writes what is left. Rejects where Postgres does not take it in time. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    const writing = this.#writing.then(() => this.write())
    await inTime(writing, STOP_MS_MAX)
  }

  /** Writes what was counted since the last time. Never rejects: what fails is written with the next. */
  write(): Promise<void> {
    this.#writing = this.#write()
    return this.#writing
  }

  async #write(): Promise<void> {
    const taken = this.#passed.takeUnwritten()
    if (taken.length === 0) return
    this.#isWriting = true
    try {
      const ids = taken.map(({ limitId }) => limitId)
      // In one order, so that two processes that write the same limits never wait for one another.
      await this.#sql`
        INSERT INTO limit_shadow_refusals AS known (limit_id, refusals, last_at)
        SELECT id, refusals, now() FROM unnest(${ids}::text[], ${taken.map(({ refusals }) => refusals)}::bigint[])
          AS counted (id, refusals) ORDER BY id
        ON CONFLICT (limit_id) DO UPDATE
        SET refusals = known.refusals + excluded.refusals, last_at = excluded.last_at`
      this.#isFailing = false
    } catch (error) {
      this.#passed.giveBack(taken)
      if (!this.#isFailing) this.#log.warn({ err: error }, "refusals of shadow limits wait for the ledger")
      this.#isFailing = true
    } finally {
      this.#isWriting = false
    }
  }
}
