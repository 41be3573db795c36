/** How a virtual key is written, changed and shown in the admin API. */
import { z } from "@hono/zod-openapi"
import { ipRangeFault } from "../identity/ip-allow.ts"
import { type KeyChanges, UNMETERED_POLICIES, type VirtualKeyRow } from "../identity/key-registry.ts"
import { LIMITS_PER_SUBJECT_MAX } from "../identity/limit-registry.ts"
import { capChanges, capMembers, capOutput, shownCaps } from "./cap-shape.ts"
import { limitInput, limitOutput, shownLimit } from "./limit-shape.ts"

const LIST_MAX = 1000

const nameInput = z.string().trim().min(1).max(200)

const modelGlob = z.string().min(1).max(256)

/** A path in place of a name would silently match nothing. */
const endpointGlob = z
  .string()
  .max(100)
  .regex(/^[\w.*-]+$/, 'must be an endpoint\'s name such as "chat.completions", or a glob with * such as "files.*"')

const ipRange = z
  .string()
  .max(64)
  .superRefine((text, context) => {
    const message = ipRangeFault(text)
    if (message !== null) context.addIssue({ code: "custom", message })
  })

/** What a new key and a change of one have in common; null is what a key is where nobody said anything. */
const changeableMembers = {
  allowed_models: z
    .array(modelGlob)
    .max(LIST_MAX)
    .nullable()
    .optional()
    .openapi({ description: "Names or globs with *; null: every routed model." }),
  allowed_endpoints: z.array(endpointGlob).max(LIST_MAX).nullable().optional().openapi({
    description: 'Names of endpoints or globs with *, such as "chat.completions" or "files.*"; null: every endpoint.',
  }),
  ip_allow: z.array(ipRange).max(LIST_MAX).nullable().optional().openapi({
    description: "IPv4 and IPv6 addresses and CIDR ranges that the key may be used from; null: from everywhere.",
  }),
  unmetered: z.enum(UNMETERED_POLICIES).optional().openapi({
    description: "Whether the key may use routes that nobody here can meter; deny unless told.",
  }),
  attribute_users: z.boolean().optional().openapi({
    description: "Whether a call may name its user by the header x-tallygate-user, where the key is bound to none.",
  }),
  ...capMembers,
  expires_at: z.iso.datetime({ offset: true }).nullable().optional(),
}

export const newKey = z
  .strictObject({
    name: nameInput,
    project_id: z.string().max(100).optional(),
    user_id: z.string().max(100).optional(),
    ...changeableMembers,
    limits: z.array(limitInput).max(LIMITS_PER_SUBJECT_MAX).optional(),
  })
  .openapi("NewVirtualKey")

export const keyChange = z
  .strictObject({ name: nameInput.optional(), ...changeableMembers })
  .refine((change) => Object.keys(change).length > 0, { error: "must have at least one field" })
  .openapi("VirtualKeyChange", { description: "What is absent stays as it is; null clears." })

/** The changes that the members say, of a key that is there or of a new one. */
export function keyChanges(input: z.output<typeof keyChange>): KeyChanges {
  return {
    name: input.name,
    allowedModels: input.allowed_models,
    allowedEndpoints: input.allowed_endpoints,
    ipAllow: input.ip_allow,
    unmetered: input.unmetered,
    attributeUsers: input.attribute_users,
    caps: capChanges(input),
    expiresAt: typeof input.expires_at === "string" ? new Date(input.expires_at) : input.expires_at,
  }
}

export const keyOutput = z
  .object({
    id: z.string(),
    name: z.string(),
    organization_id: z.string(),
    project_id: z.string(),
    user_id: z.string().nullable(),
    allowed_models: z.array(z.string()).nullable(),
    allowed_endpoints: z.array(z.string()).nullable(),
    ip_allow: z.array(z.string()).nullable(),
    unmetered: z.enum(UNMETERED_POLICIES),
    attribute_users: z.boolean(),
    ...capOutput,
    expires_at: z.string().nullable(),
    revoked_at: z.string().nullable(),
    created_at: z.string(),
    last4: z.string(),
    limits: z.array(limitOutput),
  })
  .openapi("VirtualKey")

export const createdKey = keyOutput
  .extend({ key: z.string().openapi({ description: "The secret, shown this once." }) })
  .openapi("CreatedKey")

/** The key with what stands on itself; its project's caps and limits are shown there. */
export function shownKey(row: VirtualKeyRow): z.infer<typeof keyOutput> {
  // Shown in dollars.
  const { max_cost_nanos: _, ...members } = row
  const iso = (date: Date | null) => date?.toISOString() ?? null
  return {
    ...members,
    ...shownCaps(row),
    expires_at: iso(row.expires_at),
    revoked_at: iso(row.revoked_at),
    created_at: row.created_at.toISOString(),
    limits: row.limits.map(shownLimit),
  }
}
