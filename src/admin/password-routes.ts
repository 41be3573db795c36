/** Passwords: set or taken away by an admin, and changed by oneself. Either ends every session of the user. */
import { createRoute, z } from "@hono/zod-openapi"
import { succeeded } from "../identity/login-throttle.ts"
import { PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN, passwordFault } from "../identity/password.ts"
import { readPasswordUser, setPassword } from "../identity/password-user.ts"
import { readUser } from "../identity/user-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import { permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf, callerIp } from "./admin-app.ts"
import { answers, idParams, jsonBody, missingThing } from "./answers.ts"
import { presentedSession } from "./authenticate.ts"
import { requireOwnPage } from "./csrf.ts"
import { requirePrivacy } from "./session-cookie.ts"
import { sessionOutput, shown, startSession, throttled, unlessBusy } from "./session-routes.ts"
import { requireRolesOf } from "./user-guard.ts"
import { permittedUser, shownUser, userOutput } from "./user-routes.ts"

const passwordInput = z
  .string()
  .max(PASSWORD_LENGTH_MAX)
  .openapi({
    description: `At least ${PASSWORD_LENGTH_MIN} characters; not the address, nor words that all try first.`,
  })
const newPassword = z
  .strictObject({ password: passwordInput.nullable().openapi({ description: "null: no log-in by password." }) })
  .openapi("NewPassword")
const passwordChange = z
  .strictObject({ current: z.string().min(1).max(PASSWORD_LENGTH_MAX), new: passwordInput })
  .openapi("PasswordChange")

export function passwordRoutes(app: AdminApp, options: AdminOptions): void {
  setForUser(app, options)
  changeOwn(app, options)
}

function setForUser(app: AdminApp, { sql, login }: AdminOptions): void {
  const route = createRoute({
    method: "put",
    path: "/admin/v1/users/{id}/password",
    middleware: permit("users:write"),
    request: { params: idParams, body: jsonBody(newPassword) },
    responses: answers(200, "The user, whose sessions have ended.", userOutput),
  })
  app.openapi(route, async (context) => {
    const { id } = context.req.valid("param")
    const { password } = context.req.valid("json")
    const access = context.get("access")
    const user = await permittedUser(sql, access, id, "person")
    await requireRolesOf(sql, access, id)
    if (password !== null && user.email === "") {
      throw new ApiError("invalid_request", "The user has no e-mail address to log in by.", { param: "id" })
    }
    if (password !== null) refuseWeak(password, user.email, "password")
    const hash = password === null ? null : await unlessBusy(() => login.passwords.hash(password))
    await setPassword(sql, actorOf(context), user, hash)
    return context.json(shownUser((await readUser(sql, id)) ?? missingThing("user", id)()), 200)
  })
}

function changeOwn(app: AdminApp, options: AdminOptions): void {
  const { sql, log, login } = options
  const route = createRoute({
    method: "post",
    path: "/auth/password",
    security: [],
    request: { body: jsonBody(passwordChange) },
    responses: answers(200, "A new session; all others of the user have ended.", sessionOutput),
  })
  app.openapi(route, async (context) => {
    const { current, new: next } = context.req.valid("json")
    requirePrivacy(context, login.isBehindTls)
    const presented = await presentedSession(options, context)
    if (presented === null) throw new ApiError("not_logged_in", "Nobody is logged in here.")
    requireOwnPage(context, presented.secret)
    const { holder } = presented.session
    const user = holder.kind === "user" ? await readPasswordUser(sql, holder.id) : null
    if (user === null)
      throw new ApiError("not_permitted", "You do not log in by a password. An admin can set one for a user.")
    const attempt = { account: user.email, ip: callerIp(context) }
    const { passwords } = login
    if (!(await throttled(options, attempt, () => passwords.verify(user.password_hash, current)))) {
      log.warn({ ip: attempt.ip, by: "password" }, "log-in failed")
      throw new ApiError("login_failed", "The current password is another one.", { param: "current" })
    }
    await succeeded(sql, attempt)
    refuseWeak(next, user.email, "new")
    const hash = await unlessBusy(() => passwords.hash(next))
    await setPassword(sql, { name: user.id, ip: attempt.ip }, user, hash)
    const opener = { kind: "user", id: user.id, organizationId: user.organization_id } as const
    return context.json(await shown(options, await startSession(options, context, opener)), 200)
  })
}

function refuseWeak(password: string, email: string, param: string): void {
  const fault = passwordFault(password, email)
  if (fault !== null) throw new ApiError("invalid_request", `${param}: ${fault}.`, { param })
}
