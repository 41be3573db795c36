/** What the data plane knows of a virtual key: whose it is, what it may use, and every limit that applies to its calls. */
import { matchesGlob } from "../platform/glob.ts"
import type { CallCaps } from "./call-caps.ts"
import type { Limit } from "./limit.ts"

export type VirtualKey = {
  readonly id: string
  readonly name: string
  readonly organizationId: string
  readonly projectId: string
  /** '' where the key is not bound to a user. */
  readonly userId: string
  /** Every call of the key carries them. */
  readonly tags: readonly string[]
  /** Globs over the requested model name; null where every routed model is allowed. */
  readonly allowedModels: readonly string[] | null
  /** Globs over endpoint names ("chat.completions", "files.*"); null where every endpoint is allowed. */
  readonly allowedEndpoints: readonly string[] | null
  /** Addresses and CIDR ranges that it may be used from; null where every address is allowed. */
  readonly ipAllow: readonly string[] | null
  /** Whether it may use routes that nobody here can meter. */
  readonly mayUseUnmetered: boolean
  /** Whether a call may name its user by the header x-tallygate-user, where the key is bound to none. */
  readonly mayAttributeUsers: boolean
  /** What one call may take at most, by the key and its project together. */
  readonly caps: CallCaps
  readonly expiresAtMs: number | null
  readonly revokedAtMs: number | null
  /** Until when the secret that was presented is accepted, where a rotation has replaced it; null where none has. */
  readonly replacedAtMs: number | null
  /** What the key belongs to and that is disabled, the widest; null where nothing is. */
  readonly disabled: "organization" | "project" | "user" | null
  /** Limits of the organization, project, user and key, in that order. */
  readonly limits: readonly Limit[]
}

/** True where the key may ask for this model by this name. */
export function mayUseModel(key: VirtualKey, model: string): boolean {
  return key.allowedModels?.some((glob) => matchesGlob(glob, model)) ?? true
}

/** True where the key may use the endpoint of this name. */
export function mayUseEndpoint(key: VirtualKey, name: string): boolean {
  return key.allowedEndpoints?.some((glob) => matchesGlob(glob, name)) ?? true
}

/** Why the key is not accepted at this instant; null when it is. */
export function keyFault(key: VirtualKey, nowMs: number): string | null {
  if (key.revokedAtMs !== null && key.revokedAtMs <= nowMs) {
    return `This virtual key (${key.id}) was revoked at ${iso(key.revokedAtMs)}. Ask an admin for a new one.`
  }
  if (key.expiresAtMs !== null && key.expiresAtMs <= nowMs) {
    return `This virtual key (${key.id}) expired at ${iso(key.expiresAtMs)}. Ask an admin for a new one.`
  }
  if (key.replacedAtMs !== null && key.replacedAtMs <= nowMs) {
    const at = iso(key.replacedAtMs)
    return `This secret of the virtual key ${key.id} was replaced by a rotation and ended at ${at}. Use the new one.`
  }
  if (key.disabled !== null) {
    return `The ${key.disabled} that this virtual key (${key.id}) belongs to is disabled. Ask an admin to enable it.`
  }
  return null
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
