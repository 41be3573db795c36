/**
 * Limits with `each`: one counter for each user or key (of a provider account also each project or organization), each
 * with the whole cap, so that one loop cannot eat what all share. Such a counter's subject is the limit's own and, after
 * a blank, the id of whom it counts.
 */
import type { FoundUser } from "./find-user.ts"
import type { Limit, LimitEach } from "./limit.ts"
import type { VirtualKey } from "./virtual-key.ts"

type Caller = Pick<VirtualKey, "id" | "organizationId" | "projectId" | "userId">

/** What calls without a user are counted as, together, where each user is counted apart. */
export const NOBODY = "nobody"

/** One object for each limit and caller while both live: what stores remember of a limit they remember by its object. */
const apart = new WeakMap<object, WeakMap<Limit, Limit>>()

/** The limits as they apply to a call of this key. */
export function countedApart(limits: readonly Limit[], key: Caller): readonly Limit[] {
  if (limits.every(({ each }) => each === "")) return limits
  return limits.map((limit) => (limit.each === "" ? limit : counting(limit, key, countedOf(limit.each, key))))
}

/** A key's limits as they apply to a call that the key makes for a user whom the call names. */
export function countedForUser(limits: readonly Limit[], user: FoundUser): readonly Limit[] {
  if (limits.every(({ each }) => each !== "user")) return limits
  return limits.map((limit) => (limit.each === "user" ? counting(limit, user, user.id) : limit))
}

/** Whom a counter counts, by its limit's subject: the id of the limit's own, and of the one counted apart, or ''. */
export function readSubject(subject: string): { readonly own: string; readonly counted: string } {
  const [own = "", counted = ""] = subject.split(" ")
  return { own, counted }
}

function counting(limit: Limit, caller: object, counted: string): Limit {
  let known = apart.get(caller)
  if (known === undefined) {
    known = new WeakMap()
    apart.set(caller, known)
  }
  let own = known.get(limit)
  if (own === undefined) {
    own = { ...limit, subject: `${readSubject(limit.subject).own} ${counted}` }
    known.set(limit, own)
  }
  return own
}

function countedOf(each: LimitEach, key: Caller): string {
  switch (each) {
    case "organization":
      return key.organizationId
    case "project":
      return key.projectId
    case "user":
      return key.userId || NOBODY
    default:
      return key.id
  }
}
