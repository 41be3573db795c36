/** `tallygate prices check`: whether price files are sound, and when somebody last looked at what they say. */
import path from "node:path"
import type { Environment } from "../config/interpolate.ts"
import { PRICES_OLD_DAYS, type PriceAge, priceAge } from "../pricing/price-age.ts"
import { loadPriceBook, type PriceProblem } from "../pricing/price-book.ts"
import { type PriceFileText, readCatalog } from "../pricing/price-catalog.ts"
import { type CommandOutput, runCommand, toJson } from "./command.ts"
import { readConfig } from "./read-config.ts"
import { readNamedPriceTexts, readPriceTexts } from "./read-prices.ts"

const SHAPE = {
  name: "prices check",
  about:
    `Checks price files: the named ones alone, or else all of this installation. Says every mistake with its line, and\n` +
    `warns of a file in which nothing was compared with its source for more than ${PRICES_OLD_DAYS} days.`,
  options: {},
  words: { text: "[FILE...]", min: 0, max: Number.POSITIVE_INFINITY },
  exits: "0 sound, 1 problems found",
} as const

type FileReport = { readonly file: string; readonly models: number; readonly age: PriceAge | null }

/** Runs the command with the arguments that follow `prices check`; resolves with the exit code. */
export function runPricesCheck(
  args: readonly string[],
  env: Environment,
  cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ words, isJson }) => {
    const texts =
      words.length > 0
        ? await readNamedPriceTexts(words.map((word) => path.resolve(cwd, word)))
        : await readPriceTexts(readConfig(env, cwd).config)
    const loaded = loadPriceBook(texts)
    const problems = loaded.kind === "invalid" ? loaded.problems : []
    const files = reportsOf(texts, Date.now())
    if (isJson) out.stdout.write(toJson({ files, problems }))
    else {
      out.stderr.write(problems.map(problemLine).join(""))
      out.stdout.write(files.map(fileLine).join(""))
    }
    return problems.length === 0 ? 0 : 1
  })
}

function reportsOf(texts: readonly PriceFileText[], nowMs: number): FileReport[] {
  return texts.flatMap((text) => {
    const catalog = readCatalog(text)
    if (catalog.kind === "invalid") return []
    return [{ file: text.name, models: catalog.models.length, age: priceAge(catalog.models, nowMs) }]
  })
}

function problemLine({ file, line, path: key, found, expected }: PriceProblem): string {
  return `${file}:${line} ${key}: found ${found}, expected ${expected}\n`
}

function fileLine({ file, models, age }: FileReport): string {
  const count = models === 1 ? "1 model" : `${models} models`
  if (age === null) return `${file}: ${count}\n`
  const old = age.isOld ? `warning: nothing was compared with its source for ${age.days} days; ` : ""
  return `${file}: ${count}, ${old}checked between ${age.oldest} and ${age.newest}\n`
}
