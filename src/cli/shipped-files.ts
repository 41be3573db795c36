/** Where the files stand that come with the program. */
import path from "node:path"

export const ROOT = path.dirname(path.dirname(import.meta.dirname))

export const MIGRATIONS_FOLDER = path.join(ROOT, "migrations")
export const PRICES_FOLDER = path.join(ROOT, "config", "prices")
