/**
 * Writes the journal file. Rows are only appended; which calls are open is known from memory, so a commit is one insert
 * per row and nothing else. When the disk refuses, starts are refused with it, while ends wait here until it takes them.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { END_ROW, START_ROW } from "./journal-file.ts"
import { ACT_FIELDS, DROP_ACT, END_ACT, type JournalActs, START_ACT } from "./journal-protocol.ts"

export type Commit =
  | { readonly kind: "committed"; readonly starts: number; readonly dropped: number }
  | { readonly kind: "failed"; readonly error: string }

export type Purge =
  | { readonly kind: "purged"; readonly rows: number; readonly ends: number }
  | { readonly kind: "failed"; readonly error: string }

type Staged = {
  /** Sequence of each call that opened in this transaction; null where it closed. */
  readonly open: Map<string, number | null>
  nextSeq: number
  lastEndSeq: number
  starts: number
  dropped: number
}

const ROWS_PER_INSERT = 8
/** seq, kind, id, body */
const ROW_FIELDS = 4

export class JournalWriter {
  readonly #database: DatabaseSync
  readonly #insert: StatementSync
  readonly #insertMany: StatementSync
  readonly #delete: StatementSync
  readonly #purgeEnds: StatementSync
  readonly #purgeStarts: StatementSync
  readonly #probe: StatementSync
  /** Calls whose end is not written: id to the sequence of the start. */
  readonly #open = new Map<string, number>()
  #kept: string[] = []
  #nextSeq = 1
  #lastEndSeq = 0

  constructor(database: DatabaseSync) {
    this.#database = database
    const insert = "INSERT INTO journal (seq, kind, id, body) VALUES "
    this.#insert = database.prepare(`${insert}(?, ?, ?, ?)`)
    this.#insertMany = database.prepare(insert + Array(ROWS_PER_INSERT).fill("(?, ?, ?, ?)").join(", "))
    this.#delete = database.prepare("DELETE FROM journal WHERE seq = ?")
    this.#purgeEnds = database.prepare(`DELETE FROM journal WHERE seq <= ? AND kind = ${END_ROW}`)
    this.#purgeStarts = database.prepare(
      `DELETE FROM journal WHERE seq <= ? AND kind = ${START_ROW} AND seq NOT IN (SELECT value FROM json_each(?))`,
    )
    this.#probe = database.prepare("INSERT OR REPLACE INTO probe (only, written) VALUES (1, ?)")
  }

  /** Sequence of the newest end; 0 before the first. */
  get lastEndSeq(): number {
    return this.#lastEndSeq
  }

  /** Ends and drops that the disk has refused so far, as acts. */
  get keptActs(): number {
    return this.#kept.length / ACT_FIELDS
  }

  /** Writes acts in one transaction, those kept from before first. On failure nothing is written and only starts are lost. */
  commit(batches: readonly JournalActs[]): Commit {
    const counters = { nextSeq: this.#nextSeq, lastEndSeq: this.#lastEndSeq, starts: 0, dropped: 0 }
    const staged: Staged = { open: new Map(), ...counters }
    try {
      this.#transact(() => {
        this.#stage(this.#kept, staged)
        for (const acts of batches) this.#stage(acts, staged)
      })
    } catch (error) {
      for (const acts of batches) this.#keepAllButStarts(acts)
      return { kind: "failed", error: messageOf(error) }
    }
    this.#kept = []
    this.#nextSeq = staged.nextSeq
    this.#lastEndSeq = staged.lastEndSeq
    for (const [id, seq] of staged.open) {
      if (seq === null) this.#open.delete(id)
      else this.#open.set(id, seq)
    }
    return { kind: "committed", starts: staged.starts, dropped: staged.dropped }
  }

  /** Tries the disk again after a failure: what was kept, and a row of its own. */
  retry(): Commit {
    try {
      this.#transact(() => this.#probe.run(this.#nextSeq))
    } catch (error) {
      return { kind: "failed", error: messageOf(error) }
    }
    return this.commit([])
  }

  /**
   * Deletes what was shipped: everything up to `seq` but the starts of calls that are still open. Starts and ends go
   * together, so that no crash can leave a start whose end is gone.
   */
  purge(seq: number): Purge {
    const open = [...this.#open.values()].filter((start) => start <= seq)
    let ends = 0
    let starts = 0
    try {
      this.#transact(() => {
        ends = Number(this.#purgeEnds.run(seq).changes)
        starts = Number(this.#purgeStarts.run(seq, JSON.stringify(open)).changes)
      })
    } catch (error) {
      return { kind: "failed", error: messageOf(error) }
    }
    return { kind: "purged", ends, rows: ends + starts }
  }

  isEmpty(): boolean {
    return this.#kept.length === 0 && this.#database.prepare("SELECT 1 FROM journal LIMIT 1").get() === undefined
  }

  #transact(write: () => void): void {
    this.#database.exec("BEGIN IMMEDIATE")
    try {
      write()
      this.#database.exec("COMMIT")
    } catch (error) {
      // SQLite has rolled back by itself after a full disk or an I/O error.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK")
      throw error
    }
  }

  #stage(acts: JournalActs, staged: Staged): void {
    let rows: (number | string)[] = []
    for (let at = 0; at < acts.length; at += ACT_FIELDS) {
      const act = acts[at]
      const id = acts[at + 1] ?? ""
      const body = acts[at + 2] ?? ""
      if (act === DROP_ACT) {
        this.#write(rows)
        rows = []
        const seq = staged.open.get(id) ?? this.#open.get(id)
        if (seq !== undefined) staged.dropped += Number(this.#delete.run(seq).changes)
        staged.open.set(id, null)
        continue
      }
      const seq = staged.nextSeq++
      rows.push(seq, act === END_ACT ? END_ROW : START_ROW, id, body)
      staged.open.set(id, act === END_ACT ? null : seq)
      if (act === END_ACT) staged.lastEndSeq = seq
      else staged.starts++
    }
    this.#write(rows)
  }

  /** Rows, flat; several to a statement, since running one costs more than a row. */
  #write(rows: readonly (number | string)[]): void {
    const many = ROWS_PER_INSERT * ROW_FIELDS
    let at = 0
    for (; at + many <= rows.length; at += many) this.#insertMany.run(...rows.slice(at, at + many))
    for (; at < rows.length; at += ROW_FIELDS) this.#insert.run(...rows.slice(at, at + ROW_FIELDS))
  }

  #keepAllButStarts(acts: JournalActs): void {
    for (let at = 0; at < acts.length; at += ACT_FIELDS) {
      if (acts[at] !== START_ACT) this.#kept.push(...acts.slice(at, at + ACT_FIELDS))
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
