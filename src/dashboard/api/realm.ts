/** Whose usage is read: of all that a role reaches, or of one's own keys. */
import { isOwnOnly, useSession } from "./session.ts"

export type Realm = "admin" | "own"

/** Under which path the realm's usage stands. */
export const USAGE_PATHS = { admin: "/admin/v1/usage", own: "/v1/usage" } as const

/** The wider one that whoever is logged in may read. */
export function useRealm(): Realm {
  return isOwnOnly(useSession()) ? "own" : "admin"
}
