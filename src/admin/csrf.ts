/**
 * Whether a request with a cookie comes from a page of ours. A browser sends the cookie unasked, so what changes
 * something needs two more things that another site can bring neither of: the token that only our page has read, and
 * the browser's own word on where the request comes from.
 */
import type { Context } from "hono"
import { isCsrfTokenOf } from "../identity/session.ts"
import { ApiError } from "../platform/error-table.ts"
import type { AdminEnv } from "./admin-app.ts"

const READING = new Set(["GET", "HEAD"])

/** Refuses what changes something, unless it carries the session's token and comes from our own page. */
export function requireOwnPage(context: Context<AdminEnv>, secret: string): void {
  if (READING.has(context.req.method)) return
  if (!isCsrfTokenOf(secret, context.req.header("x-tallygate-csrf") ?? "")) {
    throw refused("Send the session's csrf_token in the header x-tallygate-csrf.")
  }
  if (origin(context) !== "own") throw refused("A session is used from Tallygate's own pages alone.")
}

/** Refuses log-in from other sites' pages: they could log a person in as somebody else. Programs say nothing of a page. */
export function refuseOtherSites(context: Context<AdminEnv>): void {
  if (origin(context) === "other") throw refused("Log-in is done from Tallygate's own pages alone.")
}

/** Where the browser says that the request comes from; older ones say it in Origin alone. */
function origin(context: Context<AdminEnv>): "own" | "other" | "unsaid" {
  const site = context.req.header("sec-fetch-site")
  if (site !== undefined) return site === "same-origin" ? "own" : "other"
  const from = context.req.header("origin")
  if (from === undefined) return "unsaid"
  return URL.canParse(from) && new URL(from).host === context.req.header("host")?.toLowerCase() ? "own" : "other"
}

function refused(message: string): ApiError {
  return new ApiError("csrf_refused", message)
}
