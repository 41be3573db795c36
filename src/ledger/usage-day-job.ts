/**
 * Keeps `usage_day` up to date: once a minute it folds the days of each organization, in its own zone and in UTC, that are
 * over and not folded as they should be now, oldest first. Any number of processes may run it; each day is folded by one
 * of them. While it does not run, or a day cannot be folded, reports read the rollup instead: slower, and no less exact.
 */
import { windowAt } from "../admission/window.ts"
import type { Clock } from "../platform/clock.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { RegularWork } from "../platform/regular-work.ts"
import { type FoldedDay, foldDay, foldedZones, forgetOtherZones } from "./usage-day.ts"

const EVERY_MS = 60_000
/** A day that has ended waits this long for records on their way; what comes later has it folded again. */
const GRACE_MS = 10 * 60_000

type Organization = { readonly id: string; readonly time_zone: string; readonly first_bucket: Date }

export class UsageDayJob {
  readonly #sql: Sql
  readonly #clock: Clock
  readonly #work: RegularWork
  #isStopped = false

  constructor(options: { sql: Sql; clock: Clock; log: Log }) {
    this.#sql = options.sql
    this.#clock = options.clock
    this.#work = new RegularWork({
      everyMs: EVERY_MS,
      beginsAtOnce: true,
      work: () => this.foldDue(),
      log: options.log,
      failing: "days of usage cannot be folded; reports read the 15-minute rollup",
      mended: "days of usage are folded again",
    })
  }

  /** Folds what is due now, and looks again every minute. */
  start(): void {
    this.#work.start()
  }

  /** Resolves when the day that is being folded is done. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#work.stop()
  }

  /** Folds every day that is due; returns how many. A day that fails is left out, and the first failure thrown at the end. */
  async foldDue(): Promise<number> {
    let folded = 0
    const failures: unknown[] = []
    const endedByMs = this.#clock.nowMs() - GRACE_MS
    for (const organization of await organizations(this.#sql, endedByMs)) {
      for (const { timeZone, day } of await this.#due(organization, endedByMs)) {
        if (this.#isStopped) return folded
        try {
          if (!(await foldDay(this.#sql, organization.id, timeZone, day))) break
          folded++
        } catch (error) {
          failures.push(error)
        }
      }
      await forgetOtherZones(this.#sql, organization.id, foldedZones(organization.time_zone))
    }
    if (failures.length > 0) throw failures[0]
    return folded
  }

  /** The days from the organization's first bucket on that are over, without those whose fold is there and clean. */
  async #due(organization: Organization, endedByMs: number): Promise<{ timeZone: string; day: FoldedDay }[]> {
    const { id, time_zone: ownTimeZone, first_bucket: first } = organization
    const due: { timeZone: string; day: FoldedDay }[] = []
    for (const timeZone of foldedZones(ownTimeZone)) {
      const folds = new Map((await cleanFolds(this.#sql, id, timeZone)).map(({ from, to }) => [from, to]))
      const days = unfoldedDays(timeZone, first.getTime(), endedByMs, folds)
      due.push(...days.map((day) => ({ timeZone, day })))
    }
    return due
  }
}

/**
 * The days of a zone from the one that holds `fromMs` on that have ended by `endedByMs`, oldest first, without those
 * that `folds` (first moment → end) holds: reading a zone's clock takes longer than a look into a map.
 */
function unfoldedDays(
  timeZone: string,
  fromMs: number,
  endedByMs: number,
  folds: ReadonlyMap<number, number>,
): FoldedDay[] {
  const days: FoldedDay[] = []
  let atMs = windowAt("day", timeZone, 1, fromMs).startsAtMs ?? fromMs
  for (;;) {
    const foldEndsAtMs = folds.get(atMs)
    if (foldEndsAtMs !== undefined) {
      atMs = foldEndsAtMs
      continue
    }
    const { id, startsAtMs, endsAtMs } = windowAt("day", timeZone, 1, atMs)
    if (startsAtMs === null || endsAtMs === null || endsAtMs > endedByMs) return days
    days.push({ date: id, startsAtMs, endsAtMs })
    atMs = endsAtMs
  }
}

/**
 * Organizations with usage of which a day may be due: in one of their zones the newest fold is a day old, one is marked or
 * stale, or there are folds in a zone that they have left.
 */
function organizations(sql: Sql, endedByMs: number): Promise<Organization[]> {
  return sql<Organization[]>`
    SELECT o.id, o.time_zone, first.bucket AS first_bucket
    FROM organizations o CROSS JOIN LATERAL (
      SELECT bucket FROM usage_rollups r WHERE r.organization_id = o.id ORDER BY bucket LIMIT 1) first
    WHERE EXISTS (
        SELECT 1 FROM unnest(ARRAY[o.time_zone, 'UTC']) AS z (time_zone) WHERE NOT EXISTS (
          SELECT 1 FROM usage_day_fold f
          WHERE f.organization_id = o.id AND f.time_zone = z.time_zone
            AND f.ends_at > ${new Date(endedByMs)}::timestamptz - interval '23 hours'))
      OR EXISTS (
        SELECT 1 FROM usage_day_fold f
        WHERE f.organization_id = o.id AND (f.is_stale OR f.time_zone NOT IN (o.time_zone, 'UTC')))
      OR EXISTS (
        SELECT 1 FROM usage_day_dirty d JOIN usage_day_fold f USING (organization_id)
        WHERE d.organization_id = o.id AND d.bucket >= f.starts_at AND d.bucket < f.ends_at)
    ORDER BY o.id`
}

function cleanFolds(sql: Sql, organizationId: string, timeZone: string): Promise<{ from: number; to: number }[]> {
  return sql<{ from: number; to: number }[]>`
    SELECT (extract(epoch FROM starts_at) * 1000)::float8 AS "from", (extract(epoch FROM ends_at) * 1000)::float8 AS "to"
    FROM usage_day_fold f
    WHERE organization_id = ${organizationId} AND time_zone = ${timeZone} AND NOT is_stale AND NOT EXISTS (
      SELECT 1 FROM usage_day_dirty d
      WHERE d.organization_id = f.organization_id AND d.bucket >= f.starts_at AND d.bucket < f.ends_at)`
}
