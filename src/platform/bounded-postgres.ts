/**
 * A small pool for what must not wait. Each act has a deadline; where one is missed or the connection is lost, the pool
 * is dropped and the next act opens another: the driver itself would wait up to 20 s between two attempts, and as long
 * as the network allows for a server that is silent. What else was under way on the dropped pool fails with it.
 */
import { inTime } from "./in-time.ts"
import { isConnectionLost, type Sql } from "./postgres.ts"

/** Postgres did not answer in time; whether the statement was done is unknown. */
export class PostgresTimeout extends Error {}

export class BoundedPostgres {
  readonly #open: () => Sql
  #sql: Sql | null = null

  constructor(open: () => Sql) {
    this.#open = open
  }

  /** Runs what needs Postgres; rejects at the latest after `msMax`. */
  async run<T>(act: (sql: Sql) => Promise<T>, msMax: number): Promise<T> {
    this.#sql ??= this.#open()
    const sql = this.#sql
    const late = () => new PostgresTimeout(`Postgres did not answer within ${Math.round(msMax)} ms.`)
    try {
      return await inTime(act(sql), msMax, late)
    } catch (error) {
      if (error instanceof PostgresTimeout || isConnectionLost(error)) this.#drop(sql)
      throw error
    }
  }

  async close(): Promise<void> {
    const sql = this.#sql
    this.#sql = null
    await sql?.end({ timeout: 0 })
  }

  /** Not awaited: who asked is told at once. The driver's `end` never rejects. */
  #drop(sql: Sql): void {
    if (this.#sql !== sql) return
    this.#sql = null
    void sql.end({ timeout: 0 })
  }
}
