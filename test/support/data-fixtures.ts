/** Data directories of earlier versions, one for each that was released; `make-data-fixture.ts` makes the next one. */
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import path from "node:path"
import { constants, zstdDecompressSync } from "node:zlib"

/** What a version's data directory holds, by the word of the version that wrote it. */
export type DataFixture = {
  readonly version: string
  readonly adminKey: string
  /** A key with limits whose windows never end; it opens nothing but the fixture. */
  readonly key: { readonly id: string; readonly key: string }
  /** Records of calls that had ended. */
  readonly records: readonly { readonly id: string; readonly cost_usd: string; readonly output_tokens: number }[]
  /** The call that was under way when the process was killed; its journal alone knows it. */
  readonly cutCallId: string
}

export const FIXTURES_FOLDER = path.join(import.meta.dirname, "../fixtures")
/** Three copies of Postgres's own catalogs lie megabytes apart: the window must reach from one to the next. */
export const WINDOW_LOG = 27

export function dataFixtures(): DataFixture[] {
  return readdirSync(FIXTURES_FOLDER)
    .filter((name) => /^data-.+\.json$/.test(name))
    .map((name) => JSON.parse(readFileSync(path.join(FIXTURES_FOLDER, name), "utf8")) as DataFixture)
}

/** Unpacks a version's data directory; returns where it stands. */
export function unpackData({ version }: DataFixture, folder: string): string {
  mkdirSync(folder, { recursive: true })
  const packed = readFileSync(path.join(FIXTURES_FOLDER, `data-${version}.tar.zst`))
  const tar = zstdDecompressSync(packed, { params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG } })
  execFileSync("tar", ["-x", "-C", folder], { input: tar })
  return path.join(folder, "data")
}
