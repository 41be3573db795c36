/** At a start: what the data directory knows of the erased and the database does not, since it was put back, is applied. */
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { readErasureFile, unionOf, writeErasureFile } from "./erasure-file.ts"
import { type ErasureList, NOBODY_ERASED, readErasureList } from "./erasure-list.ts"
import { reapplyErasures } from "./reapply.ts"

/** @throws Error where the file of the data directory is damaged */
export async function takeUpErasures(sql: Sql, dataDir: string, log: Pick<Log, "info">): Promise<void> {
  const kept = await readErasureFile(dataDir)
  if (isEmpty(kept)) return
  const unsearched = await sql`SELECT 1 FROM erased_customers WHERE searched_at IS NULL LIMIT 1`
  if (unsearched.length === 0 && isEmpty(missingFrom(await readErasureList(sql), kept))) return
  const again = await reapplyErasures(sql, kept)
  log.info(again, "persons who were erased before the database was put back are erased again")
}

/** For a restore: what this database and the data directory know, kept in the data directory while the database goes. */
export async function keepErasures(sql: Sql, dataDir: string): Promise<ErasureList> {
  const [there] = await sql<{ is: boolean }[]>`SELECT to_regclass('erased_customers') IS NOT NULL AS is`
  const known = there?.is === true ? await readErasureList(sql) : NOBODY_ERASED
  const list = unionOf(known, await readErasureFile(dataDir))
  if (!isEmpty(list)) await writeErasureFile(dataDir, list)
  return list
}

function missingFrom(known: ErasureList, { keys, customers, users }: ErasureList): ErasureList {
  const pseudonyms = new Set(known.customers.map(({ pseudonym }) => pseudonym))
  const ids = new Set(known.users.map(({ userId }) => userId))
  return {
    keys,
    customers: customers.filter(({ pseudonym }) => !pseudonyms.has(pseudonym)),
    users: users.filter(({ userId }) => !ids.has(userId)),
  }
}

function isEmpty({ customers, users }: ErasureList): boolean {
  return customers.length + users.length === 0
}
