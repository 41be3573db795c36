/**
 * What a route may be used for, and by whom. Each route names its permission (`permit`), and each handler says which
 * thing it is about to touch (`context.get("access")`); a handler that answers without having said so fails, so that no
 * route can forget to ask.
 */
import type { MiddlewareHandler } from "hono"
import {
  decide,
  type Grant,
  mayGrant,
  type Permission,
  type Role,
  roleMay,
  type Target,
  type Visibility,
  visibilityOf,
} from "../identity/role.ts"
import { ApiError } from "../platform/error-table.ts"
import type { AdminEnv } from "./admin-app.ts"
import { missingThing } from "./answers.ts"

/** Whoever calls the admin API. */
export type Principal = {
  readonly kind: "environment" | "admin_key" | "user" | "key"
  /** As the audit log names the actor: `environment`, or the id of an admin key, user or virtual key. */
  readonly name: string
  readonly grants: readonly Grant[]
}

const PERMITTED: unique symbol = Symbol("permission")

/** Route middleware: the permission that the route needs somewhere, and over what the handler then asks for. */
export function permit(permission: Permission): MiddlewareHandler<AdminEnv> & { [PERMITTED]: Permission } {
  const middleware: MiddlewareHandler<AdminEnv> = async (context, next) => {
    const access = new Access(context.get("principal"), permission)
    context.set("access", access)
    await next()
    if (!access.isAsked && context.res.ok) {
      throw new Error(`${context.req.method} ${context.req.routePath} did not ask what its caller may touch.`)
    }
  }
  return Object.assign(middleware, { [PERMITTED]: permission } as const)
}

/** The permission of a route's middleware; for tests that go through all routes. */
export function permissionOf(middleware: object): Permission | null {
  return PERMITTED in middleware ? (middleware[PERMITTED] as Permission) : null
}

export class Access {
  readonly principal: Principal
  readonly #permission: Permission
  #isAsked = false

  constructor(principal: Principal, permission: Permission) {
    this.principal = principal
    this.#permission = permission
  }

  get isAsked(): boolean {
    return this.#isAsked
  }

  /** Passes where the caller may do this to the target; throws 403, or `missing` where it is invisible to the caller. */
  on(target: Target, missing: () => never): void {
    this.#isAsked = true
    const decision = decide(this.principal.grants, this.#permission, target)
    if (decision === "invisible") missing()
    if (decision === "forbidden") throw this.#forbidden()
  }

  /** The same of a row of an organization that lies in no project. */
  inOrganization(organizationId: string, missing: () => never): void {
    this.on({ scope: "organization", organizationId }, missing)
  }

  /** Passes where the caller may do this to the installation itself; nobody is told that it does not exist. */
  onInstallation(): void {
    this.on({ scope: "installation" }, () => {
      throw this.#forbidden()
    })
  }

  /** What a list may show; 403 where the caller may read nothing of the kind. */
  visible(): Visibility {
    this.#isAsked = true
    if (!this.principal.grants.some(({ role }) => roleMay(role, this.#permission))) throw this.#forbidden()
    return visibilityOf(this.principal.grants, this.#permission)
  }

  /** Refuses a role that is more than the caller's own. */
  grants(role: Role, target: Target): void {
    if (mayGrant(this.principal.grants, role, target)) return
    const message = `Your role may not give or take the role ${role} there. An owner of the same scope can.`
    throw new ApiError("not_permitted", message, { param: "role" })
  }

  #forbidden(): ApiError {
    return new ApiError(
      "not_permitted",
      `Your role does not include ${this.#permission} here. Ask an owner for a role that does.`,
    )
  }
}

/** The organization that a call means, where the caller may do what the route does to it; else 404 or 403. */
export function permittedOrganization(access: Access, named: string | undefined, defaultId: string): string {
  const organizationId = organizationMeant(access.principal, named, defaultId)
  access.inOrganization(organizationId, missingThing("organization", organizationId, "organization_id"))
  return organizationId
}

/**
 * The organization that a call means: the one it names, else the only one that its caller's roles lie in, else the
 * installation's default.
 */
export function organizationMeant(principal: Principal, named: string | undefined, defaultId: string): string {
  if (named !== undefined) return named
  const own = new Set(principal.grants.flatMap(({ scope, scopeId }) => (scope === "organization" ? [scopeId] : [])))
  const isBound = principal.grants.every(({ scope }) => scope === "organization") && own.size === 1
  return isBound ? ([...own][0] ?? defaultId) : defaultId
}
