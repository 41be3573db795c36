/**
 * Who may do what: a role, and over what it was given. Pure. A grant covers what lies under its scope: the installation
 * all of it, an organization its projects and people, a project its keys, members and limits. What no grant covers does
 * not exist for its caller, so that ids of other tenants say nothing.
 */

/** By falling power: each may do what those after it may, and grant no more than itself. */
export const ROLES = ["owner", "admin", "billing", "viewer"] as const
export type Role = (typeof ROLES)[number]

export const GRANT_SCOPES = ["installation", "organization", "project"] as const
export type GrantScope = (typeof GRANT_SCOPES)[number]

export type Grant = {
  readonly role: Role
  readonly scope: GrantScope
  /** Id of the organization or project; '' for the installation. */
  readonly scopeId: string
}

/** What a grant lies over, or what is to be done something with. */
export type Target =
  | { readonly scope: "installation" }
  | { readonly scope: "organization"; readonly organizationId: string }
  | { readonly scope: "project"; readonly organizationId: string; readonly projectId: string }

const READER = [
  ...["organizations:read", "projects:read", "users:read", "keys:read", "limits:read"],
  ...["usage:read", "providers:read", "prices:read", "alerts:read", "periods:read"],
] as const
const BILLING = [...READER, "limits:write", "alerts:write", "periods:write"] as const
const ADMIN = [
  ...BILLING,
  ...["organizations:write", "projects:write", "users:write", "keys:write"],
  ...[
    "usage:write",
    "providers:write",
    "prices:write",
    "admin_keys:read",
    "admin_keys:write",
    "roles:read",
    "roles:write",
    "audit:read",
    "privacy:read",
    "privacy:write",
  ],
] as const

export type Permission = (typeof ADMIN)[number]

/** An owner does what an admin does, and may make and unmake owners. */
const PERMISSIONS_OF: Readonly<Record<Role, ReadonlySet<Permission>>> = {
  owner: new Set(ADMIN),
  admin: new Set(ADMIN),
  billing: new Set(BILLING),
  viewer: new Set(READER),
}

export function roleMay(role: Role, permission: Permission): boolean {
  return PERMISSIONS_OF[role].has(permission)
}

/** Whether the second role has all the powers of the first. */
export function isAtMost(role: Role, other: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(other)
}

export function covers(grant: Grant, target: Target): boolean {
  if (grant.scope === "installation") return true
  if (target.scope === "installation") return false
  if (grant.scope === "organization") return grant.scopeId === target.organizationId
  return target.scope === "project" && grant.scopeId === target.projectId
}

/** Reading of the same thing: whoever may not do this does not see it. */
function readingOf(permission: Permission): Permission {
  return permission.replace(/:.*/, ":read") as Permission
}

export type Decision = "permitted" | "forbidden" | "invisible"

/** `invisible` where no grant lets the thing be read at all: its caller is told that there is none. */
export function decide(grants: readonly Grant[], permission: Permission, target: Target): Decision {
  const covering = grants.filter((grant) => covers(grant, target))
  if (covering.some(({ role }) => roleMay(role, permission))) return "permitted"
  return covering.some(({ role }) => roleMay(role, readingOf(permission))) ? "forbidden" : "invisible"
}

/** What lists may contain: everything, or what lies in these organizations and projects. */
export type Visibility =
  | { readonly kind: "all" }
  | { readonly kind: "within"; readonly organizationIds: readonly string[]; readonly projectIds: readonly string[] }

/** What the grants let their owner see by this permission. */
export function visibilityOf(grants: readonly Grant[], permission: Permission): Visibility {
  const reading = grants.filter(({ role }) => roleMay(role, permission))
  if (reading.some(({ scope }) => scope === "installation")) return { kind: "all" }
  const idsOf = (wanted: GrantScope) => reading.filter(({ scope }) => scope === wanted).map(({ scopeId }) => scopeId)
  return { kind: "within", organizationIds: idsOf("organization"), projectIds: idsOf("project") }
}

/** Whether the holder of these grants may give this role over the target, or take it away. */
export function mayGrant(grants: readonly Grant[], role: Role, target: Target): boolean {
  return grants.some(
    (grant) => roleMay(grant.role, "roles:write") && covers(grant, target) && isAtMost(role, grant.role),
  )
}
