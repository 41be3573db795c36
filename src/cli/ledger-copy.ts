/** What `backup`, `restore` and `move` have in common: reading a ledger that may be in use, and the names of files. */
import { existsSync, readdirSync } from "node:fs"
import { rm } from "node:fs/promises"
import path from "node:path"
import { journalFolder } from "../app/journal-folder.ts"
import type { Config } from "../config/load.ts"
import { BackupError, type Manifest, type Piece } from "../ledger/backup.ts"
import { writeBackup } from "../ledger/backup-file.ts"
import { journalPieces, stageJournals } from "../ledger/backup-journals.ts"
import { readLedger } from "../ledger/backup-read.ts"
import { runningAddress } from "../platform/embedded-postgres-address.ts"
import { copyRunningCluster } from "../platform/embedded-postgres-copy.ts"
import { readMigrations } from "../platform/migrate.ts"
import { type Sql, sqlState } from "../platform/postgres.ts"
import { version } from "../platform/version.ts"
import { CommandError } from "./command.ts"
import { MIGRATIONS_FOLDER } from "./shipped-files.ts"
import { embeddedFolder, withDatabase } from "./with-database.ts"

const COPY_FOLDER = /^backup-copy-(\d+)$/
/** What an operator can mend: no room, no right, no folder, a file in the place of one. */
const FILE_FAULTS = new Set(["ENOSPC", "EACCES", "EPERM", "EROFS", "ENOENT", "ENOTDIR", "EISDIR", "EDQUOT", "EEXIST"])

/** A right that is missing; no room on the server's disk, or in its memory. */
const SERVER_FAULTS = new Set(["42501", "53100", "53200"])

/** @throws CommandError for what its user can mend */
export async function mendable<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    if (error instanceof BackupError) throw new CommandError(error.message, { cause: error })
    if (SERVER_FAULTS.has(sqlState(error) ?? "")) throw new CommandError(`Postgres refuses: ${String(error)}.`)
    const code = error instanceof Error && "code" in error ? String(error.code) : ""
    if (error instanceof Error && FILE_FAULTS.has(code)) throw new CommandError(error.message, { cause: error })
    throw error
  }
}

/** `20261124-101530Z`, for names of files. */
export function timeInName(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/[-:]/g, "").replace("T", "-").replace(/\.\d+/, "")
}

/** Writes the configured ledger, and the journal of this data directory, to a file; Tallygate may run meanwhile. */
export async function backUpTo(config: Config, file: string): Promise<{ manifest: Manifest; bytes: number }> {
  const migrations = await readMigrations(MIGRATIONS_FOLDER)
  const folder = path.join(config.data_dir, `backup-copy-${process.pid}`)
  await removeLeftCopies(config)
  try {
    const journal = path.join(folder, "journal")
    // Before the tables: see `Piece`.
    if (existsSync(journalFolder(config))) await stageJournals(journalPieces(journalFolder(config)), journal)
    return await withLedgerOrCopy(config, folder, (sql) =>
      readLedger(sql, migrations, (tables) =>
        writeBackup(file, { tallygateVersion: version(), nowMs: Date.now() }, inTurn(journalPieces(journal), tables)),
      ),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The ledger itself, or a copy of its files where it is embedded in a Tallygate that runs. */
async function withLedgerOrCopy<T>(config: Config, folder: string, act: (sql: Sql) => Promise<T>): Promise<T> {
  const url = config.database_url === undefined ? await runningAddress(embeddedFolder(config)) : null
  if (url === null) return withDatabase(config, act)
  const copy = { ...config, data_dir: folder }
  await copyRunningCluster(url, embeddedFolder(config), embeddedFolder(copy))
  return withDatabase(copy, act)
}

/** Takes away what backups that were killed have left. */
async function removeLeftCopies(config: Config): Promise<void> {
  if (!existsSync(config.data_dir)) return
  for (const name of readdirSync(config.data_dir)) {
    const pid = COPY_FOLDER.exec(name)?.[1]
    if (pid === undefined || isAlive(Number(pid))) continue
    await rm(path.join(config.data_dir, name), { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}

export async function* inTurn(...parts: AsyncIterable<Piece>[]): AsyncGenerator<Piece> {
  for (const part of parts) yield* part
}
