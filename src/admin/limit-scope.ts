/** What a limit stands on and counts, as the admin API writes it: one subject, whom it counts apart, which calls alone. */
import { z } from "@hono/zod-openapi"
import { accountSubject, shownAccount } from "../identity/account-limit.ts"
import { FILTER_BY, LIMIT_EACH, type Limit, type LimitScope } from "../identity/limit.ts"
import { filterFrom, type LimitRow } from "../identity/limit-row.ts"

/** The member of `scope` that names the subject → the scope. */
const SCOPE_MEMBERS = {
  key_id: "key",
  user_id: "user",
  project_id: "project",
  organization_id: "organization",
  provider_account: "provider_account",
} as const satisfies Record<string, LimitScope>
type ScopeMember = keyof typeof SCOPE_MEMBERS
export const SCOPE_MEMBER_NAMES = Object.keys(SCOPE_MEMBERS) as ScopeMember[]

const subjectId = z.string().min(1).max(100).optional()
export const providerAccount = z
  .string()
  .max(200)
  .regex(/^[^/]+\/.+$/, { error: "must be <provider>/<account>" })
  .optional()
export const scopeIds = {
  key_id: subjectId,
  user_id: subjectId,
  project_id: subjectId,
  organization_id: subjectId,
  provider_account: providerAccount,
}
export const eachInput = z
  .enum(LIMIT_EACH)
  .optional()
  .openapi({
    description:
      "Whom the limit counts apart, each with the whole cap: of a provider account, an organization or project each user " +
      "or key, of a provider account also each organization or project, of an organization or project also each " +
      "end-customer that calls name. Unset counts all calls together.",
  })
const filterValue = z.string().trim().min(1).max(128).optional()
export const filterInputs = {
  tool: filterValue.openapi({ description: "Only calls with this x-tallygate-tool count." }),
  tag: filterValue.openapi({ description: "Only calls with this tag count." }),
  model: filterValue.openapi({ description: "Only calls that go to this model count; * stands for any characters." }),
  endpoint: filterValue.openapi({ description: "Only calls of this endpoint count, such as chat.completions." }),
}
export const scopeObject = z.strictObject({ ...scopeIds, each: eachInput, ...filterInputs }).openapi("LimitScope", {
  description: "Exactly one of the five; `each` where it applies, and one of `tool`, `tag`, `model` and `endpoint`.",
})

/** Whom a limit counts apart, and which calls alone. */
export type Narrowing = Pick<z.output<typeof scopeObject>, "each" | (typeof FILTER_BY)[number]>

/** What is wrong with whom and what a limit of this scope is to count, by member. */
export function scopeFaults(scope: LimitScope, narrowing: Narrowing): (readonly [string, string])[] {
  const { each } = narrowing
  const isWide = scope === "organization" || scope === "project"
  const faults: (readonly [string, string])[] = []
  const isOfWide = each === "user" || each === "key" || each === "end_customer"
  if (each === "end_customer" && scope === "provider_account") {
    faults.push(["each", "must be organization, project, user or key here"])
  } else if (each !== undefined && scope !== "provider_account" && !(isWide && isOfWide)) {
    const message = isWide
      ? "must be user, key or end_customer here"
      : "belongs to limits on provider accounts, organizations and projects"
    faults.push(["each", message])
  }
  const [first, second] = FILTER_BY.filter((by) => narrowing[by] !== undefined)
  if (second !== undefined) faults.push([second, `must not stand beside ${first}`])
  return faults
}

/** The only calls that count; null: all. */
export function filterOf(narrowing: Narrowing): Limit["filter"] {
  for (const by of FILTER_BY) {
    const value = narrowing[by]
    if (value !== undefined) return { by, value }
  }
  return null
}

/** The members that say it of a limit that there is. */
export function shownFilter(row: LimitRow): { readonly [By in (typeof FILTER_BY)[number]]?: string } {
  const filter = filterFrom(row)
  return filter === null ? {} : { [filter.by]: filter.value }
}

/** The one subject that is named; null where none is. */
export function subjectOf(
  ids: {
    readonly [Member in ScopeMember]?: string | undefined
  },
): Pick<Limit, "scope" | "subject"> | "several" | null {
  const named = SCOPE_MEMBER_NAMES.flatMap((member) => {
    const subject = ids[member]
    if (subject === undefined) return []
    return [{ scope: SCOPE_MEMBERS[member], subject: member === "provider_account" ? encodeAccount(subject) : subject }]
  })
  return named.length > 1 ? "several" : (named[0] ?? null)
}

/** The member of `scope` that names a subject of this scope. */
export function memberOf(scope: LimitScope): ScopeMember {
  return scope === "provider_account" ? scope : `${scope}_id`
}

function encodeAccount(named: string): string {
  const slash = named.indexOf("/")
  return accountSubject(named.slice(0, slash), named.slice(slash + 1))
}

/** The subject as people write it: an id, or `<provider>/<account>`. */
export function shownSubject({ scope, subject }: Pick<Limit, "scope" | "subject">): string {
  return scope === "provider_account" ? shownAccount(subject) : subject
}
