/**
 * The journal's files in a backup: as they are, while their process may still write them. A batch that was copied half
 * counts as not written. Restored files go beside those that are there; of two with the same name the longer one is kept,
 * since a journal is only ever added to.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs"
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { backup, DatabaseSync } from "node:sqlite"
import { BackupError, type Piece } from "./backup.ts"
import { listJournals, lockJournal } from "./journal-file.ts"
import { QUARANTINE_FILE } from "./quarantine.ts"

/** Segments, and those that were set aside as damaged. */
const SEGMENT_FILE = /^[0-9a-f-]{36}\.\d{16}\.journal(\.damaged)?$/
const CHUNK_BYTES = 1024 * 1024

/** Whether this may be the name of a file in a journal's folder; a backup's words are not trusted to be names only. */
export function isJournalFile(name: string): boolean {
  return SEGMENT_FILE.test(name) || name === QUARANTINE_FILE
}

/** The files of a journal's folder. Oldest first, so that no copy has a call's start whose end stood in an older file. */
export async function* journalPieces(directory: string): AsyncGenerator<Piece> {
  if (!existsSync(directory)) return
  const names = readdirSync(directory)
  for (const name of names.filter((name) => SEGMENT_FILE.test(name)).sort()) {
    yield* filePieces(name, join(directory, name))
  }
  if (!names.includes(QUARANTINE_FILE)) return
  const folder = await mkdtemp(join(tmpdir(), "tallygate-backup-"))
  try {
    const copy = join(folder, QUARANTINE_FILE)
    using quarantine = new DatabaseSync(join(directory, QUARANTINE_FILE), { readOnly: true, timeout: 5_000 })
    await backup(quarantine, copy)
    yield* filePieces(QUARANTINE_FILE, copy)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A file that is gone meanwhile was shipped: its rows are in the ledger, which is read later. */
async function* filePieces(name: string, path: string): AsyncGenerator<Piece> {
  const file = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null
    throw error
  })
  if (file === null) return
  try {
    yield { kind: "journal file", name }
    // No further than it is now: a journal that is written all the time has no end.
    let left = (await file.stat()).size
    while (left > 0) {
      const bytes = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, left))
      const { bytesRead } = await file.read(bytes, 0, bytes.length)
      if (bytesRead === 0) return
      left -= bytesRead
      yield { kind: "bytes", bytes: bytes.subarray(0, bytesRead) }
    }
  } finally {
    await file.close()
  }
}

/** @throws BackupError where a process writes a journal in this folder: a Tallygate runs */
export function refuseRunningJournals(directory: string): void {
  if (!existsSync(directory)) return
  for (const id of listJournals(directory)) {
    const lock = lockJournal(directory, id)
    if (lock === null)
      throw new BackupError(`A Tallygate runs on the data directory (its journal ${id} is in use). Stop it first.`)
    lock.release()
  }
}

/** Writes a backup's journal files into a folder of their own, down to the disk. */
export async function stageJournals(pieces: AsyncIterable<Piece>, staging: string): Promise<void> {
  rmSync(staging, { recursive: true, force: true })
  mkdirSync(staging, { recursive: true, mode: 0o700 })
  let file: FileHandle | null = null
  try {
    for await (const piece of pieces) {
      if (piece.kind === "ledger") break
      if (piece.kind === "journal file") {
        await closeOnDisk(file)
        file = await open(join(staging, piece.name), "wx", 0o600)
      }
      if (piece.kind === "bytes") await file?.write(piece.bytes)
    }
  } finally {
    await closeOnDisk(file)
  }
}

async function closeOnDisk(file: FileHandle | null): Promise<void> {
  if (file === null) return
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Moves staged files to where the next start finds them; returns how many were not there yet. */
export function placeJournals(staging: string, directory: string): number {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  let placed = 0
  for (const name of readdirSync(staging)) {
    const [from, to] = [join(staging, name), join(directory, name)]
    if (!existsSync(to)) {
      renameSync(from, to)
      placed++
    } else if (name === QUARANTINE_FILE) addQuarantine(from, to)
    else if (statSync(to).size < statSync(from).size) renameSync(from, to)
  }
  rmSync(staging, { recursive: true, force: true })
  return placed
}

/** Takes over what the other quarantine has and this one lacks. */
function addQuarantine(from: string, to: string): void {
  using database = new DatabaseSync(to, { timeout: 5_000 })
  database.prepare("ATTACH ? AS restored").run(from)
  const has = database.prepare("SELECT 1 FROM restored.sqlite_master WHERE name = 'quarantine'").get() !== undefined
  if (has) database.exec("INSERT OR IGNORE INTO main.quarantine SELECT * FROM restored.quarantine")
}
