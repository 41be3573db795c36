import { readFileSync } from "node:fs"
import path from "node:path"
import { expect, it } from "vitest"
import { MUTANTS, SUITES, withMistake } from "./mutants.ts"

const ROOT = path.join(import.meta.dirname, "../..")

it("are all mistakes that can still be made: each changes exactly one place of its file", () => {
  expect(MUTANTS.length).toBeGreaterThanOrEqual(40)
  for (const mutant of MUTANTS) {
    const text = readFileSync(path.join(ROOT, mutant.file), "utf8")
    expect(withMistake(mutant, text), mutant.what).not.toBe(text)
  }
  const names = MUTANTS.map(({ file, what }) => `${file}: ${what}`)
  expect(new Set(names).size).toBe(names.length)
})

it("are looked for by suites that there are", () => {
  for (const suites of Object.values(SUITES)) {
    for (const suite of suites) expect(() => readFileSync(path.join(ROOT, suite))).not.toThrow()
  }
})
