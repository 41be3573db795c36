/** The price files of the installation as commands read them: the shipped ones, then those of `prices.files`. */
import { openPriceBook } from "../app/price-book.ts"
import { StartError } from "../app/start-error.ts"
import type { Config } from "../config/load.ts"
import type { PriceBook } from "../pricing/price-book.ts"
import type { PriceFileText } from "../pricing/price-catalog.ts"
import { readPriceFile, readPriceFiles } from "../pricing/price-files.ts"
import { CommandError } from "./command.ts"
import { PRICES_FOLDER, ROOT } from "./shipped-files.ts"

/** @throws CommandError where a file is missing or says something wrong */
export async function readPriceBook(config: Config): Promise<PriceBook> {
  try {
    return await openPriceBook(ROOT, config.prices.files)
  } catch (error) {
    throw error instanceof StartError ? new CommandError(error.message, { cause: error }) : error
  }
}

/** @throws CommandError where a file cannot be read */
export async function readPriceTexts(config: Config): Promise<PriceFileText[]> {
  return [...(await readPriceFiles(PRICES_FOLDER)), ...(await readNamedPriceTexts(config.prices.files))]
}

/** @throws CommandError where a file cannot be read */
export function readNamedPriceTexts(paths: readonly string[]): Promise<PriceFileText[]> {
  return Promise.all(
    paths.map(async (path) => {
      try {
        return { ...(await readPriceFile(path)), name: path }
      } catch (cause) {
        throw new CommandError(`the price file ${path} cannot be read.`, { cause })
      }
    }),
  )
}
