/**
 * Limits with `each`: one counter for each user, key or end-customer (of a provider account also each project or
 * organization), each with the whole cap, so that one loop cannot eat what all share. Such a counter's subject is the
 * limit's own and, after a blank, the id of whom it counts. Nobody has to be known beforehand: a first call meets its cap.
 */
import { LRUCache } from "lru-cache"
import type { FoundUser } from "./find-user.ts"
import type { Limit, LimitEach } from "./limit.ts"
import type { VirtualKey } from "./virtual-key.ts"

type Caller = Pick<VirtualKey, "id" | "organizationId" | "projectId" | "userId">

/** What calls without a user or an end-customer are counted as, together, where each is counted apart. */
export const NOBODY = "nobody"

/** One object for each limit and caller while both live: what stores remember of a limit they remember by its object. */
const apart = new WeakMap<object, WeakMap<Limit, Limit>>()

/** The limits as they apply to a call of this key. */
export function countedApart(limits: readonly Limit[], key: Caller): readonly Limit[] {
  if (limits.every(({ each }) => each === "")) return limits
  return limits.map((limit) => {
    const isByKey = limit.each !== "" && limit.each !== "end_customer"
    return isByKey ? counting(limit, key, countedOf(limit.each, key)) : limit
  })
}

/** A key's limits as they apply to a call that the key makes for a user whom the call names. */
export function countedForUser(limits: readonly Limit[], user: FoundUser): readonly Limit[] {
  if (limits.every(({ each }) => each !== "user")) return limits
  return limits.map((limit) => (limit.each === "user" ? counting(limit, user, user.id) : limit))
}

/** End-customers remembered of each limit: callers may name as many as they like. */
const CUSTOMERS_MAX = 10_000
const byCustomer = new WeakMap<Limit, LRUCache<string, Limit>>()

/** A call's limits as they apply to the end-customer whom the call names ('' where it names none). */
export function countedForCustomer(limits: readonly Limit[], endCustomer: string): readonly Limit[] {
  if (limits.every(({ each }) => each !== "end_customer")) return limits
  return limits.map((limit) => (limit.each === "end_customer" ? ofCustomer(limit, endCustomer) : limit))
}

function ofCustomer(limit: Limit, endCustomer: string): Limit {
  let known = byCustomer.get(limit)
  if (known === undefined) {
    known = new LRUCache({ max: CUSTOMERS_MAX })
    byCustomer.set(limit, known)
  }
  let own = known.get(endCustomer)
  if (own === undefined) {
    own = { ...limit, subject: `${limit.subject} ${customerSubject(endCustomer)}` }
    known.set(endCustomer, own)
  }
  return own
}

/** An end-customer as a counter's name has it: without a blank. Postgres says the same (`limit-seeds.ts`). */
export function customerSubject(endCustomer: string): string {
  return endCustomer === "" ? NOBODY : endCustomer.replaceAll("%", "%25").replaceAll(" ", "%20")
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
