/** How the explanation of a record's cost is described to readers of the API. */
import { z } from "@hono/zod-openapi"

const line = z
  .object({
    class: z.string().openapi({
      description:
        "A token class, unit:second, fee:web_search; terms for markup and discount; reported or correction where a cost was named; not_split for what the price row does not account for.",
    }),
    rated_as: z.string().nullable().openapi({ description: "The class whose rate was taken." }),
    count: z.string().nullable(),
    unit: z.string().nullable().openapi({ description: "token, call, second, image …" }),
    rate_usd: z.string().nullable().openapi({ description: "Dollars for `per` of the unit." }),
    per: z.number().nullable(),
    tier: z.string().nullable(),
    context_over: z.number().nullable().openapi({
      description: "The rates are those of requests with more input tokens than this; 0: of all others.",
    }),
    multiplier: z
      .string()
      .nullable()
      .openapi({ description: "What the rate was multiplied by; on the line terms, what all lines above were." }),
    is_fee: z.boolean(),
    amount_usd: z.string(),
  })
  .openapi("ExplainedLine")

export const explanationOutput = z
  .object({
    id: z.string(),
    time: z.string(),
    organization_id: z.string(),
    provider: z.string(),
    model: z.string(),
    state: z.enum(["priced", "reported", "unpriced", "unmetered", "free", "correction"]),
    is_estimated: z.boolean(),
    price: z
      .object({
        row: z.string(),
        is_in_book: z.boolean(),
        tier: z.string().nullable(),
        context_over: z.number().nullable(),
        region: z.string().nullable().openapi({ description: "Where the price has a multiplier for it." }),
        terms: z
          .object({ id: z.string(), markup_percent: z.string().nullable(), discount_percent: z.string().nullable() })
          .nullable()
          .openapi({ description: "The organization's markup and discount, where they changed the cost." }),
        effective_from: z.string().nullable(),
        source: z.string().nullable(),
        checked: z.string().nullable(),
      })
      .nullable(),
    lines: z.array(line).readonly().openapi({ description: "They add up to cost_usd exactly." }),
    cost_usd: z.string().nullable(),
    adjustments: z
      .array(
        z.object({
          id: z.string(),
          booked_at: z.string(),
          reason: z.string(),
          source: z.string().openapi({ description: "`reprice`, or `correction` by an admin." }),
          price_row: z.string(),
          counts: z.record(z.string(), z.string()).readonly(),
          cost_usd: z.string().nullable(),
        }),
      )
      .readonly(),
    total_usd: z.string().nullable().openapi({ description: "The cost and its adjustments; null: not known." }),
    says: z.array(z.string()).readonly().openapi({ description: "The same in words." }),
    next: z.string().nullable().openapi({ description: "What to do about it." }),
  })
  .openapi("Explanation")
