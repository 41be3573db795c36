/**
 * The shipper's one connection to Postgres. A statement has a deadline, and after a lost connection the next statement
 * opens a new one: the driver's own waiting between attempts (up to 20 s) would add to the shipper's.
 */
import { openPostgres, type Sql } from "../platform/postgres.ts"

/** A statement took longer than it may; whether it was done is unknown. */
export class StatementTimeout extends Error {}

export class LedgerConnection {
  readonly #url: string
  readonly #statementMsMax: number
  #sql: Sql | null = null

  constructor(url: string, statementMsMax: number) {
    this.#url = url
    this.#statementMsMax = statementMsMax
  }

  /** Runs what needs Postgres; a failure closes the connection where the connection may be what failed. */
  async run<T>(act: (sql: Sql) => Promise<T>, isConnectionAtFault: (error: unknown) => boolean): Promise<T> {
    this.#sql ??= openPostgres(this.#url, { max: 1, applicationName: "tallygate-shipper" })
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<never>((_, reject) => {
      const late = () => reject(new StatementTimeout(`Postgres did not answer within ${this.#statementMsMax} ms`))
      timer = setTimeout(late, this.#statementMsMax)
    })
    try {
      return await Promise.race([act(this.#sql), deadline])
    } catch (error) {
      if (error instanceof StatementTimeout || isConnectionAtFault(error)) await this.close()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  async close(): Promise<void> {
    const sql = this.#sql
    this.#sql = null
    await sql?.end({ timeout: 0 })
  }
}
