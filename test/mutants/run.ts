/**
 * Makes one mistake after the other in a copy of the project (`mutants.ts`) and runs the quick suites on it: a mistake
 * that no suite notices survives, and the run fails. `npm run mutants` tries all; words after it choose those in whose file
 * or name one of them stands: `npm run mutants -- batch.lua "a rate"`.
 */
import { spawn } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { MUTANTS, type Mutant, SUITES, withMistake } from "./mutants.ts"

const ROOT = path.join(import.meta.dirname, "../..")
const COPIED = ["src", "test", "config", "docs", "package.json", "vitest.config.ts", "tsconfig.json"]
const AT_ONCE = 2
/** A mistake that makes a suite run for ever is noticed as well. */
const SUITE_MS_MAX = 240_000

const words = process.argv.slice(2)
const chosen = MUTANTS.filter(
  ({ file, what }) => words.length === 0 || words.some((word) => `${file} ${what}`.includes(word)),
)
const left = [...chosen]
const survivors: Mutant[] = []

function copyProject(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "tallygate-mutant-"))
  for (const name of COPIED) cpSync(path.join(ROOT, name), path.join(folder, name), { recursive: true })
  symlinkSync(path.join(ROOT, "node_modules"), path.join(folder, "node_modules"))
  return folder
}

/** Whether a suite of the copy fails, twice: one that a busy machine has made fail has noticed nothing. */
async function fails(folder: string, suite: string): Promise<boolean> {
  return (await failsOnce(folder, suite)) && (await failsOnce(folder, suite))
}

function failsOnce(folder: string, suite: string): Promise<boolean> {
  const vitest = path.join(folder, "node_modules/vitest/vitest.mjs")
  const args = [vitest, "run", "--config", "test/mutants/vitest.config.ts", suite]
  const env = { ...process.env, SIMULATION_RUNS: "300" }
  const child = spawn(process.execPath, args, { cwd: folder, stdio: "ignore", env })
  const timer = setTimeout(() => child.kill("SIGKILL"), SUITE_MS_MAX)
  return new Promise((resolve) => {
    child.on("exit", (code) => {
      clearTimeout(timer)
      resolve(code !== 0)
    })
  })
}

/** The suite that notices the mistake; null where none does. */
async function killer(folder: string, mutant: Mutant): Promise<string | null> {
  const file = path.join(folder, mutant.file)
  const text = readFileSync(file, "utf8")
  writeFileSync(file, withMistake(mutant, text))
  try {
    for (const suite of SUITES[mutant.part]) if (await fails(folder, suite)) return suite
    return null
  } finally {
    writeFileSync(file, text)
  }
}

async function work(): Promise<void> {
  const folder = copyProject()
  try {
    for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
      const suite = await killer(folder, mutant)
      if (suite === null) survivors.push(mutant)
      const end = suite === null ? "SURVIVES" : `killed by ${path.basename(suite)}`
      process.stdout.write(`${path.basename(mutant.file)}: ${mutant.what}: ${end}\n`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A suite that fails by itself would seem to notice everything. */
async function checkSuites(): Promise<void> {
  const folder = copyProject()
  try {
    for (const suite of new Set(chosen.flatMap(({ part }) => SUITES[part]))) {
      if (await fails(folder, suite)) throw new Error(`${suite} fails without any mistake`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

if (chosen.length === 0) throw new Error(`no mutant is called ${words.join(" ")}`)
await checkSuites()
await Promise.all(Array.from({ length: AT_ONCE }, work))
process.stdout.write(`${chosen.length - survivors.length} of ${chosen.length} mutants killed\n`)
if (survivors.length > 0) process.exitCode = 1
