/** Where the journal stands in the data directory. */
import path from "node:path"
import type { Config } from "../config/schema.ts"

export function journalFolder(config: Config): string {
  return path.join(config.data_dir, "journal")
}
