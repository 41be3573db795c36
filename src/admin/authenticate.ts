/**
 * Who calls the admin API: the bearer of an admin key, or a browser with a session. What a session may do is what its
 * holder may do now; one that a virtual key opened has no rights here, and own keys alone (`own-key-routes.ts`).
 */
import type { Context } from "hono"
import type { OidcClient } from "../identity/oidc-client.ts"
import type { OidcRules } from "../identity/oidc-user.ts"
import type { Passwords } from "../identity/password.ts"
import { readSession, type Session, type SessionHolder } from "../identity/read-session.ts"
import type { Grant } from "../identity/role.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Principal } from "./access.ts"
import type { AdminEnv, AdminOptions } from "./admin-app.ts"
import { requireOwnPage } from "./csrf.ts"
import { readCookie } from "./session-cookie.ts"

export type LoginOptions = {
  /** The admin key of the environment; null where it sets none. */
  readonly environmentKey: string | null
  /** How long a session lasts. */
  readonly hoursMax: number
  /** Whether all browsers come through a proxy that speaks HTTPS. */
  readonly isBehindTls: boolean
  readonly passwords: Passwords
  /** Null: no identity provider. */
  readonly oidc: OidcLogin | null
}

export type OidcLogin = {
  /** As the button says it. */
  readonly name: string
  readonly client: OidcClient
  readonly rules: OidcRules
  /** Null: `/auth/oidc/callback` where the browser is. */
  readonly redirectUrl: string | null
}

/** What the owner of the environment's key may do. */
export const EVERYTHING: Grant = { role: "owner", scope: "installation", scopeId: "" }

type AuthenticateOptions = Pick<AdminOptions, "sql" | "clock" | "identifyAdmin" | "login">

/** Middleware that puts the principal into the context, or answers 401. */
export function requirePrincipal(options: AuthenticateOptions) {
  return async (context: Context<AdminEnv>, next: () => Promise<void>) => {
    const hasKey = context.req.header("authorization") !== undefined
    const presented = hasKey ? null : await presentedSession(options, context)
    if (presented !== null) requireOwnPage(context, presented.secret)
    const principal = presented === null ? await bearer(options, context) : principalOf(presented.session.holder)
    context.set("principal", principal)
    await next()
  }
}

/** Middleware for what persons do not log in for: it takes an admin key and no session. */
export function requireAdminKey(options: AuthenticateOptions) {
  return async (context: Context<AdminEnv>, next: () => Promise<void>) => {
    context.set("principal", await bearer(options, context))
    await next()
  }
}

/** A session with the secret that stands in the browser's cookie. */
export type PresentedSession = { readonly secret: string; readonly session: Session }

/** The session of the request's cookie; null without a cookie. @throws ApiError 401 where the session has ended */
export async function presentedSession(
  options: AuthenticateOptions,
  context: Context<AdminEnv>,
): Promise<PresentedSession | null> {
  const secret = readCookie(context, "session")
  if (secret === null) return null
  const session = await sessionOf(options, secret)
  if (session === null) throw new ApiError("not_logged_in", "Your session has ended. Log in again.")
  return { secret, session }
}

/** The session of this secret while it holds. */
export function sessionOf({ sql, clock, login }: AuthenticateOptions, secret: string): Promise<Session | null> {
  return readSession(sql, secret, { now: new Date(clock.nowMs()), environmentKey: login.environmentKey })
}

export function principalOf(holder: SessionHolder): Principal {
  switch (holder.kind) {
    case "user":
      return { kind: "user", name: holder.id, grants: holder.grants }
    case "admin_key":
      return { kind: "admin_key", name: holder.id, grants: [holder.grant] }
    case "key":
      return { kind: "key", name: holder.key.id, grants: [] }
    case "environment":
      return { kind: "environment", name: "environment", grants: [EVERYTHING] }
  }
}

async function bearer({ identifyAdmin }: AuthenticateOptions, context: Context<AdminEnv>): Promise<Principal> {
  const presented = /^Bearer +(\S+) *$/i.exec(context.req.header("authorization") ?? "")?.[1]
  if (presented === undefined) throw unauthorized("The admin API takes `Authorization: Bearer` with an admin key.")
  const identified = await identifyAdmin(presented)
  if (identified.kind === "refused") throw unauthorized("This admin key is not valid, has expired or was revoked.")
  const { id, grant } = identified
  return id === ""
    ? { kind: "environment", name: "environment", grants: [grant] }
    : { kind: "admin_key", name: id, grants: [grant] }
}

function unauthorized(message: string): ApiError {
  const headers = [["www-authenticate", 'Bearer realm="tallygate admin"']] as const
  return new ApiError("invalid_api_key", message, { headers })
}
