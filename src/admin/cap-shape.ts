/** How the caps on one call are written and shown in the admin API, the same on a key and on a project. */
import { z } from "@hono/zod-openapi"
import { CAP_POLICIES, type CapChanges } from "../identity/call-caps.ts"
import { type CapRow, capsFrom } from "../identity/cap-row.ts"
import { formatUsd, PICOS_PER_NANO } from "../pricing/money.ts"
import { readCap } from "./limit-shape.ts"

const DOLLARS = 'must be a decimal string such as "0.50", since a JSON number would be rounded'

const tokensInput = z.int().positive().nullable().optional()

/** Nano-dollars, once read. */
const costInput = z
  .string({ error: DOLLARS })
  .max(40)
  .openapi({ description: 'A decimal string in dollars ("0.50").' })
  .transform((text, context): bigint => {
    const nanos = readCap("usd", text)
    if (typeof nanos === "bigint") return nanos
    context.addIssue({ code: "custom", message: nanos })
    return z.NEVER
  })

/** Members of a key or a project as an admin sends them: absent is unchanged, null lifts the cap. */
export const capMembers = {
  max_output_tokens: tokensInput.openapi({ description: "Output tokens of one call at most; null: not capped." }),
  max_input_tokens: tokensInput.openapi({ description: "Input tokens of one call at most; null: not capped." }),
  max_cost_usd: costInput.nullable().optional(),
  cap_policy: z
    .enum(CAP_POLICIES)
    .optional()
    .openapi({
      description:
        "What happens to a call that asks for more output than the caps leave it: clamp lowers what it asks for, deny " +
        "refuses it. Where both a key and its project cap calls, the smaller cap counts, and deny before clamp.",
    }),
}

const capsObject = z.object(capMembers)

/** The changes that the members say. */
export function capChanges(input: z.output<typeof capsObject>): CapChanges {
  return {
    outputTokensMax: input.max_output_tokens,
    inputTokensMax: input.max_input_tokens,
    costNanosMax: input.max_cost_usd,
    policy: input.cap_policy,
  }
}

/** Members of a key or a project as they are shown. */
export const capOutput = {
  max_output_tokens: z.number().nullable(),
  max_input_tokens: z.number().nullable(),
  max_cost_usd: z.string().nullable(),
  cap_policy: z.enum(CAP_POLICIES),
}
const shownObject = z.object(capOutput)

/** The caps of the row itself, whatever others apply beside them. */
export function shownCaps(row: CapRow): z.infer<typeof shownObject> {
  const { outputTokensMax, inputTokensMax, costNanosMax, policy } = capsFrom(row)
  return {
    max_output_tokens: outputTokensMax,
    max_input_tokens: inputTokensMax,
    max_cost_usd: costNanosMax === null ? null : formatUsd(costNanosMax * PICOS_PER_NANO),
    cap_policy: policy,
  }
}
