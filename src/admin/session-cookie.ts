/**
 * The cookies of log-in, and where they may be used. `__Host-` makes browsers keep them to this host and to HTTPS, as
 * which they count plain HTTP on their own machine. No script can read them, and other sites' requests do not carry them.
 */
import type { Context } from "hono"
import { deleteCookie, getCookie, setCookie } from "hono/cookie"
import { ApiError } from "../platform/error-table.ts"
import type { AdminEnv } from "./admin-app.ts"

/** Both are sent as `__Host-…`. The second one comes back with a redirect from another site, the identity provider. */
const COOKIES = {
  session: { name: "tallygate", sameSite: "Strict" },
  oidc: { name: "tallygate-oidc", sameSite: "Lax" },
} as const
type CookieOf = keyof typeof COOKIES

export function readCookie(context: Context<AdminEnv>, cookie: CookieOf): string | null {
  return getCookie(context, COOKIES[cookie].name, "host") ?? null
}

export function writeCookie(context: Context<AdminEnv>, cookie: CookieOf, value: string, secondsMax: number): void {
  const { name, sameSite } = COOKIES[cookie]
  setCookie(context, name, value, {
    prefix: "host",
    httpOnly: true,
    sameSite,
    maxAge: Math.max(0, Math.floor(secondsMax)),
  })
}

export function clearCookie(context: Context<AdminEnv>, cookie: CookieOf): void {
  const { name, sameSite } = COOKIES[cookie]
  deleteCookie(context, name, { prefix: "host", httpOnly: true, sameSite, secure: true, path: "/" })
}

/** Whether the browser's end of the connection speaks HTTPS. */
export function isHttps(context: Context<AdminEnv>, isBehindTls: boolean): boolean {
  return isBehindTls || isEncrypted(context)
}

/** Refuses log-in where a password would be readable on its way, and browsers would not keep the cookie. */
export function requirePrivacy(context: Context<AdminEnv>, isBehindTls: boolean): void {
  const address = context.env.incoming?.socket.remoteAddress ?? ""
  if (isHttps(context, isBehindTls) || /^(?:::ffff:)?127\.|^::1$/.test(address)) return
  const message =
    "Log-in from another machine takes HTTPS. Set listen.tls, or sessions.behind_tls: true where a proxy in front of " +
    "Tallygate speaks HTTPS."
  throw new ApiError("not_permitted", message)
}

function isEncrypted(context: Context<AdminEnv>): boolean {
  const socket = context.env.incoming?.socket
  return socket !== undefined && "encrypted" in socket && socket.encrypted === true
}
