/**
 * The shape of a price file. Every scalar arrives as the text that stands in the file, never as a float; a message
 * says what was expected, since the place and what was found are added from the file itself.
 */
import { z } from "zod"
import { parseUsd } from "./money.ts"
import { TOKEN_CLASSES } from "./price-row.ts"
import { readMultiplier } from "./region.ts"

const usd = z.string("a decimal number of dollars").transform((text, context) => {
  const money = parseUsd(text)
  if (money.kind === "parsed" && money.picos >= 0n) return money.picos
  context.addIssue({ code: "custom", message: money.kind === "invalid" ? money.reason : "no negative price" })
  return z.NEVER
})

/** `2026-03-13` (midnight UTC) or `2026-03-13T16:00:00Z`. */
const instant = z.string("a date").transform((text, context) => {
  const atMs = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\dZ)?$/.test(text) ? Date.parse(text) : Number.NaN
  // Date.parse rolls 30 February over into March.
  if (!Number.isNaN(atMs) && new Date(atMs).toISOString().startsWith(text.slice(0, 10))) return { text, atMs }
  context.addIssue({ code: "custom", message: "a date such as 2026-03-13, or an instant such as 2026-03-13T16:00:00Z" })
  return z.NEVER
})

const name = z.string("a name").regex(/^\S{1,200}$/, "a name of at most 200 characters without spaces")

const rates = z
  .partialRecord(z.enum(TOKEN_CLASSES), usd, `rates by class: ${TOKEN_CLASSES.join(", ")}`)
  .refine((record) => Object.keys(record).length > 0, "at least one rate (0 for a class that is free)")

/** By tier, and `tier>N` for the rates that hold when the whole input exceeds N tokens. */
const rateTable = z
  .record(
    z.string().regex(/^[a-z][a-z_]*(?:>[1-9]\d{0,8})?$/, "a tier such as standard or standard>272000"),
    rates,
    "rates by tier",
  )
  .superRefine((table, context) => {
    for (const key of Object.keys(table)) {
      const [tier = "", over] = key.split(">")
      if (over !== undefined && !(tier in table)) {
        context.addIssue({ code: "custom", path: [key], message: `rates for ${tier} itself beside those over ${over}` })
      }
    }
  })

/** Dollars per unit: `second: 0.4`, or by quality and size, where `default` is what holds without one. */
export type UnitTable = { readonly [qualifier: string]: bigint | UnitTable }
const unitTable: z.ZodType<UnitTable> = z.lazy(() =>
  z.record(
    z.string().regex(/^[\w.-]+$/, "a unit, quality or size"),
    z.union([usd, unitTable], "dollars per unit"),
    "prices by unit",
  ),
)

const fees = z.record(z.string().regex(/^[a-z_]+$/, "a tool's name such as web_search"), usd, "dollars per call")

/** Token rates of a region as multiples of the model's: `us: 1.1`. */
const regions = z.record(
  z.string().regex(/^[\w.-]{1,64}$/, "a region's name"),
  z.string("a multiplier").transform((text, context) => {
    const multiplier = readMultiplier(text)
    if (multiplier !== null) return multiplier
    context.addIssue({ code: "custom", message: "a multiplier such as 1.1, above 0 and of at most 4 places" })
    return z.NEVER
  }),
  "multipliers by region",
)

const parts = {
  rates: rateTable.optional(),
  units: unitTable.optional(),
  fees: fees.optional(),
  regions: regions.optional(),
}
const period = z.strictObject({ from: instant.optional(), ...parts })

const names = {
  aliases: z.array(name, "a list of ids").default([]),
  prefixes: z.array(name, "a list of id beginnings").default([]),
}

/** A price as it is set by API: how ids find it, and one period of it, in the words of a price file. */
export const periodOfModel = z
  .strictObject({ ...names, ...parts }, "a price: rates, units, fees, regions, aliases, prefixes")
  .refine(isPriced, "rates or units")

export type PeriodOfModel = z.output<typeof periodOfModel>

const model = z
  .strictObject(
    {
      ...period.shape,
      ...names,
      /** Prices that changed: oldest first, in place of `from`, `rates` and `units` on the model itself. */
      periods: z.array(period, "a list of periods").min(1, "at least one period").optional(),
      source: z.string("where the figures come from").min(1, "where the figures come from"),
      checked: instant,
      note: z.string("a sentence").optional(),
    },
    "a model's prices",
  )
  .superRefine((entry, context) => {
    const own = entry.from ?? entry.rates ?? entry.units
    if (entry.periods !== undefined && own !== undefined) {
      context.addIssue({
        code: "custom",
        path: ["periods"],
        message: "either periods, or rates and units on the model",
      })
    }
    for (const [index, part] of (entry.periods ?? [entry]).entries()) {
      const path = entry.periods === undefined ? [] : ["periods", index]
      if (!isPriced(part)) {
        context.addIssue({ code: "custom", path, message: "rates or units" })
      }
      const previous = entry.periods?.[index - 1]
      if (previous !== undefined && !((part.from?.atMs ?? -Infinity) > (previous.from?.atMs ?? -Infinity))) {
        context.addIssue({ code: "custom", path: [...path, "from"], message: "a date after that of the period before" })
      }
    }
  })

function isPriced({ rates, units }: { readonly rates?: unknown; readonly units?: unknown }): boolean {
  return rates !== undefined || units !== undefined
}

export const priceFile = z.strictObject(
  {
    provider: z.string("the provider's name").regex(/^[a-z][a-z\d-]*$/, "the provider's name in lower case"),
    /** Tool fees of every model that names none of its own. */
    fees: fees.default({}),
    /** Multipliers of every model that names none of its own for the region. */
    regions: regions.default({}),
    models: z.record(name, model, "prices by model id"),
  },
  "a price file: provider, fees, regions, models",
)

export type PriceFile = z.output<typeof priceFile>
export type PricedModel = PriceFile["models"][string]
