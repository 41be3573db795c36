/**
 * The one row that every change to who is who raises in its own transaction. Its lock makes writers wait for one
 * another, so versions become visible in their order: whoever reads a version reads every change up to it.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"

/** Raised first, it also keeps other writers away from what the transaction then counts. */
export async function raiseDirectoryVersion(transaction: Transaction): Promise<void> {
  await transaction`UPDATE directory_version SET version = version + 1`
}

/** The same for a change to prices or terms, which hardly any change is: whoever keeps them need not read them for others. */
export async function raisePricesVersion(transaction: Transaction): Promise<void> {
  await transaction`UPDATE directory_version SET version = version + 1, prices_version = version + 1`
}

export async function readDirectoryVersion(sql: Sql): Promise<string> {
  const [row] = await sql<{ version: string }[]>`SELECT version::text AS version FROM directory_version`
  if (row === undefined) throw new Error("The table directory_version has no row: the installation is not whole.")
  return row.version
}
