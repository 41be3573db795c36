/** `tallygate prices list`: the prices in force, model by model and tier by tier. */
import type { Environment } from "../config/interpolate.ts"
import { matchesGlob } from "../platform/glob.ts"
import type { PriceBook } from "../pricing/price-book.ts"
import type { PriceRow, RateSheet } from "../pricing/price-row.ts"
import { shownFigures, shownRates, shownRegions, shownRow } from "../pricing/shown-price.ts"
import { CommandError, type CommandOutput, runCommand, toJson, WrongUsage } from "./command.ts"
import { readInstant } from "./instant.ts"
import { listSet } from "./prices-list-set.ts"
import { readConfig } from "./read-config.ts"
import { readPriceBook } from "./read-prices.ts"
import { alignColumns } from "./text-table.ts"

const SHAPE = {
  name: "prices list",
  about:
    "Lists the prices in force: dollars per 1,000,000 tokens by class, then units and fees. The shipped price book and\n" +
    "the files under prices.files; what is not listed here is recorded as unpriced, never as 0.",
  options: {
    provider: { type: "string", value: "P", text: "only this provider, as the price book names it" },
    model: { type: "string", value: "GLOB", text: "only models of this name; * is any run of characters" },
    at: { type: "string", value: "DATE", text: "the prices in force then (default: now)" },
    live: { type: "boolean", text: "instead the prices that were set at the Tallygate at TALLYGATE_URL" },
    organization: { type: "string", value: "ORG", text: "with --live: those of this organization" },
  },
  exits: "0 listed, 1 nothing is listed, or the price book is wrong",
} as const

/** Runs the command with the arguments that follow `prices list`; resolves with the exit code. */
export function runPricesList(
  args: readonly string[],
  env: Environment,
  cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ values, isJson }) => {
    if (values.live === true) return listSet(env, values, isJson, out)
    if (values.organization !== undefined) throw new WrongUsage("--organization needs --live")
    const atMs = values.at === undefined ? Date.now() : readInstant("at", values.at)
    const book = await readPriceBook(readConfig(env, cwd).config)
    const rows = rowsOf(book, values.provider, values.model ?? "*", atMs)
    if (rows.length === 0) throw new CommandError(nothing(book, values.provider))
    if (isJson) out.stdout.write(toJson({ prices: rows.flatMap(toData) }))
    else out.stdout.write(`${alignColumns(rows.flatMap(toCells)).join("\n")}\n`)
    return 0
  })
}

function rowsOf(book: PriceBook, wanted: string | undefined, glob: string, atMs: number): PriceRow[] {
  const providers = book.providers().filter((provider) => wanted === undefined || provider === wanted)
  return providers.flatMap((provider) =>
    book
      .models(provider)
      .filter((model) => matchesGlob(glob, model))
      .flatMap((model) => {
        const found = book.tiers({ provider, model, atMs })
        // An alias finds its model's rows: they stand under the model's own name.
        return found.kind === "found" ? found.rows.filter((row) => row.model === model) : []
      }),
  )
}

function nothing(book: PriceBook, provider: string | undefined): string {
  const known = `It knows the providers ${book.providers().join(", ")}.`
  if (provider !== undefined && !book.providers().includes(provider)) {
    return `the price book has no provider ${provider}. ${known}`
  }
  return `the price book lists no such model at that time. ${known}`
}

function toCells(row: PriceRow): string[][] {
  const extras = [
    ...shownFigures(row.units, "unit"),
    ...shownFigures(row.fees, "fee"),
    ...shownRegions(row.regions).map(([region, multiplier]) => [`region:${region}`, `×${multiplier}`]),
  ]
  return row.sheets.map((sheet, index) => [
    `${row.provider}/${row.model}`,
    tierOf(row, sheet),
    [...shownRates(sheet), ...(index === 0 ? extras : [])].map(([name, usd]) => `${name} ${usd}`).join("  "),
  ])
}

function toData(row: PriceRow): object[] {
  const { sheets, ...shown } = shownRow(row)
  const { tier, model, effective_from, usd_per_unit, usd_per_call, regions, source, checked } = shown
  return sheets.map(({ price_row: id, context_over, usd_per_1m_tokens }) => ({
    ...{ id, provider: row.provider, model, tier, context_over, effective_from },
    ...{ usd_per_1m_tokens, usd_per_unit, usd_per_call, regions, source, checked },
  }))
}

function tierOf({ tier }: PriceRow, { contextOver }: RateSheet): string {
  return contextOver === 0 ? tier : `${tier}, input over ${contextOver}`
}
