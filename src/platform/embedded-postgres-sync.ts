/**
 * Makes the embedded Postgres's fsync real. PGlite's file system for Node answers fsync with success and does nothing:
 * enough to survive kill -9 (the kernel has the bytes), not enough to survive a loss of power. fdatasync cannot be
 * reached from here, so the write-ahead log must be opened with wal_sync_method=fsync.
 */
import { closeSync, fsyncSync, openSync, readdirSync } from "node:fs"
import { join } from "node:path"

/** The one place of Emscripten's NODEFS that is touched; `nfd` is Node's file descriptor. */
interface NodeFs {
  stream_ops: { fsync?: (stream: { nfd?: number }) => number }
}

/** From here on the database's fsync calls reach the disk. @throws when this PGlite has no NODEFS to amend. */
export function syncFilesOf(database: { Module: object }): void {
  const nodeFs = (database.Module as { NODEFS?: NodeFs }).NODEFS
  if (nodeFs?.stream_ops === undefined)
    throw new Error("this PGlite offers no file system in which fsync can be made real")
  nodeFs.stream_ops.fsync = (stream) => {
    if (stream.nfd !== undefined) fsyncSync(stream.nfd)
    return 0
  }
}

/** Writes a directory and all below it to the disk; a new cluster was copied in before fsync was real. */
export function syncTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) syncTree(path)
    else if (entry.isFile()) syncPath(path)
  }
  syncPath(directory)
}

function syncPath(path: string): void {
  const file = openSync(path, "r")
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
