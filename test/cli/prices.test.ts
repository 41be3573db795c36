/** `tallygate prices`: the book as people read it, costs that add up to the last decimal, and files that are wrong or old. */
import { readdirSync, writeFileSync } from "node:fs"
import path from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { type ConfigFolder, createConfigFolder } from "../support/config-folder.ts"
import { type Ran, tallygate } from "./run-command.ts"

const BOOK = `provider: acme
fees: { web_search: 0.01 }
models:
  acme-large:
    aliases: [acme-big]
    periods:
      - rates:
          standard: { input: 1, output: 3 }
      - from: 2026-03-01
        rates:
          standard: { input: 2.5, cache_read: 0.25, output: 10 }
          "standard>200000": { input: 5, output: 20 }
          batch: { input: 1.25, output: 5 }
    source: the test's own
    checked: 2026-11-01
  acme-voice:
    units: { second: 0.0001 }
    source: the test's own
    checked: 2026-11-01
`

let folder: ConfigFolder
beforeEach(() => {
  folder = createConfigFolder()
  write("acme.yaml", BOOK)
  write("proxy.config.yaml", "prices: { files: [acme.yaml] }\n")
})
afterEach(() => folder.remove())

function write(name: string, text: string): void {
  writeFileSync(path.join(folder.path, name), text)
}

function prices(...words: string[]): Promise<Ran> {
  return tallygate(["prices", ...words], { cwd: folder.path })
}

describe("tallygate prices explain", () => {
  test("an amount that is no whole number, or more of a part than of the whole, is wrong usage", async () => {
    for (const wrong of [
      [],
      ["--input", "1.5"],
      ["--output", "1", "--reasoning", "2"],
      ["--units", "7"],
      ["--at", "2026-02-30"],
    ]) {
      const { exitCode, stdout, stderr } = await prices("explain", "acme-large", ...wrong)
      expect([exitCode, stdout], wrong.join(" ")).toEqual([2, ""])
      expect(stderr).toMatch(/^tallygate prices explain: --/)
    }
  })

  test("what has no price is told as unpriced, never as 0", async () => {
    const cases: [words: string[], reason: string][] = [
      [["acme-small", "--input", "1"], "the price book does not list acme-small"],
      [["acme-large", "--input", "1", "--tier", "flex"], "acme/acme-large has no price for tier flex"],
      [["acme-voice", "--output", "5"], "has no rate for output"],
    ]
    for (const [words, reason] of cases) {
      const { exitCode, stdout, stderr } = await prices("explain", ...words)
      expect([exitCode, stdout], words.join(" ")).toEqual([1, ""])
      expect(stderr).toContain(reason)
    }
  })

  test("a cost is the sum of its lines, each with its own rate", async () => {
    const words = ["--input", "1000", "--cache-read", "3000", "--output", "7", "--web-searches", "2"]
    const { exitCode, stdout } = await prices("explain", "acme-big", ...words)
    expect(exitCode).toBe(0)
    expect(stdout).toBe(`acme/acme-large@2026-03-01/standard, checked 2026-11-01; source: the test's own
  class           count   USD                      cost in USD
  input            1000   2.5  per 1000000 tokens  0.0025
  cache_read       3000  0.25  per 1000000 tokens  0.00075
  output              7    10  per 1000000 tokens  0.00007
  fee:web_search      2  0.01  each                0.02
  total                                            0.02332
`)
  })

  test("the whole request moves up where its input, cached tokens included, is over the threshold", async () => {
    const { stdout } = await prices("explain", "acme/acme-large", "--input", "1", "--cache-read", "200000", "--json")
    expect(JSON.parse(stdout)).toMatchObject({
      price_row: "acme/acme-large@2026-03-01/standard>200000",
      lines: [
        { class: "input", rate_usd: "5", cost_usd: "0.000005" },
        { class: "cache_read", rated_as: "input", rate_usd: "5", cost_usd: "1" },
      ],
      cost_usd: "1.000005",
    })
  })

  test("prices are those of the day and the tier that are asked for, and of seconds where seconds are billed", async () => {
    const costOf = async (...words: string[]) =>
      JSON.parse((await prices("explain", ...words, "--json")).stdout).cost_usd
    expect(await costOf("acme-large", "--input", "100000")).toBe("0.25")
    expect(await costOf("acme-large", "--input", "100000", "--at", "2026-02-28")).toBe("0.1")
    expect(await costOf("acme-large", "--input", "100000", "--tier", "batch", "--provider", "acme")).toBe("0.125")
    expect(await costOf("acme-voice", "--units", "7.5:seconds")).toBe("0.00075")
  })
})

describe("tallygate prices list", () => {
  test("nothing found is no success, and says which providers there are", async () => {
    const { exitCode, stderr } = await prices("list", "--provider", "acne")
    expect(exitCode).toBe(1)
    expect(stderr).toContain("has no provider acne. It knows the providers acme, anthropic,")
  })

  test("each tier and threshold of a model has a line; aliases have none of their own", async () => {
    const { exitCode, stdout } = await prices("list", "--provider", "acme", "--model", "acme-l*")
    expect(exitCode).toBe(0)
    expect(stdout).toBe(
      `  acme/acme-large  standard                     input 2.5  cache_read 0.25  output 10  fee:web_search 0.01
  acme/acme-large  standard, input over 200000  input 5  output 20
  acme/acme-large  batch                        input 1.25  output 5  fee:web_search 0.01
`,
    )
  })

  test("programs get rates as decimal strings", async () => {
    const { prices: rows } = JSON.parse((await prices("list", "--model", "acme-voice", "--json")).stdout)
    expect(rows).toMatchObject([{ id: "acme/acme-voice@2026-11-01/standard", usd_per_unit: { second: "0.0001" } }])
  })

  test("a price book that is wrong is told with its lines", async () => {
    write("acme.yaml", BOOK.replace("2.5", "2,5"))
    const { exitCode, stdout, stderr } = await prices("list")
    expect([exitCode, stdout]).toEqual([1, ""])
    expect(stderr).toMatch(/tallygate prices list: the price book is wrong\.\nacme\.yaml:11 models\.acme-large\./)
  })
})

describe("tallygate prices check", () => {
  test("mistakes are told with their lines, of the files that are named alone", async () => {
    write("acme.yaml", BOOK.replace("input: 1,", "input: 1e3,"))
    const { exitCode, stderr } = await prices("check", "acme.yaml")
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(/acme\.yaml:8 models\.acme-large\.periods\.0\.rates\.standard\.input: found 1e3, expected /)
    expect(stderr.trim().split("\n")).toHaveLength(1)
    const missing = await prices("check", "nowhere.yaml")
    expect(missing.exitCode).toBe(1)
    expect(missing.stderr).toMatch(/the price file .*nowhere\.yaml cannot be read/)
  })

  test("a file at which nobody has looked for long is told, and is no mistake", async () => {
    write("old.yaml", BOOK.replaceAll("2026-11-01", "2019-01-31"))
    const { exitCode, stdout, stderr } = await prices("check", "old.yaml")
    expect([exitCode, stderr]).toEqual([0, ""])
    expect(stdout).toMatch(/old\.yaml: 2 models, warning: nothing was compared with its source for \d{4} days; /)
  })

  test("without names it is the shipped files and the configured ones", async () => {
    const { exitCode, stdout } = await prices("check", "--json")
    expect(exitCode).toBe(0)
    const { files, problems } = JSON.parse(stdout)
    expect(problems).toEqual([])
    const names = files.map(({ file }: { file: string }) => path.basename(file))
    const shipped = readdirSync(path.join(import.meta.dirname, "../../config/prices"))
    expect(names).toEqual([...shipped.toSorted(), "acme.yaml"])
    expect(files.at(-1)).toMatchObject({ models: 2, age: { newest: "2026-11-01", oldest: "2026-11-01" } })
  })
})
