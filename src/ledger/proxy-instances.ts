/**
 * Which proxies are running, by what they say of themselves in Postgres every few seconds: a limit store that has lost
 * its counters is whole again only when each of them has said what it knows. One that is killed is forgotten by time.
 */
import type { Clock } from "../platform/clock.ts"
import { inTime } from "../platform/in-time.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"

const SEEN_EVERY_MS = 5_000
/** A proxy that was seen within this counts as running: two of its signs of life may be late. */
const ALIVE_SECONDS = 15
/** Rows of proxies that are gone are kept for a day, for a person to look at. */
const KEPT_HOURS = 24
/** A stop does not wait for a Postgres that is silent. */
const LEAVE_MS_MAX = 1_000

export type ProxyInstance = { readonly id: string; readonly journalId: string }

/** Ids of the proxies that are running. */
export async function liveProxies(sql: Sql): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT id FROM proxy_instances WHERE seen_at > now() - make_interval(secs => ${ALIVE_SECONDS}) ORDER BY id`
  return rows.map((row) => row.id)
}

/** Takes out the proxy whose journal this was, so that nobody waits for what it knows: it has died. */
export async function forgetProxy(sql: Sql, journalId: string): Promise<void> {
  await sql`DELETE FROM proxy_instances WHERE journal_id = ${journalId}::text::uuid`
}

export class ProxyPresence {
  readonly #sql: Sql
  readonly #clock: Clock
  readonly #log: Log
  readonly #self: ProxyInstance
  #timer: NodeJS.Timeout | undefined
  #seenAtMs = 0
  #isAway = false
  #isBeating = false
  #count = 1

  constructor(options: { sql: Sql; clock: Clock; log: Log; self: ProxyInstance }) {
    this.#sql = options.sql
    this.#clock = options.clock
    this.#log = options.log
    this.#self = options.self
  }

  /** How many proxies ran when Postgres was last asked, this one included. */
  get count(): number {
    return this.#count
  }

  /** Enters this proxy, and goes on saying that it runs. Throws where the first time fails. */
  async start(): Promise<void> {
    await this.#beSeen()
    this.#timer = setInterval(() => {
      // While Postgres is silent one sign of life waits, not one more with each period.
      if (!this.#isBeating) void this.#beat()
    }, SEEN_EVERY_MS)
    this.#timer.unref()
  }

  /** Takes this proxy out, so that nobody waits for it. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    try {
      await inTime(this.#sql`DELETE FROM proxy_instances WHERE id = ${this.#self.id}`, LEAVE_MS_MAX)
    } catch (error) {
      // Others forget it by themselves after a quarter of a minute.
      this.#log.warn({ err: error }, "this proxy could not be taken out of the list of those that run")
    }
  }

  async #beat(): Promise<void> {
    this.#isBeating = true
    try {
      await this.#beSeen()
      if (this.#isAway) this.#log.info({ away_ms: this.#clock.nowMs() - this.#seenAtMs }, "seen by other proxies again")
      this.#isAway = false
      this.#seenAtMs = this.#clock.nowMs()
    } catch (error) {
      if (!this.#isAway) this.#log.warn({ err: error }, "cannot tell other proxies that this one runs")
      this.#isAway = true
    } finally {
      this.#isBeating = false
    }
  }

  async #beSeen(): Promise<void> {
    const [row] = await this.#sql<{ live: number }[]>`
      WITH seen AS (
        INSERT INTO proxy_instances AS p (id, journal_id) VALUES (${this.#self.id}, ${this.#self.journalId}::text::uuid)
        ON CONFLICT (id) DO UPDATE SET seen_at = now(), journal_id = excluded.journal_id
      ), gone AS (
        DELETE FROM proxy_instances
        WHERE seen_at < now() - make_interval(hours => ${KEPT_HOURS}) AND id <> ${this.#self.id}
      )
      SELECT count(*)::integer AS live FROM proxy_instances
      WHERE seen_at > now() - make_interval(secs => ${ALIVE_SECONDS}) AND id <> ${this.#self.id}`
    this.#count = 1 + (row?.live ?? 0)
    this.#seenAtMs = this.#clock.nowMs()
  }
}
