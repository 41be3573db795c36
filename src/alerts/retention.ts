/**
 * Keeps what alerts, deliveries and digests leave behind from growing for ever. A row is old enough to go when nothing asks
 * for it any more: an alert's row is also what keeps it from being raised twice within its window, a digest's what keeps
 * its period from being sent twice.
 */
import type { Clock } from "../platform/clock.ts"
import type { Log } from "../platform/log.ts"
import type { Sql, SqlFragment } from "../platform/postgres.ts"
import { RegularWork } from "../platform/regular-work.ts"

const EVERY_MS = 3_600_000
const DAY_MS = 24 * 3_600_000
/** Longer than the longest window that ends, a year, so that no threshold of a running window is told twice. */
const ALERT_DAYS = 400
/** Of messages that arrived or failed, and of the tables attached to them. */
const DELIVERY_DAYS = 90
/** Of counts of refused calls: a year and the month that it is compared with. */
const REFUSAL_DAYS = 400
/** Rows of one statement, so that none is long. */
const AT_ONCE_MAX = 5_000

export type RetentionOptions = { readonly sql: Sql; readonly clock: Clock; readonly log: Log }

export class AlertRetention {
  readonly #options: RetentionOptions
  readonly #work: RegularWork
  #isStopped = false

  constructor(options: RetentionOptions) {
    this.#options = options
    this.#work = new RegularWork({
      everyMs: EVERY_MS,
      beginsAtOnce: true,
      work: () => this.deleteOld(),
      log: options.log,
      failing: "old alerts and deliveries cannot be deleted",
      mended: "old alerts and deliveries are deleted again",
    })
  }

  start(): void {
    this.#work.start()
  }

  /** Resolves when the statement under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#work.stop()
  }

  /** Deletes all that is old enough; returns how many rows went. */
  async deleteOld(): Promise<number> {
    const { sql, clock } = this.#options
    const before = (days: number) => new Date(clock.nowMs() - days * DAY_MS)
    const old: readonly (readonly [string, SqlFragment])[] = [
      // A lifetime does not end: its thresholds are told once.
      ["alerts", sql`raised_at < ${before(ALERT_DAYS)} AND window_id <> 'lifetime'`],
      [
        "alert_subjects",
        sql`coalesce(last_told_at, '-infinity') < ${before(ALERT_DAYS)} AND NOT EXISTS (
          SELECT FROM alerts WHERE alerts.rule_id = alert_subjects.rule_id AND alerts.limit_id = alert_subjects.limit_id
            AND alerts.organization_id = alert_subjects.organization_id AND alerts.subject = alert_subjects.subject)`,
      ],
      ["alert_deliveries", sql`created_at < ${before(DELIVERY_DAYS)} AND state <> 'waiting'`],
      ["digest_runs", sql`created_at < ${before(DELIVERY_DAYS)}`],
      ["refusal_counts", sql`bucket < ${before(REFUSAL_DAYS)}`],
    ]
    let deleted = 0
    for (const [table, condition] of old) deleted += await this.#deleteWhere(table, condition)
    return deleted
  }

  async #deleteWhere(table: string, condition: SqlFragment): Promise<number> {
    const { sql } = this.#options
    let deleted = 0
    while (!this.#isStopped) {
      const { count } = await sql`
        DELETE FROM ${sql(table)} WHERE ctid = ANY (ARRAY(
          SELECT ctid FROM ${sql(table)} WHERE ${condition} LIMIT ${AT_ONCE_MAX}))`
      deleted += count
      if (count < AT_ONCE_MAX) break
    }
    return deleted
  }
}
