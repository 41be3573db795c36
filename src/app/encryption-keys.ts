/**
 * The keys under which provider credentials are encrypted in the database: the present one, and those that still open
 * what was sealed before. Beside the embedded database one is made where none is given, since both live and go together;
 * beside a server it would be lost with the machine, so there it must be given.
 */
import { readFile, writeFile } from "node:fs/promises"
import path from "node:path"
import type { Config } from "../config/schema.ts"
import {
  ENCRYPTION_KEY_EXPECTED,
  type EncryptionKey,
  newEncryptionKey,
  readEncryptionKey,
  SecretBox,
} from "../platform/secret-box.ts"
import { StartError } from "./start-error.ts"

const MADE_FILE = "encryption.key"

/** @throws StartError where a file that is to be read holds no key */
export async function openSecretBox(config: Config): Promise<SecretBox> {
  const given = await givenKey(config)
  const made = config.database_url === undefined ? await madeKey(config.data_dir, given === null) : null
  const previous = readEncryptionKey(config.encryption_key_previous ?? "")
  return new SecretBox(
    given ?? made,
    [made, previous].filter((key) => key !== null),
  )
}

async function givenKey({ encryption_key: text, encryption_key_file: file }: Config): Promise<EncryptionKey | null> {
  if (text !== undefined) return readEncryptionKey(text)
  return file === undefined ? null : keyIn(file)
}

/** The key of the data directory; made where there is none and one is needed. */
async function madeKey(dataDir: string, isNeeded: boolean): Promise<EncryptionKey | null> {
  const file = path.join(dataDir, MADE_FILE)
  try {
    return await keyIn(file)
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT"
    if (!isMissing) throw error
    if (!isNeeded) return null
  }
  // Never over one that is there: what was sealed under it would be lost.
  await writeFile(file, `${newEncryptionKey()}\n`, { flag: "wx", mode: 0o600 })
  return keyIn(file)
}

async function keyIn(file: string): Promise<EncryptionKey> {
  const key = readEncryptionKey(await readFile(file, "utf8"))
  if (key === null) throw new StartError(`${file} holds no encryption key. Expected: ${ENCRYPTION_KEY_EXPECTED}.`)
  return key
}
