/**
 * The lines of a backup file, which is gzip over NDJSON so that `zcat` shows it: an object says what follows, an array is
 * a row of the table named last, a string is base64 of the file named last. The first line says what the file is, the
 * last one is the manifest: what was counted, and a digest of every table, of every file, and of all lines before it.
 */
import { createHash } from "node:crypto"
import { z } from "zod"
import type { FileCount, LedgerHead, Manifest, Piece, TableCount } from "./backup.ts"

export const BACKUP_FORMAT = 1

const head = z.object({
  ledger_id: z.string().nullable(),
  migrations: z.array(z.object({ name: z.string(), checksum: z.string() })),
  months: z.array(z.string()),
})
export const firstLine = z.object({ tallygate_backup: z.number(), tallygate: z.string(), made_at: z.string() })
export const tableLine = z.object({ table: z.string(), columns: z.array(z.string()) })
export const fileLine = z.object({ journal_file: z.string() })
export const ledgerLine = z.object({ ledger: head })
export const manifestLine = z.object({
  manifest: firstLine.extend({
    ledger: head,
    tables: z.array(z.object({ table: z.string(), rows: z.number(), sha256: z.string() })),
    journal_files: z.array(z.object({ name: z.string(), bytes: z.number(), sha256: z.string() })),
    sha256: z.string(),
  }),
})
export type ManifestLine = z.infer<typeof manifestLine>["manifest"]

export function headFrom({ ledger_id, migrations, months }: z.infer<typeof head>): LedgerHead {
  return { ledgerId: ledger_id, migrations, months }
}

export function manifestFrom(line: ManifestLine): Manifest {
  return {
    tallygateVersion: line.tallygate,
    madeAt: line.made_at,
    head: headFrom(line.ledger),
    tables: line.tables,
    journalFiles: line.journal_files,
  }
}

export function lineOf(piece: Exclude<Piece, { kind: "rows" }>): string {
  switch (piece.kind) {
    case "journal file":
      return jsonLine({ journal_file: piece.name } satisfies z.infer<typeof fileLine>)
    case "bytes":
      return jsonLine(piece.bytes.toString("base64"))
    case "ledger":
      return jsonLine({ ledger: headLine(piece.head) } satisfies z.infer<typeof ledgerLine>)
    case "table":
      return jsonLine({ table: piece.table, columns: [...piece.columns] } satisfies z.infer<typeof tableLine>)
  }
}

function headLine({ ledgerId, migrations, months }: LedgerHead): z.infer<typeof head> {
  return { ledger_id: ledgerId, migrations: [...migrations], months: [...months] }
}

export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`
}

/** Counts pieces as they pass, on the way into a file and on the way out of it alike. */
export class Tally {
  readonly #whole = createHash("sha256")
  readonly #tables: TableCount[] = []
  readonly #files: FileCount[] = []
  #head: LedgerHead | null = null
  #digest = createHash("sha256")
  #count = 0
  #finish: (() => void) | null = null

  /** Takes the text of lines, as they stand in the file. */
  addLines(text: string): void {
    this.#whole.update(text)
  }

  add(piece: Piece): void {
    if (piece.kind === "rows") {
      for (const row of piece.rows) this.#digest.update(row).update("\n")
      this.#count += piece.rows.length
    } else if (piece.kind === "bytes") {
      this.#digest.update(piece.bytes)
      this.#count += piece.bytes.length
    } else this.#begin(piece)
  }

  /** The last line of the file; what it counts is finished with it. */
  manifest(made: z.infer<typeof firstLine>): ManifestLine {
    this.#finish?.()
    this.#finish = null
    if (this.#head === null) throw new Error("a backup without a ledger")
    return {
      ...made,
      ledger: headLine(this.#head),
      tables: [...this.#tables],
      journal_files: [...this.#files],
      sha256: this.#whole.digest("hex"),
    }
  }

  #begin(piece: Exclude<Piece, { kind: "rows" | "bytes" }>): void {
    this.#finish?.()
    this.#digest = createHash("sha256")
    this.#count = 0
    if (piece.kind === "ledger") {
      this.#head = piece.head
      this.#finish = null
    } else if (piece.kind === "table") {
      this.#finish = () => {
        this.#tables.push({ table: piece.table, rows: this.#count, sha256: this.#digest.digest("hex") })
      }
    } else {
      this.#finish = () => {
        this.#files.push({ name: piece.name, bytes: this.#count, sha256: this.#digest.digest("hex") })
      }
    }
  }
}
