/**
 * Builds the dashboard: `npm run dashboard:build`, and before every start with `--if-stale`, which does nothing where the
 * bundle is there and current. Text is compressed here once, so that the server never does. The new bundle takes the old
 * one's place as a whole. A start goes on without a bundle; the server then says at /dashboard how to make one.
 */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import path from "node:path"
import { brotliCompressSync, constants, gzipSync } from "node:zlib"
import { BUNDLE_FOLDER, builtDigest, DIGEST_FILE, sourceDigest } from "./freshness.ts"

const TEXT = /\.(js|css|svg|html)$/

/** Builds into a folder of its own and moves it into place. */
async function buildDashboard(): Promise<void> {
  const { build } = await import("vite")
  const { viteOptions } = await import("./vite-options.ts")
  const making = mkdtempSync(`${BUNDLE_FOLDER}-`)
  try {
    const digest = sourceDigest()
    await build(viteOptions(making))
    compress(making)
    writeFileSync(path.join(making, DIGEST_FILE), digest)
    chmodSync(making, 0o755)
    replaceBundle(making)
  } finally {
    rmSync(making, { recursive: true, force: true })
  }
}

function replaceBundle(making: string): void {
  rmSync(BUNDLE_FOLDER, { recursive: true, force: true })
  try {
    renameSync(making, BUNDLE_FOLDER)
  } catch (error) {
    // Another build may have been faster: its bundle is of the same sources.
    if (builtDigest() === null) throw error
  }
}

function compress(folder: string): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !TEXT.test(entry.name)) continue
    const file = path.join(entry.parentPath, entry.name)
    const bytes = readFileSync(file)
    writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }))
    writeFileSync(`${file}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }))
  }
}

async function main(): Promise<void> {
  const isBeforeStart = process.argv.includes("--if-stale")
  if (isBeforeStart && builtDigest() === sourceDigest()) return
  // Whoever started this may be a test run, for which React would be built in its slow and large form.
  process.env.NODE_ENV = "production"
  process.stdout.write("Building the dashboard, once for these sources …\n")
  try {
    await buildDashboard()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    process.stderr.write(`The dashboard was not built: ${reason}\n`)
    if (!isBeforeStart) process.exitCode = 1
    else process.stderr.write("Tallygate starts without it. `npm ci && npm run dashboard:build` builds it.\n")
  }
}

await main()
