/**
 * Whether the built bundle is what its sources would give: a digest over the sources and over the versions of the
 * packages that it is built from and with. Times of files would lie after a clone, a checkout or a copy into an image.
 */
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import path from "node:path"

/** Where the build puts its files: not among the sources, so that whoever reads those meets none that come and go. */
export const BUNDLE_FOLDER = path.join(import.meta.dirname, "../../.dashboard")
const SOURCES = import.meta.dirname
const PACKAGE_FILE = path.join(import.meta.dirname, "../../package.json")
/** Within the bundle: the digest of what it was built from. */
export const DIGEST_FILE = ".built-from"

/** Hexadecimal digest of all that decides about the bundle. */
export function sourceDigest(): string {
  const hash = createHash("sha256")
  const files = readdirSync(SOURCES, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort()
  for (const file of files) hash.update(path.relative(SOURCES, file)).update("\0").update(readFileSync(file))
  const { devDependencies } = JSON.parse(readFileSync(PACKAGE_FILE, "utf8"))
  return hash.update(JSON.stringify(devDependencies)).digest("hex")
}

/** The digest that the bundle was built from; null where there is no bundle. */
export function builtDigest(): string | null {
  const file = path.join(BUNDLE_FOLDER, DIGEST_FILE)
  return existsSync(file) ? readFileSync(file, "utf8") : null
}
