/**
 * Records that Postgres refuses for what they hold, kept for a person to look at. They stand in one file of the journal's
 * directory, not in the journal itself: a journal goes when it is shipped, and these must not go with it.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { LedgerRow } from "./ingest.ts"

export const QUARANTINE_FILE = "quarantine.sqlite"

/** Opens and closes the file each time: quarantine is rare, and several processes may share a directory. */
export class Quarantine {
  readonly #path: string

  constructor(directory: string) {
    this.#path = join(directory, QUARANTINE_FILE)
  }

  /** Takes a row in, durably; the same row of the same journal only once. Returns how many there are now. */
  add(journalId: string, row: LedgerRow, reason: { readonly sqlState: string; readonly message: string }): number {
    using database = new DatabaseSync(this.#path, { timeout: 5_000 })
    database.exec(`PRAGMA synchronous = FULL;
      CREATE TABLE IF NOT EXISTS quarantine (
        journal_id TEXT NOT NULL, seq INTEGER NOT NULL, sql_state TEXT NOT NULL, message TEXT NOT NULL, body TEXT NOT NULL,
        added_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), PRIMARY KEY (journal_id, seq))`)
    database
      .prepare("INSERT OR IGNORE INTO quarantine (journal_id, seq, sql_state, message, body) VALUES (?, ?, ?, ?, ?)")
      .run(journalId, row.seq, reason.sqlState, reason.message, row.body)
    return countOf(database)
  }

  /** Puts what `changed` makes of each body in its place; returns how many were changed. Overwrites what stood there. */
  rewrite(changed: (body: string) => string): number {
    if (!existsSync(this.#path)) return 0
    using database = new DatabaseSync(this.#path, { timeout: 5_000 })
    if (countOf(database) === 0) return 0
    database.exec("PRAGMA secure_delete = ON; PRAGMA synchronous = FULL")
    const write = database.prepare("UPDATE quarantine SET body = ? WHERE journal_id = ? AND seq = ?")
    let rewritten = 0
    for (const row of database.prepare("SELECT journal_id, seq, body FROM quarantine").all()) {
      const body = changed(String(row.body))
      if (body === row.body) continue
      write.run(body, String(row.journal_id), Number(row.seq))
      rewritten++
    }
    return rewritten
  }

  /** How many rows are in it. */
  count(): number {
    if (!existsSync(this.#path)) return 0
    using database = new DatabaseSync(this.#path, { timeout: 5_000 })
    return countOf(database)
  }
}

function countOf(database: DatabaseSync): number {
  const table = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'quarantine'").get()
  return table === undefined ? 0 : Number(database.prepare("SELECT count(*) AS n FROM quarantine").get()?.n)
}
