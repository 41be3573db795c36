/**
 * How many calls of each key were refused, and for what, by quarter of an hour: counted in memory and written down every
 * second as one statement, whatever the number of calls. While Postgres is away the figures wait; a process that is killed
 * loses its last second of them, never anything that a limit counts.
 */
import { inTime } from "../platform/in-time.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { RegularWork } from "../platform/regular-work.ts"

const EVERY_MS = 1_000
const STOP_MS_MAX = 2_000
const QUARTER_MS = 15 * 60_000
/** Figures that wait while Postgres is away; further ones are not counted here, but on the page /metrics. */
const WAITING_MAX = 50_000

type Count = {
  readonly organizationId: string
  readonly bucketMs: number
  readonly keyId: string
  readonly code: string
  refusals: number
}

export class RefusalCounts {
  readonly #sql: Sql
  readonly #work: RegularWork
  #counts = new Map<string, Count>()

  constructor({ sql, log }: { readonly sql: Sql; readonly log: Log }) {
    this.#sql = sql
    this.#work = new RegularWork({
      everyMs: EVERY_MS,
      beginsAtOnce: false,
      work: () => this.write(),
      log,
      failing: "counts of refused calls wait for the ledger",
      mended: "counts of refused calls are written again",
    })
  }

  start(): void {
    this.#work.start()
  }

  /** Writes what is left. Rejects where Postgres does not take it in time. */
  async stop(): Promise<void> {
    await this.#work.stop()
    await inTime(this.write(), STOP_MS_MAX)
  }

  /** Counts a call of this key that was refused at `nowMs`. */
  add(
    { id: keyId, organizationId }: { readonly id: string; readonly organizationId: string },
    code: string,
    nowMs: number,
  ): void {
    this.#add({ organizationId, bucketMs: Math.floor(nowMs / QUARTER_MS) * QUARTER_MS, keyId, code, refusals: 1 })
  }

  /** Writes what was counted since the last time; what cannot be written goes with the next. */
  async write(): Promise<void> {
    if (this.#counts.size === 0) return
    const taken = [...this.#counts.values()]
    this.#counts = new Map()
    try {
      // In one order, so that two processes that write the same rows never wait for one another.
      await this.#sql`
        INSERT INTO refusal_counts AS known (organization_id, bucket, key_id, code, refusals)
        SELECT * FROM unnest(
          ${taken.map(({ organizationId }) => organizationId)}::text[],
          ${taken.map(({ bucketMs }) => new Date(bucketMs).toISOString())}::timestamptz[],
          ${taken.map(({ keyId }) => keyId)}::text[], ${taken.map(({ code }) => code)}::text[],
          ${taken.map(({ refusals }) => refusals)}::bigint[]) AS counted (organization_id, bucket, key_id, code, refusals)
        ORDER BY organization_id, bucket, key_id, code
        ON CONFLICT (organization_id, bucket, key_id, code) DO UPDATE SET refusals = known.refusals + excluded.refusals`
    } catch (error) {
      for (const count of taken) this.#add(count)
      throw error
    }
  }

  #add(count: Count): void {
    const { organizationId, bucketMs, keyId, code, refusals } = count
    const name = `${organizationId} ${bucketMs} ${keyId} ${code}`
    const known = this.#counts.get(name)
    if (known !== undefined) known.refusals += refusals
    else if (this.#counts.size < WAITING_MAX) this.#counts.set(name, { ...count })
  }
}
