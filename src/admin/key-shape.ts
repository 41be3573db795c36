/** How a virtual key is written, changed and shown in the admin API. */
import { z } from "@hono/zod-openapi"
import { ipRangeFault } from "../identity/ip-allow.ts"
import { type KeyChanges, UNMETERED_POLICIES, type VirtualKeyRow } from "../identity/key-registry.ts"
import { LIMITS_PER_SUBJECT_MAX } from "../identity/limit-registry.ts"
import { atLeastOneField, externalIdInput, idInput, iso, nameInput } from "./answers.ts"
import { capChanges, capMembers, capOutput, shownCaps } from "./cap-shape.ts"
import { limitInput, limitOutput, shownLimit } from "./limit-shape.ts"

const LIST_MAX = 1000

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

/** As a call's own tags are bounded. */
const tagInput = z
  .string()
  .min(1)
  .refine((tag) => Buffer.byteLength(tag) <= 128 && !/[\p{Cc},]/u.test(tag), {
    error: "must be at most 128 bytes, without commas and control characters",
  })

/** What a new key and a change of one have in common; null is what a key is where nobody said anything. */
const changeableMembers = {
  external_id: externalIdInput,
  tags: z.array(tagInput).max(16).optional().openapi({ description: "Tags that every call of the key carries." }),
  metadata: z.record(z.string().min(1).max(64), z.string().max(500)).optional().openapi({
    description: "Your own words about the key, such as a ticket; they replace those before.",
  }),
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
    organization_id: idInput.optional(),
    project_id: idInput.optional(),
    user_id: idInput.optional().openapi({ description: "The user or service account that the key is bound to." }),
    ...changeableMembers,
    limits: z.array(limitInput).max(LIMITS_PER_SUBJECT_MAX).optional(),
  })
  .openapi("NewVirtualKey")

export const keyChange = z
  .strictObject({ name: nameInput.optional(), ...changeableMembers })
  .refine(...atLeastOneField)
  .openapi("VirtualKeyChange", { description: "What is absent stays as it is; null clears." })

/** The changes that the members say, of a key that is there or of a new one. */
export function keyChanges(input: z.output<typeof keyChange>): KeyChanges {
  return {
    name: input.name,
    externalId: input.external_id,
    tags: input.tags,
    metadata: input.metadata,
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
    external_id: z.string().nullable(),
    tags: z.array(z.string()),
    metadata: z.record(z.string(), z.string()),
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
    rotated_at: z.string().nullable(),
    previous_valid_until: z.string().nullable().openapi({
      description: "Until when the secret before the last rotation is accepted; null: none is.",
    }),
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
  return {
    ...members,
    ...shownCaps(row),
    expires_at: iso(row.expires_at),
    revoked_at: iso(row.revoked_at),
    rotated_at: iso(row.rotated_at),
    previous_valid_until: iso(row.previous_valid_until),
    created_at: row.created_at.toISOString(),
    limits: row.limits.map(shownLimit),
  }
}
