/** What the privacy routes are given and what they answer. */
import { z } from "@hono/zod-openapi"
import type { Erasure } from "../privacy/erasure.ts"

export type PrivacyOptions = {
  readonly erasure: Erasure
  /** How long records are kept of organizations that say nothing themselves, in days; null: for ever. */
  readonly defaultRetentionDays: number | null
}

const counts = z.record(z.string(), z.number()).openapi({ description: "Rows by table." })

export const endCustomerInput = z.string().min(1).max(128).openapi({
  description:
    "As calls name it: `user` or `safety_identifier` of OpenAI's requests, `metadata.user_id` of Anthropic's.",
})

export const previewOutput = z.object({ counts }).openapi("ErasurePreview", {
  description: "What would be changed, by table. A first look: rows may be counted that only hold a longer word.",
})

const erased = {
  state: z.enum(["done", "running"]).openapi({
    description: "running: nothing new comes in under the name any more; what is there is still being rewritten.",
  }),
  counts: counts.nullable().openapi({ description: "Rows that were changed, by table; null while it is running." }),
}
export const erasedCustomerOutput = z
  .object({
    pseudonym: z
      .string()
      .openapi({ description: "What stands in the place of the end-customer, in every record and sum." }),
    ...erased,
  })
  .openapi("ErasedEndCustomer")
export const erasedOutput = erased

export const retentionOutput = z
  .object({
    organization_id: z.string(),
    usage_retention_days: z
      .number()
      .nullable()
      .openapi({ description: "The organization's own; null: the installation's." }),
    default_days: z.number().nullable().openapi({ description: "The installation's; null: for ever." }),
    days: z
      .number()
      .nullable()
      .openapi({ description: "What this answer is about: what was asked for, else what is in force." }),
    before: z.string().nullable().openapi({ description: "Records from before this moment go." }),
    records: z.number().openapi({ description: "Records that would be deleted now. Their sums stay." }),
    oldest: z.string().nullable().openapi({ description: "Time of the oldest of them." }),
  })
  .openapi("Retention")
