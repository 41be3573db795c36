/**
 * What of the control plane a listener serves. One listener serves all of it unless the configuration gives parts a
 * listener of their own; health is served by every one. What a listener does not serve is no route there at all.
 */
import type { Context, Next } from "hono"
import { ApiError } from "../platform/error-table.ts"
import type { AdminEnv } from "./admin-app.ts"

export type Serves = {
  /** The admin API and the dashboard. */
  readonly control: boolean
  /** Key holders' own keys and what they report, wherever calls or the dashboard are. */
  readonly ownKeys: boolean
  readonly metrics: "open" | "with an admin key" | "no"
}

/** Of a listener that says nothing about itself. */
const EVERYTHING: Serves = { control: true, ownKeys: true, metrics: "with an admin key" }
const OWN = /^\/v1\/(?:keys(?:\/|$)|usage(?:$|\/hold$))/
const HEALTH = new Set(["/healthz", "/readyz"])

export function servesOf({ env }: Context<AdminEnv>): Serves {
  return env?.serves ?? EVERYTHING
}

/** Middleware that knows no path but those that the listener serves; it decides by the path that routes go by. */
export async function onlyServed(context: Context<AdminEnv>, next: Next): Promise<void> {
  const serves = servesOf(context)
  const { method, path } = context.req
  const isServed =
    path === "/metrics"
      ? serves.metrics !== "no"
      : HEALTH.has(path) || serves.control || (serves.ownKeys && OWN.test(path))
  if (!isServed) throw new ApiError("route_not_found", `There is no ${method} ${path.slice(0, 100)} on this listener.`)
  await next()
}
