/** What is known of an object that was born at a provider through a call: whose it is, and who else may name it. */
import type { VirtualKey } from "./virtual-key.ts"

export type ProviderObjectKind =
  | "file"
  | "batch"
  | "response"
  | "conversation"
  | "vector_store"
  | "upload"
  | "container"
  | "video"
  | "cached_content"
  | "interaction"
  | "message_batch"

export type ProviderObject = {
  readonly provider: string
  /** The account that has it; '' for one made before there were several: the provider's first. */
  readonly account: string
  /** As the provider names it. */
  readonly id: string
  readonly kind: ProviderObjectKind
  readonly organizationId: string
  readonly projectId: string
  readonly keyId: string
  /** The usage record of the call that made it; null where it was made elsewhere and adopted. */
  readonly callId: string | null
  /** What is needed to book the usage that the provider reports later, as JSON; null where none is awaited. */
  readonly booking: unknown
  /** As it stood when the object was read; whether it is booked now only Postgres can say. */
  readonly bookedAtMs: number | null
}

/** Who besides the key that made an object may name it. */
export type Sharing = "key" | "project" | "organization"

/** True where a call by this key may name the object. */
export function mayReach(object: ProviderObject, key: VirtualKey, sharing: Sharing): boolean {
  if (object.organizationId !== key.organizationId) return false
  if (sharing === "organization") return true
  if (object.projectId !== key.projectId) return false
  return sharing === "project" || object.keyId === key.id
}
