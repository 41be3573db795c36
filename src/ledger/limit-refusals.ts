/**
 * Writes down how often limits have refused, counter by counter: every second as one statement, whatever the number of
 * calls. While Postgres is away the figures wait in memory; a process that is killed loses its last second of them, never
 * anything that a limit counts.
 */
import type { RefusalTally } from "../admission/refusal-tally.ts"
import { inTime } from "../platform/in-time.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { RegularWork } from "../platform/regular-work.ts"

const EVERY_MS = 1_000
const STOP_MS_MAX = 2_000

export class LimitRefusalWriter {
  readonly #sql: Sql
  readonly #tally: RefusalTally
  readonly #work: RegularWork

  constructor({ sql, tally, log }: { readonly sql: Sql; readonly tally: RefusalTally; readonly log: Log }) {
    this.#sql = sql
    this.#tally = tally
    this.#work = new RegularWork({
      everyMs: EVERY_MS,
      beginsAtOnce: false,
      work: () => this.write(),
      log,
      failing: "refusals of limits wait for the ledger",
      mended: "refusals of limits are written again",
    })
  }

  start(): void {
    this.#work.start()
  }

  /** Writes what is left. Rejects where Postgres does not take it in time. */
  async stop(): Promise<void> {
    await inTime(
      this.#work.stop().then(() => this.write()),
      STOP_MS_MAX,
    )
  }

  /** Writes what was counted since the last time. Rejects where it cannot; it is written with the next then. */
  async write(): Promise<void> {
    const taken = this.#tally.take()
    if (taken.length === 0) return
    try {
      // In one order, so that two processes that write the same counters never wait for one another.
      await this.#sql`
        INSERT INTO limit_refusals AS known (limit_id, subject, window_id, refused, shadowed)
        SELECT * FROM unnest(${taken.map(({ limitId }) => limitId)}::text[], ${taken.map(({ subject }) => subject)}::text[],
                             ${taken.map(({ windowId }) => windowId)}::text[],
                             ${taken.map(({ refused }) => refused)}::bigint[],
                             ${taken.map(({ shadowed }) => shadowed)}::bigint[])
          AS counted (limit_id, subject, window_id, refused, shadowed)
        ORDER BY limit_id, subject, window_id
        ON CONFLICT (limit_id, subject, window_id) DO UPDATE
        SET refused = known.refused + excluded.refused, shadowed = known.shadowed + excluded.shadowed`
    } catch (error) {
      this.#tally.giveBack(taken)
      throw error
    }
  }
}
