/**
 * Where a running embedded Postgres is reached, for commands of the same user: a file in its data directory, which only
 * its owner can read. Left behind by a kill it says nothing: the password in it is good for one start alone.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { openPostgres } from "./postgres.ts"

const FILE = "address.json"
const CONNECT_SECONDS_MAX = 5

export function writeAddress(dataDir: string, url: string): void {
  const file = join(dataDir, FILE)
  writeFileSync(`${file}.new`, JSON.stringify({ url }), { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

export function removeAddress(dataDir: string): void {
  rmSync(join(dataDir, FILE), { force: true })
}

/** The url of the embedded Postgres that runs on this directory; null where none answers. @throws on file system errors */
export async function runningAddress(dataDir: string): Promise<string | null> {
  const url = readAddress(dataDir)
  if (url === null) return null
  const sql = openPostgres(`${url}?connect_timeout=${CONNECT_SECONDS_MAX}`, {
    max: 1,
    applicationName: "tallygate-command",
  })
  try {
    await sql`SELECT 1`
    return url
  } catch {
    // Nobody listens there any more, or somebody else. Where one runs all the same, the directory's lock says so.
    return null
  } finally {
    await sql.end({ timeout: 1 })
  }
}

function readAddress(dataDir: string): string | null {
  try {
    const { url } = JSON.parse(readFileSync(join(dataDir, FILE), "utf8")) as { url?: unknown }
    return typeof url === "string" ? url : null
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null
    throw error
  }
}
