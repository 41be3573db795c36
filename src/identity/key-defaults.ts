/** What a project lets its members do by themselves: make keys, and what such keys are like. Stored with the project. */
import { z } from "zod"

export const keyDefaultsSchema = z.strictObject({
  /** Keys that a member may have in the project at the same time; 0: members make none. */
  keys_per_member_max: z.int().min(0).max(1_000).default(0),
  /** After how many days such a key expires at the latest; null: never. */
  expires_in_days_max: z.int().min(1).max(3_650).nullable().default(null),
  /** Globs over model names that such a key has, or may narrow further; null: every routed model. */
  allowed_models: z.array(z.string().min(1).max(256)).max(1_000).nullable().default(null),
  /** Tokens of such a key's one call at most; null: not capped. */
  max_output_tokens: z.int().positive().nullable().default(null),
})

/** As stored: what is absent is the default. */
export type KeyDefaults = z.input<typeof keyDefaultsSchema>

export function readKeyDefaults(stored: KeyDefaults): z.output<typeof keyDefaultsSchema> {
  return keyDefaultsSchema.parse(stored)
}
