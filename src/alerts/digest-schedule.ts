/**
 * Sends digests when they are due: once for each period, however many processes look. What was due while none ran is sent
 * at the next start, if that is not too late; of several missed periods of one digest, the last.
 */
import type { Clock } from "../platform/clock.ts"
import type { Log } from "../platform/log.ts"
import { RegularWork } from "../platform/regular-work.ts"
import { type DigestOptions, makeDigest } from "./digest-content.ts"
import { dueBefore, stretchBefore } from "./digest-period.ts"
import { type DigestRow, enabledDigests } from "./digest-rows.ts"
import { queueDigest, wasSent } from "./digest-runs.ts"

const EVERY_MS = 20_000
/** What is later than this is not sent any more: a report of a month is worth reading a week late, and not three. */
const LATE_MS_MAX = 7 * 24 * 3_600_000

export type DigestScheduleOptions = DigestOptions & { readonly clock: Clock; readonly log: Log }

export class DigestSchedule {
  readonly #options: DigestScheduleOptions
  readonly #work: RegularWork

  constructor(options: DigestScheduleOptions) {
    this.#options = options
    this.#work = new RegularWork({
      everyMs: EVERY_MS,
      beginsAtOnce: true,
      work: () => this.sendDue(),
      log: options.log,
      failing: "digests cannot be sent; those that are due are tried again",
      mended: "digests are sent again",
    })
  }

  start(): void {
    this.#work.start()
  }

  /** Resolves when the look under way has ended. */
  stop(): Promise<void> {
    return this.#work.stop()
  }

  /**
   * Queues what is due; returns how many digests this process queued. One that fails keeps no other from being sent; the
   * first failure is thrown at the end.
   */
  async sendDue(): Promise<number> {
    const { sql, clock } = this.#options
    const nowMs = clock.nowMs()
    let sent = 0
    const failures: unknown[] = []
    for (const digest of await enabledDigests(sql)) {
      try {
        if (await this.#sendIfDue(digest, nowMs)) sent++
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
    return sent
  }

  async #sendIfDue(digest: DigestRow, nowMs: number): Promise<boolean> {
    const { id, period, schedule, time_zone: timeZone, due_from: dueFrom } = digest
    const dueMs = dueBefore(schedule, timeZone, nowMs)
    if (dueMs === null || dueMs < dueFrom.getTime() || nowMs - dueMs > LATE_MS_MAX) return false
    const { sql, log } = this.#options
    const periodId = stretchBefore(period, timeZone, dueMs).id
    if (await wasSent(sql, id, periodId)) return false
    // Others may make it at the same time: making is reading, and whoever writes first has sent it.
    const made = await makeDigest(this.#options, digest, { dueMs, nowMs, occasion: "" })
    const queued = await queueDigest(sql, digest, made, nowMs)
    if (queued === null) return false
    log.info({ digest_id: id, period: periodId, messages: queued.length }, "digest queued")
    return true
  }
}
