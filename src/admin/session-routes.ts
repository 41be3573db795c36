/**
 * Log-in of browsers: by an admin key, an address and password, or a virtual key, each exchanged for a session, so that
 * none of them is kept in the browser. What is wrong with a log-in is never said beyond that it is.
 */
import { createRoute, z } from "@hono/zod-openapi"
import type { Context, MiddlewareHandler } from "hono"
import { readAdminKey } from "../identity/admin-key-registry.ts"
import { isIpAllowed } from "../identity/ip-allow.ts"
import { type Attempt, attempted, succeeded } from "../identity/login-throttle.ts"
import { PASSWORD_LENGTH_MAX, PasswordsBusy } from "../identity/password.ts"
import { findPasswordUser } from "../identity/password-user.ts"
import { csrfTokenOf, endSession, openSession, type SessionOpener } from "../identity/session.ts"
import { ApiError } from "../platform/error-table.ts"
import { type AdminApp, type AdminEnv, type AdminOptions, callerIp } from "./admin-app.ts"
import { answers, idInput, jsonBody } from "./answers.ts"
import { type PresentedSession, presentedSession, principalOf, sessionOf } from "./authenticate.ts"
import { refuseOtherSites, requireOwnPage } from "./csrf.ts"
import { grantScope, roleInput, shownScope } from "./grant-shape.ts"
import { clearCookie, readCookie, requirePrivacy, writeCookie } from "./session-cookie.ts"

const secretInput = z.string().min(1).max(4_096)
const loginInput = z
  .strictObject({
    admin_key: secretInput.optional(),
    key: secretInput.optional().openapi({ description: "A virtual key: for its holder's own keys and usage." }),
    email: z.string().min(1).max(320).optional(),
    password: z.string().min(1).max(PASSWORD_LENGTH_MAX).optional(),
    organization_id: idInput.optional().openapi({ description: "Where the address is in several organizations." }),
  })
  .refine(
    ({ admin_key, key, email, password }) => {
      const given = [admin_key, key, email ?? password].filter((value) => value !== undefined)
      return given.length === 1 && (email === undefined) === (password === undefined)
    },
    { error: "must have exactly one of admin_key, key, and email with password" },
  )
  .openapi("Login")
type Login = z.infer<typeof loginInput>

export const sessionOutput = z
  .object({
    kind: z.enum(["admin_key", "user", "key", "environment"]),
    name: z.string().openapi({ description: "As the audit log names whoever is logged in." }),
    display_name: z.string(),
    roles: z.array(z.object({ role: roleInput, scope: grantScope })),
    key_id: z.string().optional(),
    user_id: z.string().optional(),
    organization_id: z.string(),
    csrf_token: z.string().openapi({ description: "To be sent in x-tallygate-csrf with whatever is not GET." }),
    expires_at: z.string(),
  })
  .openapi("Session")

const methodsOutput = z
  .object({ password: z.boolean(), oidc: z.object({ name: z.string(), url: z.string() }).nullable() })
  .openapi("LoginMethods")

/** Middleware: what is answered here is for one browser alone, and for no frame. */
export const noStore: MiddlewareHandler = async (context, next) => {
  context.header("cache-control", "no-store")
  context.header("x-content-type-options", "nosniff")
  context.header("referrer-policy", "no-referrer")
  context.header("content-security-policy", "default-src 'none'; frame-ancestors 'none'")
  await next()
}

export function sessionRoutes(app: AdminApp, options: AdminOptions): void {
  app.use("/auth/*", noStore)
  methods(app, options)
  logIn(app, options)
  show(app, options)
  logOut(app, options)
}

function methods(app: AdminApp, { login: { oidc } }: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path: "/auth/methods",
    security: [],
    responses: answers(200, "How persons log in here.", methodsOutput),
  })
  app.openapi(route, (context) => {
    return context.json(
      { password: true, oidc: oidc === null ? null : { name: oidc.name, url: "/auth/oidc/start" } },
      200,
    )
  })
}

function logIn(app: AdminApp, options: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/auth/login",
    security: [],
    request: { body: jsonBody(loginInput) },
    responses: answers(200, "The session; its secret is in the cookie.", sessionOutput),
  })
  app.openapi(route, async (context) => {
    const { sql, log, login } = options
    const input = context.req.valid("json")
    requirePrivacy(context, login.isBehindTls)
    refuseOtherSites(context)
    const attempt = { account: input.email ?? null, ip: callerIp(context) }
    const opener = await throttled(options, attempt, () => openerOf(options, input, attempt.ip))
    if (opener === null) {
      log.warn({ ip: attempt.ip, by: kindOf(input) }, "log-in failed")
      throw new ApiError("login_failed", FAILED[kindOf(input)])
    }
    await succeeded(sql, attempt)
    return context.json(await shown(options, await startSession(options, context, opener)), 200)
  })
}

function kindOf({ admin_key, key }: Login): keyof typeof FAILED {
  return admin_key !== undefined ? "admin_key" : key !== undefined ? "key" : "password"
}

const FAILED = {
  admin_key: "This admin key is not valid, has expired or was revoked.",
  key: "This virtual key is not valid, does not work any more, or may not be used from this address.",
  password:
    "Address and password do not fit. Where your address is in several organizations, name one by organization_id; an " +
    "admin can set a new password.",
} as const

/** Does what guesses would be tried by, as often as the throttle lets it. */
export async function throttled<Result>(
  { sql }: Pick<AdminOptions, "sql">,
  attempt: Attempt,
  act: () => Promise<Result>,
): Promise<Result> {
  const allowed = await attempted(sql, attempt)
  if (allowed.kind === "refused") throw tooMany(allowed.retryAfterSeconds)
  return unlessBusy(act)
}

const BUSY_SECONDS = 5

/** Turns a crowd before the hashing of passwords into an answer. */
export async function unlessBusy<Result>(act: () => Promise<Result>): Promise<Result> {
  try {
    return await act()
  } catch (error) {
    if (error instanceof PasswordsBusy) throw tooMany(BUSY_SECONDS)
    throw error
  }
}

function tooMany(seconds: number): ApiError {
  const message = `There were too many attempts to log in. Try again in ${seconds} s.`
  return new ApiError("too_many_attempts", message, { headers: [["retry-after", String(seconds)]] })
}

/** Who the log-in says, where it is right; else null. */
async function openerOf(options: AdminOptions, input: Login, ip: string): Promise<SessionOpener | null> {
  if (input.admin_key !== undefined) return openerOfAdminKey(options, input.admin_key)
  if (input.key !== undefined) return openerOfKey(options, input.key, ip)
  const { email = "", password = "" } = input
  const user = await findPasswordUser(options.sql, { email, organizationId: input.organization_id ?? null })
  const isRight = await options.login.passwords.verify(user?.password_hash ?? null, password)
  return isRight && user !== null ? { kind: "user", id: user.id, organizationId: user.organization_id } : null
}

async function openerOfAdminKey({ sql, identifyAdmin }: AdminOptions, secret: string): Promise<SessionOpener | null> {
  const identified = await identifyAdmin(secret)
  if (identified.kind === "refused") return null
  if (identified.id === "") return { kind: "environment", secret }
  const row = await readAdminKey(sql, identified.id)
  return row === null ? null : { kind: "admin_key", id: row.id, organizationId: row.organization_id }
}

async function openerOfKey({ directory }: AdminOptions, secret: string, ip: string): Promise<SessionOpener | null> {
  const identified = await directory.identify(secret)
  if (identified.kind === "unavailable") {
    throw new ApiError("identity_store_unavailable", "Keys cannot be looked up at the moment. Try again.")
  }
  if (identified.kind === "refused" || !isIpAllowed(identified.key.ipAllow, ip)) return null
  const { id, organizationId } = identified.key
  return { kind: "key", id, organizationId, secret }
}

/** Opens a session and puts it into the browser, in place of the one that was there. */
export async function startSession(
  options: AdminOptions,
  context: Context<AdminEnv>,
  opener: SessionOpener,
): Promise<PresentedSession> {
  const { sql, clock, login } = options
  const before = readCookie(context, "session")
  if (before !== null) await endSession(sql, before)
  const nowMs = clock.nowMs()
  const secret = await openSession(sql, opener, {
    ip: callerIp(context),
    now: new Date(nowMs),
    hoursMax: login.hoursMax,
  })
  const session = await sessionOf(options, secret)
  // Whatever opened it was taken away at this moment.
  if (session === null) throw new ApiError("login_failed", "This log-in does not hold any more. Log in again.")
  writeCookie(context, "session", secret, (session.expiresAt.getTime() - nowMs) / 1_000)
  return { secret, session }
}

function show(app: AdminApp, options: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path: "/auth/session",
    security: [],
    responses: answers(200, "The session of the cookie.", sessionOutput),
  })
  app.openapi(route, async (context) => {
    const presented = await presentedSession(options, context)
    if (presented === null) throw new ApiError("not_logged_in", "Nobody is logged in here. Log in by POST /auth/login.")
    return context.json(await shown(options, presented), 200)
  })
}

/** The session as it is answered. */
export async function shown(
  { sql, organizationId: defaultId }: AdminOptions,
  { secret, session }: PresentedSession,
): Promise<z.infer<typeof sessionOutput>> {
  const { holder, expiresAt } = session
  const { kind, name, grants } = principalOf(holder)
  const roles = grants.map((grant) => ({ role: grant.role, scope: shownScope(grant) }))
  const common = { kind, name, roles, csrf_token: csrfTokenOf(secret), expires_at: expiresAt.toISOString() }
  switch (holder.kind) {
    case "user":
      return { ...common, display_name: holder.name, user_id: holder.id, organization_id: holder.organizationId }
    case "key": {
      const { id, userId, organizationId } = holder.key
      const user = userId === "" ? {} : { user_id: userId }
      return { ...common, display_name: holder.key.name, key_id: id, ...user, organization_id: organizationId }
    }
    case "admin_key": {
      const row = await readAdminKey(sql, holder.id)
      return { ...common, display_name: holder.name, organization_id: row?.organization_id || defaultId }
    }
    case "environment":
      return { ...common, display_name: "admin key of the environment", organization_id: defaultId }
  }
}

function logOut(app: AdminApp, options: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/auth/logout",
    security: [],
    responses: answers(200, "The session has ended, if there was one.", z.object({ logged_out: z.literal(true) })),
  })
  app.openapi(route, async (context) => {
    const secret = readCookie(context, "session")
    if (secret !== null && (await sessionOf(options, secret)) !== null) {
      requireOwnPage(context, secret)
      await endSession(options.sql, secret)
    }
    clearCookie(context, "session")
    return context.json({ logged_out: true as const }, 200)
  })
}
