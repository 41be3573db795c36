/** The price book of the installation: the shipped files, and those that the configuration adds. */
import path from "node:path"
import { loadPriceBook, type PriceBook, type PriceProblem } from "../pricing/price-book.ts"
import { readPriceFile, readPriceFiles } from "../pricing/price-files.ts"
import type { Provider } from "../providers/router.ts"
import { StartError } from "./start-error.ts"

/** @throws StartError where a file is missing or says something wrong; nothing is guessed. */
export async function openPriceBook(root: string, files: readonly string[]): Promise<PriceBook> {
  const shipped = await readPriceFiles(path.join(root, "config", "prices"))
  const own = await Promise.all(files.map(readOwn))
  const loaded = loadPriceBook(own, shipped)
  if (loaded.kind === "loaded") return loaded.book
  throw wrong(loaded.problems)
}

/** Opens the prices of these providers, so that no call waits for them. @throws StartError where they are wrong */
export function preparePrices(book: PriceBook, providers: Iterable<Pick<Provider, "pricedAs">>): void {
  for (const { pricedAs } of providers) {
    const problems = book.prepare(pricedAs)
    if (problems.length > 0) throw wrong(problems)
  }
}

function wrong(problems: readonly PriceProblem[]): StartError {
  const lines = problems.map(
    ({ file, line, path: key, found, expected }) => `${file}:${line} ${key}: found ${found}, expected ${expected}`,
  )
  return new StartError(`the price book is wrong.\n${lines.join("\n")}`)
}

async function readOwn(file: string) {
  try {
    return await readPriceFile(file)
  } catch (cause) {
    throw new StartError(`the price file ${file} (prices.files) cannot be read.`, { cause })
  }
}
