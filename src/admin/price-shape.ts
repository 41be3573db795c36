/**
 * How prices and terms are written and shown in the admin API: in the words of a price file, every figure a decimal string,
 * judged by the schema that judges price files.
 */
import { z } from "@hono/zod-openapi"
import { ApiError } from "../platform/error-table.ts"
import { effectivePrice, type PriceSources } from "../pricing/effective-price.ts"
import { parseUsd } from "../pricing/money.ts"
import type { NewPrice, PriceRowStored, PriceText } from "../pricing/price-registry.ts"
import { formatPercent, type PriceTerms, percentToPpm } from "../pricing/price-terms.ts"
import { readPeriod } from "../pricing/read-period.ts"
import { shownFigures, shownRegions } from "../pricing/shown-price.ts"
import type { TermsRow } from "../pricing/terms-registry.ts"
import type { Router } from "../providers/router.ts"
import { idInput, iso } from "./answers.ts"

/** The prices of the moment, and as whose prices a configured provider's are looked up. */
export type PricesNow = () => PriceSources & { readonly router: Pick<Router, "providers"> }

export const instantInput = z.iso.datetime({ offset: true })
const NAMES_MAX = 100
const names = z.array(z.string().max(200)).max(NAMES_MAX).optional()
const figures = z.record(z.string(), z.string().max(30))

const priceMembers = {
  aliases: names.openapi({ description: "Other ids of the model." }),
  prefixes: names.openapi({ description: "Beginnings of ids of its later snapshots." }),
  rates: z
    .record(z.string(), figures)
    .optional()
    .openapi({
      description:
        "Dollars per 1,000,000 tokens by class, by tier: standard, batch, flex, priority, fast; `standard>200000` holds " +
        "for a request whose whole input is larger.",
      example: { standard: { input: "2.5", cache_read: "0.25", output: "10" } },
    }),
  units: z
    .record(z.string(), z.unknown())
    .optional()
    .openapi({ description: "Dollars per second, character, image, page, search …; images by quality and size." }),
  fees: figures.optional().openapi({
    description: "Dollars per call of a provider's tool. Absent: those of the price that it takes the place of.",
  }),
  regions: figures.optional().openapi({
    description: "Multipliers of the token rates by the region of the account: `1.1`. Absent: as with fees.",
  }),
}

const noteInput = z.string().max(2_000).optional()
const effectiveFrom = instantInput.optional().openapi({
  description:
    "Calls that arrive from then on are priced by it; now unless told. In the past it also holds for what is priced anew; " +
    "records that are written stay as they are.",
})

export const newPrice = z
  .strictObject({
    organization_id: idInput.optional().openapi({ description: "Whose price it is; absent: the installation's." }),
    provider: z.string().min(1).max(100).openapi({ description: "As price files name it." }),
    model: z.string().regex(/^\S{1,200}$/, "must be an id of at most 200 characters without spaces"),
    ...priceMembers,
    effective_from: effectiveFrom,
    source: z.string().trim().min(1).max(500).optional().openapi({ description: "Where the figures come from." }),
    note: noteInput,
  })
  .superRefine((wanted, context) => {
    const read = readPeriod(priceTextOf(wanted))
    if (read.kind === "read") return
    for (const { path, message } of read.issues) {
      context.addIssue({ code: "custom", path: [...path], message: `expected ${message}` })
    }
  })
  .openapi("NewPrice")

/** The price alone, as it is stored: JSON leaves out what is undefined. */
export function priceTextOf({ aliases, prefixes, rates, units, fees, regions }: PriceText): PriceText {
  return { aliases, prefixes, rates, units, fees, regions }
}

type NewPriceOf = Pick<NewPrice, "organizationId" | "provider" | "model" | "effectiveFrom">

/** A price that does not say fees or regions has those of the price whose place it takes. */
export function withBefore(sources: PriceSources, of: NewPriceOf, price: PriceText): PriceText {
  const { organizationId, provider, model, effectiveFrom } = of
  const asked = { provider, model, tier: "standard", region: "", atMs: effectiveFrom.getTime() }
  const before = effectivePrice(sources, { ...asked, organizationId: organizationId ?? "" })
  if (before.kind === "unpriced") return price
  const { fees, regions } = before.row
  return {
    ...price,
    fees: price.fees ?? Object.fromEntries(shownFigures(fees)),
    regions: price.regions ?? Object.fromEntries(shownRegions(regions)),
  }
}

export const priceOutput = z
  .object({
    id: z.string(),
    organization_id: z.string().nullable().openapi({ description: "null: the installation's." }),
    provider: z.string(),
    model: z.string(),
    aliases: z.array(z.string()),
    prefixes: z.array(z.string()),
    rates: z.record(z.string(), z.record(z.string(), z.string())),
    units: z.record(z.string(), z.unknown()),
    fees: z.record(z.string(), z.string()),
    regions: z.record(z.string(), z.string()),
    source: z.string(),
    note: z.string(),
    effective_from: z.string(),
    ended_at: z.string().nullable(),
    created_by: z.string(),
    created_at: z.string(),
  })
  .openapi("Price")

export function shownPrice(row: PriceRowStored): z.infer<typeof priceOutput> {
  const { aliases = [], prefixes = [], rates = {}, units = {}, fees = {}, regions = {} } = row.price
  return {
    id: row.id,
    organization_id: row.organization_id,
    provider: row.provider,
    model: row.model,
    aliases: [...aliases],
    prefixes: [...prefixes],
    rates: { ...rates } as Record<string, Record<string, string>>,
    units: { ...units },
    fees: { ...fees },
    regions: { ...regions },
    source: row.source,
    note: row.note,
    effective_from: row.effective_from.toISOString(),
    ended_at: iso(row.ended_at),
    created_by: row.created_by,
    created_at: row.created_at.toISOString(),
  }
}

const MARKUP_PERCENT_MAX = 1_000
const percent = (max: number) =>
  z.string().refine((text) => isPercent(text, max), {
    error: `must be a decimal string from 0 to ${max}, of at most 4 places, such as "12.5"`,
  })
const usdPerMillion = z.string().refine(isUsd, { error: 'must be a decimal string of dollars, such as "15.00"' })

function isPercent(text: string, max: number): boolean {
  const ppm = percentToPpm(text)
  return ppm !== null && ppm <= BigInt(max) * 10_000n
}

function isUsd(text: string): boolean {
  const money = parseUsd(text)
  return money.kind === "parsed" && money.picos >= 0n
}

const ceiling = z.object({ input_usd_per_1m: z.string(), output_usd_per_1m: z.string() })

export const termsInput = z
  .strictObject({
    provider: z.string().min(1).max(100).optional().openapi({
      description: "As price files name it; absent: every provider that has no terms of its own.",
    }),
    markup_percent: percent(MARKUP_PERCENT_MAX).default("0"),
    discount_percent: percent(100).default("0"),
    ceiling: z
      .strictObject({ input_usd_per_1m: usdPerMillion, output_usd_per_1m: usdPerMillion })
      .nullable()
      .default(null)
      .openapi({
        description:
          "What a token of a model without a price costs at most; null: keys with a money budget are refused such models.",
      }),
    effective_from: effectiveFrom,
    note: noteInput,
  })
  .openapi("NewPriceTerms")

export const termsOutput = z
  .object({
    id: z.string(),
    organization_id: z.string(),
    provider: z.string().nullable().openapi({ description: "null: every provider that has no terms of its own." }),
    markup_percent: z.string(),
    discount_percent: z.string(),
    ceiling: ceiling.nullable(),
    note: z.string(),
    effective_from: z.string(),
    ended_at: z.string().nullable(),
    created_by: z.string(),
    created_at: z.string(),
  })
  .openapi("PriceTerms")

export function shownTerms(row: TermsRow): z.infer<typeof termsOutput> {
  const { ceiling_input_usd: input, ceiling_output_usd: output } = row
  return {
    id: row.id,
    organization_id: row.organization_id,
    provider: row.provider || null,
    markup_percent: row.markup_percent,
    discount_percent: row.discount_percent,
    ceiling: input === null || output === null ? null : { input_usd_per_1m: input, output_usd_per_1m: output },
    note: row.note,
    effective_from: row.effective_from.toISOString(),
    ended_at: iso(row.ended_at),
    created_by: row.created_by,
    created_at: row.created_at.toISOString(),
  }
}

/** The terms of the moment, for whoever asks what applies. */
export const termsInForce = termsOutput
  .pick({ id: true, provider: true, markup_percent: true, discount_percent: true, ceiling: true })
  .openapi("PriceTermsInForce")

export function shownInForce(terms: PriceTerms, usd: (picos: bigint) => string): z.infer<typeof termsInForce> {
  return {
    id: terms.id,
    provider: terms.provider || null,
    markup_percent: formatPercent(terms.markupPpm),
    discount_percent: formatPercent(terms.discountPpm),
    ceiling: terms.ceiling && {
      input_usd_per_1m: usd(terms.ceiling.inputPicos),
      output_usd_per_1m: usd(terms.ceiling.outputPicos),
    },
  }
}

/** Providers of whom somebody asks prices: those of the price files, and those that calls go to. */
export function pricedProviders(prices: PricesNow): ReadonlySet<string> {
  const { priceBook, router } = prices()
  return new Set([...priceBook.providers(), ...[...router.providers.values()].map(({ pricedAs }) => pricedAs)])
}

/** A price under a name that nobody asks for would do nothing. @throws ApiError */
export function requireKnownProvider(prices: PricesNow, provider: string): void {
  const known = pricedProviders(prices)
  if (known.has(provider)) return
  const message = `provider: there is no provider \`${provider}\` whose prices are asked for. There are ${[...known].sort().join(", ")}.`
  throw new ApiError("invalid_request", message, { param: "provider" })
}

/** The end that was asked for, or now; an end in the past would change what has been priced. @throws ApiError */
export function readEnd(at: string | undefined, nowMs: number): Date {
  const end = at === undefined ? new Date(nowMs) : new Date(at)
  if (end.getTime() >= nowMs) return end
  throw new ApiError("invalid_request", "at: must not lie in the past; absent, it is now.", { param: "at" })
}
