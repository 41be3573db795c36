/**
 * Backups as files. One is written under another name and takes its own when it is whole and on the disk; only its owner
 * may read it. It is read as a stream, and counted against its manifest while it is: who must not act on a damaged file
 * reads it to its end first.
 */
import { createReadStream, createWriteStream } from "node:fs"
import { open, rename, rm, stat } from "node:fs/promises"
import path from "node:path"
import { pipeline } from "node:stream/promises"
import { isDeepStrictEqual } from "node:util"
import { createGunzip, createGzip } from "node:zlib"
import { BackupError, type Manifest, type Piece } from "./backup.ts"
import { isJournalFile } from "./backup-journals.ts"
import {
  BACKUP_FORMAT,
  fileLine,
  firstLine,
  headFrom,
  jsonLine,
  ledgerLine,
  lineOf,
  manifestFrom,
  manifestLine,
  Tally,
  tableLine,
} from "./backup-lines.ts"

const LINE_BYTES_MAX = 256 * 1024 * 1024
/** Rows are handed on in groups, of this many or this many bytes. */
const GROUP_ROWS_MAX = 1_000
const GROUP_BYTES_MAX = 4 * 1024 * 1024
const LINE_FEED = 0x0a

/** Writes a backup in the place of whatever has that name. @throws what the pieces or the file system throw; no file is left then */
export async function writeBackup(
  file: string,
  made: { readonly tallygateVersion: string; readonly nowMs: number },
  pieces: AsyncIterable<Piece>,
): Promise<{ manifest: Manifest; bytes: number }> {
  const first = {
    tallygate_backup: BACKUP_FORMAT,
    tallygate: made.tallygateVersion,
    made_at: new Date(made.nowMs).toISOString(),
  }
  const part = `${file}.part-${process.pid}`
  const tally = new Tally()
  const written: { manifest?: Manifest } = {}
  async function* lines(): AsyncGenerator<string> {
    const counted = (text: string) => {
      tally.addLines(text)
      return text
    }
    yield counted(jsonLine(first))
    for await (const piece of pieces) {
      tally.add(piece)
      yield counted(piece.kind === "rows" ? `${piece.rows.join("\n")}\n` : lineOf(piece))
    }
    const last = tally.manifest(first)
    written.manifest = manifestFrom(last)
    yield jsonLine({ manifest: last })
  }
  try {
    await pipeline(lines(), createGzip(), createWriteStream(part, { flags: "wx", mode: 0o600, flush: true }))
    const { size } = await stat(part)
    await rename(part, file)
    await syncFolder(path.dirname(file))
    if (written.manifest === undefined) throw new Error("a backup was written without its manifest")
    return { manifest: written.manifest, bytes: size }
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Reads a whole file and keeps nothing but its manifest. @throws BackupError where it is not exactly what was written */
export async function checkBackup(file: string): Promise<Manifest> {
  const reading = readBackup(file)
  for (;;) {
    const next = await reading.next()
    if (next.done === true) return next.value
  }
}

/** The pieces of a file; returns the manifest. @throws BackupError, at the end at the latest, where it is damaged */
export async function* readBackup(file: string): AsyncGenerator<Piece, Manifest> {
  const damaged = (what: string) => new BackupError(`${file} is damaged: ${what}. Nothing was taken from it.`)
  const tally = new Tally()
  let first: ReturnType<typeof readFirst> | null = null
  let group: string[] = []
  let groupBytes = 0
  let manifest: Manifest | null = null
  for await (const line of linesOf(file)) {
    if (manifest !== null) throw damaged("something follows its manifest")
    if (first === null) {
      first = readFirst(file, line)
      tally.addLines(`${line}\n`)
      continue
    }
    const isRow = line.startsWith("[")
    if (group.length > 0 && (!isRow || group.length >= GROUP_ROWS_MAX || groupBytes > GROUP_BYTES_MAX)) {
      const piece: Piece = { kind: "rows", rows: group }
      tally.add(piece)
      yield piece
      group = []
      groupBytes = 0
    }
    if (isRow) {
      group.push(line)
      groupBytes += line.length
      tally.addLines(`${line}\n`)
      continue
    }
    const read = readLine(line)
    if (read === null) throw damaged("a line of it is none that a backup has")
    if (read.kind === "manifest") {
      if (!isDeepStrictEqual(tally.manifest(first), read.manifest))
        throw damaged("its contents do not match the digests in its manifest")
      // Reading goes on, to the end of the gzip and its own checksum.
      manifest = manifestFrom(read.manifest)
      continue
    }
    tally.addLines(`${line}\n`)
    tally.add(read)
    yield read
  }
  if (manifest === null) throw damaged("it ends before its manifest")
  return manifest
}

function readFirst(file: string, line: string) {
  const read = firstLine.safeParse(asJson(line))
  if (!read.success) throw new BackupError(`${file} is no backup of Tallygate.`)
  if (read.data.tallygate_backup === BACKUP_FORMAT) return read.data
  throw new BackupError(
    `${file} was made by Tallygate ${read.data.tallygate} in a format that this version does not read. ` +
      `Use Tallygate ${read.data.tallygate} or newer.`,
  )
}

type ReadLine =
  | Exclude<Piece, { kind: "rows" }>
  | { readonly kind: "manifest"; readonly manifest: NonNullable<ReturnType<typeof manifestLine.parse>>["manifest"] }

function readLine(line: string): ReadLine | null {
  const value = asJson(line)
  if (typeof value === "string") return { kind: "bytes", bytes: Buffer.from(value, "base64") }
  const table = tableLine.safeParse(value)
  if (table.success) return { kind: "table", ...table.data }
  const file = fileLine.safeParse(value)
  if (file.success)
    return isJournalFile(file.data.journal_file) ? { kind: "journal file", name: file.data.journal_file } : null
  const ledger = ledgerLine.safeParse(value)
  if (ledger.success) return { kind: "ledger", head: headFrom(ledger.data.ledger) }
  const manifest = manifestLine.safeParse(value)
  return manifest.success ? { kind: "manifest", manifest: manifest.data.manifest } : null
}

function asJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    // No JSON is no line of a backup, which is what undefined comes to.
    return undefined
  }
}

/** The lines of a gzip file. @throws BackupError where it cannot be read or unpacked */
async function* linesOf(file: string): AsyncGenerator<string> {
  const source = createReadStream(file)
  const unpacked = createGunzip()
  source.on("error", (error) => unpacked.destroy(error))
  source.pipe(unpacked)
  let parts: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of unpacked as AsyncIterable<Buffer>) {
      let from = 0
      for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
        yield Buffer.concat([...parts, chunk.subarray(from, end)]).toString("utf8")
        parts = []
        bytes = 0
        from = end + 1
      }
      if (from < chunk.length) parts.push(chunk.subarray(from))
      bytes += chunk.length - from
      if (bytes > LINE_BYTES_MAX) throw new BackupError(`${file} is damaged: a line of it has no end.`)
    }
  } catch (error) {
    throw asBackupError(file, error)
  } finally {
    source.destroy()
  }
  if (bytes > 0) throw new BackupError(`${file} is damaged: it ends within a line. Nothing was taken from it.`)
}

function asBackupError(file: string, error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  if (code === "ENOENT") return new BackupError(`There is no file ${file}.`)
  if (code === "EACCES" || code === "EISDIR") return new BackupError(`${file} cannot be read (${code}).`)
  if (code.startsWith("Z_"))
    return new BackupError(
      `${file} is damaged, or no backup of Tallygate: ${String(error)}. Nothing was taken from it.`,
    )
  return error
}
