/**
 * One unchanging view of the database for several statements, so that what they read belongs together. It changes nothing
 * and ends by itself; nothing is streamed to a reader while it is open.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"

/** What one step of a report may hold in memory before it goes to disk; the default is 4 MB. */
const WORK_MEM = "32MB"

/** Times as much for a hash table. Groups are few in truth, and the planner, which expects many, would sort all rows. */
const HASH_MEM_MULTIPLIER = "4"

/** A report that takes longer is given up: it would only take the place of others. */
const STATEMENT_MS_MAX = 30_000

/** `asOfMs` is when the view was taken, by the clock of Postgres. */
export function inSnapshot<Result>(
  sql: Sql,
  read: (transaction: Transaction, asOfMs: number) => Promise<Result>,
): Promise<Result> {
  const result = sql.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY", async (transaction) => {
    // Compiling a statement takes longer than running it: reports differ, and none is run a thousand times.
    const [row] = await transaction<{ now: Date }[]>`
      SELECT now() AS now, set_config('jit', 'off', true), set_config('work_mem', ${WORK_MEM}, true),
        set_config('hash_mem_multiplier', ${HASH_MEM_MULTIPLIER}, true), set_config('statement_timeout', ${String(STATEMENT_MS_MAX)}, true)`
    return read(transaction, row?.now.getTime() ?? 0)
  })
  return result as Promise<Result>
}
