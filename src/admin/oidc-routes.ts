/**
 * Log-in at the identity provider. A browser goes there and comes back; what goes wrong on the way is told on a page,
 * since there is no program to tell it to.
 */
import type { Context } from "hono"
import { OidcClient, OidcError } from "../identity/oidc-client.ts"
import { oidcUser } from "../identity/oidc-user.ts"
import { ApiError } from "../platform/error-table.ts"
import { type AdminApp, type AdminEnv, type AdminOptions, callerIp } from "./admin-app.ts"
import type { OidcLogin } from "./authenticate.ts"
import { clearCookie, isHttps, readCookie, requirePrivacy, writeCookie } from "./session-cookie.ts"
import { startSession } from "./session-routes.ts"

const CALLBACK = "/auth/oidc/callback"
const AFTERWARDS = "/dashboard"
/** A name or address as URLs write it, with its port: what else is sent as Host is not repeated. */
const HOST = /^[A-Za-z0-9.-]{1,253}(?::\d{1,5})?$|^\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?$/

export function oidcRoutes(app: AdminApp, options: AdminOptions): void {
  const { oidc } = options.login
  if (oidc === null) return
  app.get("/auth/oidc/start", (context) => onPage(options, context, () => start(options, oidc, context)))
  app.get(CALLBACK, (context) => onPage(options, context, () => finish(options, oidc, context)))
}

async function start(options: AdminOptions, oidc: OidcLogin, context: Context<AdminEnv>): Promise<Response> {
  requirePrivacy(context, options.login.isBehindTls)
  const { secret, url } = await oidc.client.start(redirectUrl(options, oidc, context), options.clock.nowMs())
  writeCookie(context, "oidc", secret, OidcClient.secondsMax)
  return context.redirect(url)
}

async function finish(options: AdminOptions, oidc: OidcLogin, context: Context<AdminEnv>): Promise<Response> {
  requirePrivacy(context, options.login.isBehindTls)
  const secret = readCookie(context, "oidc") ?? ""
  // Used once, whatever comes of it.
  clearCookie(context, "oidc")
  const answer = new URL(context.req.url).searchParams
  const url = redirectUrl(options, oidc, context)
  const claims = await oidc.client.finish(url, answer, secret, options.clock.nowMs())
  const user = await oidcUser(options.sql, oidc.rules, claims, callerIp(context))
  if (user.kind === "refused") throw new ApiError("not_permitted", user.message)
  await startSession(options, context, { kind: "user", id: user.id, organizationId: user.organizationId })
  return context.redirect(AFTERWARDS)
}

function redirectUrl({ login }: AdminOptions, oidc: OidcLogin, context: Context<AdminEnv>): string {
  if (oidc.redirectUrl !== null) return oidc.redirectUrl
  const host = context.req.header("host") ?? ""
  if (!HOST.test(host)) throw new ApiError("invalid_request", "The request names no host. Set oidc.redirect_url.")
  return `${isHttps(context, login.isBehindTls) ? "https" : "http"}://${host}${CALLBACK}`
}

const SENTENCES = {
  unreachable: "The identity provider does not answer. Try again in a moment.",
  refused: "The identity provider did not complete the log-in. Begin it again.",
  invalid: "The answer does not belong to a log-in that began in this browser a moment ago. Begin it again.",
} as const satisfies Record<OidcError["kind"], string>

/** Answers with a page where an act fails in a way that a person can do something about. */
async function onPage(
  { log }: AdminOptions,
  context: Context<AdminEnv>,
  act: () => Promise<Response>,
): Promise<Response> {
  try {
    return await act()
  } catch (error) {
    if (error instanceof ApiError) return page(context, error.status, error.message)
    if (!(error instanceof OidcError)) throw error
    const { kind, detail } = error
    log.warn({ ip: callerIp(context), by: "oidc", kind, detail, request_id: context.get("requestId") }, "log-in failed")
    return page(context, kind === "unreachable" ? 502 : 400, SENTENCES[kind])
  }
}

function page(
  context: Context<AdminEnv>,
  status: ApiError["status"] | 502,
  sentence: string,
): Response | Promise<Response> {
  const requestId = context.get("requestId")
  return context.html(
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Log-in</title></head><body>` +
      `<h1>Log-in</h1><p>${escaped(sentence)}</p><p>Request ${escaped(requestId)}</p>` +
      `<p><a href="${AFTERWARDS}">Back</a></p></body></html>`,
    status,
  )
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (mark) => `&#${mark.charCodeAt(0)};`)
}
