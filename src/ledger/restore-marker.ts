/**
 * Says in the database itself that a restore has begun and is not finished: the table `restore_unfinished` stands there
 * for that long. No Tallygate starts on such a database; another restore begins it again.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"
import { tablesThere } from "./backup-tables.ts"

export type UnfinishedRestore = {
  /** Of the restore that set it. */
  readonly id: string
  /** ISO 8601. */
  readonly beganAt: string
  /** What is restored: a file, or a database. */
  readonly source: string
  /** The file with what stood in the database before; '' where it was empty. */
  readonly earlier: string
}

const TABLE = "restore_unfinished"

export async function unfinishedRestore(sql: Sql): Promise<UnfinishedRestore | null> {
  if ((await tablesThere(sql, [TABLE])).length === 0) return null
  const [row] = await sql<{ id: string; began_at: Date; source: string; earlier: string }[]>`
    SELECT id::text AS id, began_at, source, earlier FROM restore_unfinished`
  return row === undefined
    ? null
    : { id: row.id, beganAt: row.began_at.toISOString(), source: row.source, earlier: row.earlier }
}

export function unfinishedText({ beganAt, source, earlier }: UnfinishedRestore): string {
  const before = earlier === "" ? "" : ` What stood there before is in ${earlier}.`
  return (
    `The database is half restored: a restore of ${source} that began at ${beganAt} has not finished.${before} ` +
    "Where it does not run any more, run `tallygate restore FILE` to begin it again."
  )
}

/** Sets the marker, in the place of one that a restore has left behind. Waits for one that is just inserting its rows. */
export async function setMarker(
  transaction: Transaction,
  marker: Pick<UnfinishedRestore, "id" | "source" | "earlier">,
): Promise<void> {
  await transaction`
    CREATE TABLE IF NOT EXISTS restore_unfinished (
      id       uuid PRIMARY KEY,
      began_at timestamptz NOT NULL DEFAULT now(),
      source   text NOT NULL,
      earlier  text NOT NULL
    )`
  await transaction`DELETE FROM restore_unfinished`
  await transaction`
    INSERT INTO restore_unfinished (id, source, earlier)
    VALUES (${marker.id}::text::uuid, ${marker.source}, ${marker.earlier})`
}

/** Whether this restore is still the one that the marker tells of; nobody else can set it until the transaction ends. */
export async function holdMarker(transaction: Transaction, id: string): Promise<boolean> {
  const rows = await transaction`SELECT 1 FROM restore_unfinished WHERE id = ${id}::text::uuid FOR UPDATE`
  return rows.length > 0
}

export async function dropMarker(sql: Sql): Promise<void> {
  await sql`DROP TABLE restore_unfinished`
}
