/**
 * What a backup consists of, in the order in which it is read and restored: the journal's files, what the ledger is, then
 * every table. The journal comes first: a call that ended before a backup began is then in its file or in the tables read
 * after it, and where it is in both, its id and the acknowledged sequences tell.
 */

/** A backup or a restore cannot be done; the message is for the operator, who can mend it, and holds no secret. */
export class BackupError extends Error {}

export type LedgerHead = {
  /** Applied migrations in their order, by name, with the digest of each file. */
  readonly migrations: readonly { readonly name: string; readonly checksum: string }[]
  /** Partitions of `usage_records`, by name. */
  readonly months: readonly string[]
  /** Null where the schema is older than ledgers that have one. */
  readonly ledgerId: string | null
}

export type Piece =
  | { readonly kind: "journal file"; readonly name: string }
  /** The next bytes of the file that was named last. */
  | { readonly kind: "bytes"; readonly bytes: Buffer }
  | { readonly kind: "ledger"; readonly head: LedgerHead }
  | { readonly kind: "table"; readonly table: string; readonly columns: readonly string[] }
  /** Rows of the table that was named last, each a JSON array of its columns' texts. */
  | { readonly kind: "rows"; readonly rows: readonly string[] }

/** What was counted of a table, a file, or the whole. */
export type TableCount = { readonly table: string; readonly rows: number; readonly sha256: string }
export type FileCount = { readonly name: string; readonly bytes: number; readonly sha256: string }

export type Manifest = {
  readonly tallygateVersion: string
  /** ISO 8601, when the backup was begun. */
  readonly madeAt: string
  readonly head: LedgerHead
  readonly tables: readonly TableCount[]
  readonly journalFiles: readonly FileCount[]
}

export function rowsOf({ tables }: Pick<Manifest, "tables">, table: string): number {
  return tables.find((counted) => counted.table === table)?.rows ?? 0
}

export function allRows({ tables }: Pick<Manifest, "tables">): number {
  return tables.reduce((sum, { rows }) => sum + rows, 0)
}
