/** The file that holds the encryption key: where it is, and whether it can be the one that is meant. */
import { statSync } from "node:fs"
import { resolve } from "node:path"
import type { Environment } from "./interpolate.ts"
import type { Config, ConfigFile } from "./schema.ts"

/** The absolute path: from the folder of the configuration, or where the variable names it, from the working directory. */
export function resolveEncryptionKeyFile(
  { encryption_key_file: path }: ConfigFile,
  { env, cwd, folder }: { readonly env: Environment; readonly cwd: string; readonly folder: string },
): { readonly encryption_key_file?: string } {
  if (path === undefined) return {}
  return { encryption_key_file: resolve(env.TALLYGATE_ENCRYPTION_KEY_FILE ? cwd : folder, path) }
}

/** What should stand in the place of a file that is to be read and cannot be; null where there is none, or it can. */
export function encryptionKeyFileInstead({ encryption_key_file: path, encryption_key }: Config): string | null {
  if (path === undefined || encryption_key !== undefined) return null
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
  return isFile ? null : "a file that exists (relative to this file's folder)"
}
