/** The price book: sound, and looked at lately: the files of the installation's own, and those of the configured providers. */
import { configuredProviders } from "../../app/configured-providers.ts"
import type { Config } from "../../config/load.ts"
import { PRICES_OLD_DAYS, priceAge } from "../../pricing/price-age.ts"
import { loadPriceBook } from "../../pricing/price-book.ts"
import { readCatalog } from "../../pricing/price-catalog.ts"
import { readPriceTexts } from "../read-prices.ts"
import { type Finding, ok, problem, warning } from "./finding.ts"

const FIX_OLD =
  "Compare the file with the provider's price page and set `checked`; newer versions of Tallygate bring newer files, and a file under prices.files adds what is missing."

export async function checkPrices(config: Config, nowMs: number): Promise<Finding[]> {
  const texts = await readPriceTexts(config)
  const loaded = loadPriceBook(texts)
  if (loaded.kind === "invalid") {
    return loaded.problems.map(({ file, line, path, found, expected }) =>
      problem(
        "prices",
        `${file}:${line} ${path}: found ${found}, expected ${expected}.`,
        "Mend that line; `tallygate prices check` tells when it is right.",
      ),
    )
  }
  const used = new Set(configuredProviders(config).map(({ pricedAs, name }) => pricedAs || name))
  const looked = texts.flatMap((text) => {
    const catalog = readCatalog(text)
    const isOwn = config.prices.files.includes(text.name)
    const models = catalog.kind === "read" ? catalog.models.filter(({ provider }) => isOwn || used.has(provider)) : []
    const age = priceAge(models, nowMs)
    return age === null ? [] : [{ file: text.name, age }]
  })
  const old = looked.flatMap(({ file, age }) => (age.isOld ? [oldFile(file, age.days)] : []))
  const found = `${texts.length} files; those in use were looked at within ${PRICES_OLD_DAYS} days`
  return old.length > 0 ? old : [ok("prices", found)]
}

function oldFile(file: string, days: number): Finding {
  return warning("prices", `Nothing in ${file} was compared with its source for ${days} days.`, FIX_OLD)
}
