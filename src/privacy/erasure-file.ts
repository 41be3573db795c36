/**
 * The list of the erased beside the database, in the data directory: a database that is replaced by an older backup has
 * lost what was erased since. Readable by its owner alone.
 */
import { readFile, rename, rm, writeFile } from "node:fs/promises"
import path from "node:path"
import { z } from "zod"
import { type ErasureList, NOBODY_ERASED } from "./erasure-list.ts"

export const ERASURE_FILE = "erasures.json"

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))
const erased = { organizationId: z.string(), erasedAt: z.iso.datetime(), erasedBy: z.string() }
const fileSchema = z.object({
  keys: z.array(z.object({ id: z.uuid(), inner: hex(64), outer: hex(64) })),
  customers: z.array(z.object({ ...erased, keyId: z.uuid(), hmac: hex(32), pseudonym: z.string() })),
  users: z.array(z.object({ ...erased, userId: z.string() })),
})

/** The list of the data directory; an empty one where there is none. @throws Error where the file is not what was written */
export async function readErasureFile(dataDir: string): Promise<ErasureList> {
  const file = path.join(dataDir, ERASURE_FILE)
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null
    throw error
  })
  if (text === null) return NOBODY_ERASED
  const read = fileSchema.safeParse(asJson(text))
  if (read.success) return read.data
  throw new Error(`${file} is damaged, and says who was erased. Put back a copy of it, or remove it if there is none.`)
}

/** Writes the list in the place of the one before. */
export async function writeErasureFile(dataDir: string, list: ErasureList): Promise<void> {
  const file = path.join(dataDir, ERASURE_FILE)
  const part = `${file}.part-${process.pid}`
  try {
    await writeFile(part, `${JSON.stringify(list)}\n`, { mode: 0o600, flush: true })
    await rename(part, file)
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}

/** Both lists in one. */
export function unionOf(one: ErasureList, other: ErasureList): ErasureList {
  const all = <Row>(rows: (list: ErasureList) => readonly Row[], nameOf: (row: Row) => string) => [
    ...new Map([...rows(other), ...rows(one)].map((row) => [nameOf(row), row])).values(),
  ]
  return {
    keys: all(
      ({ keys }) => keys,
      ({ id }) => id,
    ),
    customers: all(
      ({ customers }) => customers,
      ({ organizationId, keyId, hmac }) => `${organizationId} ${keyId} ${hmac}`,
    ),
    users: all(
      ({ users }) => users,
      ({ userId }) => userId,
    ),
  }
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // What is no JSON is no list, which is what undefined comes to.
    return undefined
  }
}
