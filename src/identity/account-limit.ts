/**
 * Limits on an account at a provider. They hold over all organizations, so they stand among counters of their own, under
 * the account's name in the place of an organization's id. With `each` a limit has one counter for each key (or user,
 * project, organization) that calls, each with the whole cap, so that one loop cannot eat what all share.
 */
import type { Limit, LimitEach } from "./limit.ts"
import type { VirtualKey } from "./virtual-key.ts"

export type AccountLimit = Limit & { readonly each: LimitEach }

/** The account as limits name it, `<provider>/<account>`, written so that it has no blank and no brace. */
export function accountSubject(provider: string, account: string): string {
  return encodeURI(`${provider}/${account}`)
}

/** The account's name among those who have counters; no organization's id begins like it. */
export function accountCounters(subject: string): string {
  return `acct:${subject}`
}

/** `<provider>/<account>` for people, and whom the limit counts apart ('' where it counts all together). */
export function readAccountSubject(subject: string): { readonly account: string; readonly counted: string } {
  const [account = "", counted = ""] = subject.split(" ")
  return { account: decodeURI(account), counted }
}

/** What calls without a user are counted as, together, where each user is counted apart. */
const NOBODY = "nobody"

/** One object for each limit and key while both live: what stores remember of a limit they remember by its object. */
const apart = new WeakMap<VirtualKey, WeakMap<AccountLimit, Limit>>()

/** The limits of an account as they apply to a call of this key. */
export function limitsOnAccount(limits: readonly AccountLimit[], key: VirtualKey): readonly Limit[] {
  if (limits.every(({ each }) => each === "")) return limits
  return limits.map((limit) => (limit.each === "" ? limit : limitFor(limit, key)))
}

function limitFor(limit: AccountLimit, key: VirtualKey): Limit {
  let known = apart.get(key)
  if (known === undefined) {
    known = new WeakMap()
    apart.set(key, known)
  }
  let own = known.get(limit)
  if (own === undefined) {
    own = { ...limit, subject: `${limit.subject} ${countedOf(limit.each, key)}` }
    known.set(limit, own)
  }
  return own
}

function countedOf(each: LimitEach, key: VirtualKey): string {
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
