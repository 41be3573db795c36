/**
 * Whose keys are whose, and what a key may be like that its holder makes. Pure. A project's defaults say what members may
 * make for themselves; a key that makes another one passes on no more than it has.
 */
import { matchesGlob } from "../platform/glob.ts"
import type { readKeyDefaults } from "./key-defaults.ts"
import type { VirtualKey } from "./virtual-key.ts"

/** Who asks for own keys. */
export type KeyHolder =
  | { readonly kind: "user"; readonly userId: string; readonly organizationId: string }
  | { readonly kind: "key"; readonly key: VirtualKey }

/** The user whose keys they are; null where the key is bound to nobody, and has itself alone. */
export function userOf(holder: KeyHolder): string | null {
  if (holder.kind === "user") return holder.userId
  return holder.key.userId === "" ? null : holder.key.userId
}

export function organizationOf(holder: KeyHolder): string {
  return holder.kind === "user" ? holder.organizationId : holder.key.organizationId
}

/** Whether the key is one of the holder's own. */
export function isOwn(
  holder: KeyHolder,
  key: { readonly id: string; readonly organization_id: string; readonly user_id: string | null },
): boolean {
  if (key.organization_id !== organizationOf(holder)) return false
  const userId = userOf(holder)
  return userId === null ? holder.kind === "key" && key.id === holder.key.id : key.user_id === userId
}

export type WantedTerms = {
  readonly allowedModels: readonly string[] | null | undefined
  readonly expiresAt: Date | null | undefined
}

export type Terms =
  | { readonly kind: "granted"; readonly allowedModels: readonly string[] | null; readonly expiresAt: Date | null }
  | { readonly kind: "refused"; readonly param: "allowed_models" | "expires_at"; readonly message: string }

type Defaults = ReturnType<typeof readKeyDefaults>

const DAY_MS = 86_400_000
const WHO = "An admin of the project can change it."

/** What the new key gets of what is wanted; what is not said is as much as may be. `maker`: the key that asks, if one does. */
export function termsOf(wanted: WantedTerms, defaults: Defaults, maker: VirtualKey | null, now: Date): Terms {
  const models = modelsOf(wanted.allowedModels, defaults.allowed_models, maker?.allowedModels ?? null)
  if (!Array.isArray(models) && models !== null) return models
  const expiry = expiryOf(wanted.expiresAt, defaults.expires_in_days_max, maker?.expiresAtMs ?? null, now)
  if (!(expiry instanceof Date) && expiry !== null) return expiry
  return { kind: "granted", allowedModels: models, expiresAt: expiry }
}

type RefusedTerms = Extract<Terms, { kind: "refused" }>

function modelsOf(
  wanted: readonly string[] | null | undefined,
  byProject: readonly string[] | null,
  byMaker: readonly string[] | null,
): string[] | null | RefusedTerms {
  if (byProject === null && byMaker === null) return wanted == null ? null : [...wanted]
  if (wanted === undefined) return shared(byProject, byMaker)
  const refused = (message: string): RefusedTerms => ({ kind: "refused", param: "allowed_models", message })
  const strange = (list: readonly string[] | null) =>
    list === null ? undefined : wanted === null ? "every model" : wanted.find((glob) => !isWithin(glob, list))
  const [outside, beyond] = [strange(byProject), strange(byMaker)]
  if (outside !== undefined) {
    const allowed = byProject?.join(", ")
    return refused(`${outside} is not within the project's key_defaults.allowed_models (${allowed}). ${WHO}`)
  }
  if (beyond !== undefined) return refused(`${beyond} is not within the allowed_models of the key that asks.`)
  return [...(wanted ?? [])]
}

/** What both lists allow, as far as one of them names it. */
function shared(one: readonly string[] | null, other: readonly string[] | null): string[] {
  if (one === null || other === null) return [...(one ?? other ?? [])]
  const both = [...one.filter((glob) => isWithin(glob, other)), ...other.filter((glob) => isWithin(glob, one))]
  return [...new Set(both)]
}

/** Whether every name that the glob describes is described by one of the list: only a * describes a *. */
function isWithin(glob: string, list: readonly string[]): boolean {
  return list.some((wider) => matchesGlob(wider, glob))
}

function expiryOf(
  wanted: Date | null | undefined,
  daysMax: number | null,
  makerExpiresAtMs: number | null,
  now: Date,
): Date | null | RefusedTerms {
  const byProject = daysMax === null ? null : now.getTime() + daysMax * DAY_MS
  const latest = Math.min(byProject ?? Number.POSITIVE_INFINITY, makerExpiresAtMs ?? Number.POSITIVE_INFINITY)
  if (wanted === undefined) return latest === Number.POSITIVE_INFINITY ? null : new Date(latest)
  const refused = (message: string): RefusedTerms => ({ kind: "refused", param: "expires_at", message })
  const wantedMs = wanted?.getTime() ?? Number.POSITIVE_INFINITY
  if (wantedMs <= now.getTime()) return refused("expires_at lies in the past.")
  if (byProject !== null && wantedMs > byProject) {
    const days = daysMax === 1 ? "1 day" : `${daysMax} days`
    return refused(`Keys of this project expire after ${days} at the latest (key_defaults.expires_in_days_max). ${WHO}`)
  }
  if (wantedMs > latest) return refused("A key makes none that outlives it; log in as its user for that.")
  return wanted
}
