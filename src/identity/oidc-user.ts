/**
 * The user behind a log-in at the identity provider: known by issuer and subject, else by a verified address in the
 * organization, else made, where the groups give a role. Roles that groups give are set to what the groups say now; one
 * given by hand over the same scope stands before them. All of it is one transaction with its audit rows.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"
import { type Actor, writeAudit } from "./audit.ts"
import type { OidcClaims } from "./oidc-client.ts"
import { type Grant, isAtMost } from "./role.ts"
import { grantsOf } from "./role-registry.ts"
import { endSessionsOf } from "./session.ts"
import { unlessTaken } from "./unless-taken.ts"
import { insertUser } from "./user-registry.ts"

/** A role that the members of a group have, over a project, an organization or, without either, the installation. */
export type GroupRole = {
  readonly group: string
  readonly role: Grant["role"]
  /** Each by id or external id; null where the role is over more. */
  readonly organization: string | null
  readonly project: string | null
}

export type OidcRules = {
  /** In which claim the groups stand: its name, or a path of names with dots. */
  readonly groupsClaim: string
  readonly roles: readonly GroupRole[]
  /** Whose users they are, by id or external id. */
  readonly organization: string
  /** Whether whoever has a role by a group is made a user. */
  readonly allowsSignup: boolean
  /** Whether addresses count as verified where the provider does not say so. */
  readonly trustsEmail: boolean
}

export type OidcUser =
  | { readonly kind: "user"; readonly id: string; readonly organizationId: string }
  /** The sentence is for the person; what the roles are was written down all the same. */
  | { readonly kind: "refused"; readonly message: string }

type Known = {
  readonly id: string
  readonly organization_id: string
  readonly disabled_at: Date | null
  readonly oidc_subject: string | null
}

const ASK = "Ask an admin of Tallygate."

/** Finds or makes the user, and sets the roles. `ip` is the browser's, for the audit log. */
export async function oidcUser(sql: Sql, rules: OidcRules, claims: OidcClaims, ip: string): Promise<OidcUser> {
  const groups = groupsIn(claims, rules.groupsClaim)
  if (groups === null) {
    return refused(
      "You are in so many groups that the identity provider did not send them. Let it send only those of this application.",
    )
  }
  const actor = { name: "identity provider", ip }
  const done = await unlessTaken(() =>
    sql.begin(async (transaction): Promise<OidcUser> => {
      const organizationId = await organizationOf(transaction, rules.organization)
      if (organizationId === null)
        return refused(`The organization of the configuration (oidc.organization) is not there. ${ASK}`)
      const wanted = await grantsFor(transaction, rules.roles, groups, organizationId)
      const known = await findUser(transaction, rules, claims, organizationId)
      if (known === null) return makeUser(transaction, actor, { rules, claims, organizationId, wanted })
      if (known.disabled_at !== null) return refused(`Your user is disabled. ${ASK}`)
      await link(transaction, actor, known, subjectOf(claims))
      await setGroupRoles(transaction, actor, known, wanted)
      if (await belongsNowhere(transaction, known.id)) return refused(NO_ROLE)
      return { kind: "user", id: known.id, organizationId: known.organization_id }
    }),
  )
  return done.kind === "taken" ? refused(`Your e-mail address belongs to a user who logs in otherwise. ${ASK}`) : done
}

const NO_ROLE = `None of your groups gives you a role here, and you are a member of no project. ${ASK}`

/** The groups that the claims say; null where the provider says that there are more than it sends. */
export function groupsIn(claims: OidcClaims, claim: string): readonly string[] | null {
  const value = valueAt(claims, claim)
  if (typeof value === "string") return [value]
  if (Array.isArray(value)) return value.filter((group) => typeof group === "string")
  // Entra ID names a source in place of groups that are too many for a token.
  return valueAt(valueAt(claims, "_claim_names"), claim) === undefined ? [] : null
}

function valueAt(holder: unknown, path: string): unknown {
  if (typeof holder !== "object" || holder === null) return undefined
  if (Object.hasOwn(holder, path)) return Object.entries(holder).find(([name]) => name === path)?.[1]
  const dot = path.indexOf(".")
  return dot === -1 ? undefined : valueAt(valueAt(holder, path.slice(0, dot)), path.slice(dot + 1))
}

/** What the groups give: at each scope the highest role. Scopes that are not there give nothing. */
async function grantsFor(
  transaction: Transaction,
  roles: readonly GroupRole[],
  groups: readonly string[],
  organizationId: string,
): Promise<readonly Grant[]> {
  const given = new Map<string, Grant>()
  for (const groupRole of roles.filter(({ group }) => groups.includes(group))) {
    const scope = await scopeOf(transaction, groupRole, organizationId)
    if (scope === null) continue
    const name = `${scope.scope} ${scope.scopeId}`
    const other = given.get(name)
    if (other === undefined || isAtMost(other.role, groupRole.role)) given.set(name, { role: groupRole.role, ...scope })
  }
  return [...given.values()]
}

async function scopeOf(
  transaction: Transaction,
  { organization, project }: GroupRole,
  organizationId: string,
): Promise<Omit<Grant, "role"> | null> {
  if (organization === null && project === null) return { scope: "installation", scopeId: "" }
  const within = organization === null ? organizationId : await organizationOf(transaction, organization)
  if (within === null) return null
  if (project === null) return { scope: "organization", scopeId: within }
  const [row] = await transaction<{ id: string }[]>`
    SELECT id FROM projects WHERE organization_id = ${within} AND (id = ${project} OR external_id = ${project})
    ORDER BY id = ${project} DESC LIMIT 1`
  return row === undefined ? null : { scope: "project", scopeId: row.id }
}

async function organizationOf(transaction: Transaction, named: string): Promise<string | null> {
  const [row] = await transaction<{ id: string }[]>`
    SELECT id FROM organizations WHERE id = ${named} OR external_id = ${named} ORDER BY id = ${named} DESC LIMIT 1`
  return row?.id ?? null
}

/** By subject, else by an address that the provider has verified, of a person who logs in by no other subject of it. */
async function findUser(
  transaction: Transaction,
  rules: OidcRules,
  claims: OidcClaims,
  organizationId: string,
): Promise<Known | null> {
  const email = emailOf(rules, claims)
  const subject = subjectOf(claims)
  const [row] = await transaction<Known[]>`
    SELECT id, organization_id, disabled_at, oidc_subject FROM users
    WHERE kind = 'person' AND (oidc_subject = ${subject} OR (
      organization_id = ${organizationId} AND email <> '' AND lower(email) = lower(${email})
      AND (oidc_subject IS NULL OR NOT starts_with(oidc_subject, ${`${claims.issuer} `}))))
    ORDER BY oidc_subject IS NOT DISTINCT FROM ${subject} DESC LIMIT 1 FOR UPDATE`
  return row ?? null
}

async function makeUser(
  transaction: Transaction,
  actor: Actor,
  {
    rules,
    claims,
    organizationId,
    wanted,
  }: {
    readonly rules: OidcRules
    readonly claims: OidcClaims
    readonly organizationId: string
    readonly wanted: readonly Grant[]
  },
): Promise<OidcUser> {
  if (!rules.allowsSignup) return refused(`You are no user here yet. ${ASK}`)
  if (wanted.length === 0) return refused(NO_ROLE)
  const email = emailOf(rules, claims)
  const wantedUser = { organizationId, kind: "person", name: nameOf(claims), email, projectIds: [] } as const
  const made = await insertUser(transaction, actor, wantedUser)
  if (made.kind !== "done") throw new Error(`A user could not be made: ${made.kind}.`)
  await link(transaction, actor, { ...made.row, oidc_subject: null }, subjectOf(claims))
  await setGroupRoles(transaction, actor, made.row, wanted)
  return { kind: "user", id: made.row.id, organizationId }
}

async function link(
  transaction: Transaction,
  actor: Actor,
  user: Pick<Known, "id" | "organization_id" | "oidc_subject">,
  subject: string,
): Promise<void> {
  if (user.oidc_subject === subject) return
  await transaction`UPDATE users SET oidc_subject = ${subject} WHERE id = ${user.id}`
  await writeAudit(transaction, actor, {
    organizationId: user.organization_id,
    action: "user.link",
    subject: user.id,
    before: { oidc_subject: user.oidc_subject },
    after: { oidc_subject: subject },
  })
}

/** Sets the roles that came from groups; the user's sessions end where that changes anything. */
async function setGroupRoles(
  transaction: Transaction,
  actor: Actor,
  { id, organization_id: organizationId }: Pick<Known, "id" | "organization_id">,
  wanted: readonly Grant[],
): Promise<void> {
  const before = await grantsOf(transaction, id)
  await transaction`DELETE FROM role_grants WHERE user_id = ${id} AND source = 'groups'`
  for (const { role, scope, scopeId } of wanted) {
    await transaction`
      INSERT INTO role_grants (user_id, role, scope, scope_id, source)
      VALUES (${id}, ${role}, ${scope}, ${scopeId}, 'groups') ON CONFLICT DO NOTHING`
  }
  const after = await grantsOf(transaction, id)
  if (JSON.stringify(before) === JSON.stringify(after)) return
  await endSessionsOf(transaction, id)
  await writeAudit(transaction, actor, {
    organizationId,
    action: "role.groups",
    subject: id,
    before: { roles: before },
    after: { roles: after },
  })
}

async function belongsNowhere(transaction: Transaction, id: string): Promise<boolean> {
  const rows = await transaction`
    SELECT 1 FROM role_grants WHERE user_id = ${id} UNION ALL SELECT 1 FROM project_members WHERE user_id = ${id} LIMIT 1`
  return rows.length === 0
}

/** '' where there is none that can be trusted. */
function emailOf({ trustsEmail }: OidcRules, { email, email_verified: isVerified }: OidcClaims): string {
  const isTrusted = isVerified === true || isVerified === "true" || (trustsEmail && isVerified === undefined)
  return isTrusted && typeof email === "string" && email.length <= EMAIL_LENGTH_MAX ? email : ""
}

const EMAIL_LENGTH_MAX = 320
const NAME_LENGTH_MAX = 200

function nameOf(claims: OidcClaims): string {
  const named = [claims.name, claims.preferred_username, claims.email].find(
    (value) => typeof value === "string" && value.trim() !== "",
  )
  return String(named ?? claims.subject)
    .trim()
    .slice(0, NAME_LENGTH_MAX)
}

/** Subjects are unique at their issuer alone. */
function subjectOf({ issuer, subject }: OidcClaims): string {
  return `${issuer} ${subject}`
}

function refused(message: string): OidcUser {
  return { kind: "refused", message }
}
