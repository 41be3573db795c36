/**
 * The control plane: everything that is not a model call, on hono. `/admin/v1` takes a bearer admin key on every
 * route; `/healthz` and `/readyz` take none. One place renders every error, in the same shape as the data plane.
 */
import type { HttpBindings } from "@hono/node-server"
import { OpenAPIHono } from "@hono/zod-openapi"
import type { Context } from "hono"
import { bodyLimit } from "hono/body-limit"
import type { AdminIdentified } from "../identity/admin-key.ts"
import type { Directory } from "../identity/directory.ts"
import type { Clock } from "../platform/clock.ts"
import { ApiError, type ErrorCode } from "../platform/error-table.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import { keyRoutes } from "./key-routes.ts"
import { limitRoutes } from "./limit-routes.ts"
import { operationRoutes, type Readiness } from "./operation-routes.ts"
import { peopleRoutes } from "./people-routes.ts"
import { usageRoutes } from "./usage-routes.ts"

const BODY_BYTES_MAX = 1024 * 1024

export type AdminOptions = {
  readonly sql: Sql
  readonly clock: Clock
  readonly log: Log
  readonly directory: Directory
  /** The page `/metrics`, of the process or of all that share its port. */
  readonly metricsPage: () => Promise<string>
  readonly version: string
  readonly mintId: (nowMs: number) => string
  /** The organization that admin calls mean. */
  readonly organizationId: string
  readonly identifyAdmin: (text: string) => Promise<AdminIdentified>
  readonly readiness: () => Readiness
  /** Whether only this machine can reach the listener; `/metrics` is open there and takes an admin key elsewhere. */
  readonly isLoopback: boolean
}

/** What every admin handler finds in its context. */
export type AdminEnv = {
  Bindings: HttpBindings
  Variables: { requestId: string; admin: string }
}
export type AdminApp = OpenAPIHono<AdminEnv>

export function adminApp(options: AdminOptions): AdminApp {
  const app: AdminApp = new OpenAPIHono<AdminEnv>({
    defaultHook: (result) => {
      if (!result.success) throw invalidRequest(result.error.issues)
    },
  })
  app.use(async (context, next) => {
    const requestId = options.mintId(options.clock.nowMs())
    context.set("requestId", requestId)
    context.header("x-request-id", requestId)
    await next()
  })
  app.use("/admin/*", requireAdmin(options))
  app.use("/admin/*", bodyLimit({ maxSize: BODY_BYTES_MAX, onError: bodyTooLarge }))
  app.onError((error, context) => renderError(options.log, error, context))
  app.notFound((context) => renderError(options.log, unknownRoute(context), context))
  operationRoutes(app, options, requireAdmin(options))
  keyRoutes(app, options)
  limitRoutes(app, options)
  peopleRoutes(app, options)
  usageRoutes(app, options)
  app.doc("/openapi.json", { openapi: "3.1.0", info: { title: "Tallygate admin API", version: options.version } })
  return app
}

/** The address of the caller, for the audit log. */
export function callerIp(context: Context<AdminEnv>): string {
  return context.env.incoming?.socket.remoteAddress ?? ""
}

function requireAdmin(options: AdminOptions) {
  return async (context: Context<AdminEnv>, next: () => Promise<void>) => {
    const presented = /^Bearer +(\S+) *$/i.exec(context.req.header("authorization") ?? "")?.[1]
    const headers = [["www-authenticate", 'Bearer realm="tallygate admin"']] as const
    if (presented === undefined) {
      throw new ApiError("invalid_api_key", "The admin API takes `Authorization: Bearer` with an admin key.", {
        headers,
      })
    }
    const identified = await options.identifyAdmin(presented)
    if (identified.kind === "refused") {
      throw new ApiError("invalid_api_key", "This admin key is not valid or was revoked.", { headers })
    }
    context.set("admin", identified.name)
    await next()
  }
}

type Issue = {
  readonly code?: string
  readonly path: readonly PropertyKey[]
  readonly message: string
  readonly keys?: readonly string[]
}

/** The first issue decides the code; every issue stands in the message, each with the path it is about. */
function invalidRequest(issues: readonly Issue[]): ApiError {
  const unknown = issues.find((issue) => issue.code === "unrecognized_keys")
  const code: ErrorCode = unknown === undefined ? "invalid_request" : "unknown_field"
  const first = unknown ?? issues[0]
  const param = unknown?.keys?.[0] ?? first?.path.join(".")
  const message = issues.map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`).join("; ")
  return new ApiError(code, `${message}. The fields are described in /openapi.json.`, param ? { param } : {})
}

function bodyTooLarge(): never {
  const message = `A request to the admin API has at most ${BODY_BYTES_MAX} bytes.`
  throw new ApiError("request_too_large", message, { headers: [["connection", "close"]] })
}

function unknownRoute(context: Context): ApiError {
  const path = context.req.path.slice(0, 100)
  return new ApiError(
    "route_not_found",
    `There is no ${context.req.method} ${path}. The routes stand in /openapi.json.`,
  )
}

function renderError(log: Log, error: unknown, context: Context<AdminEnv>): Response {
  const known = error instanceof ApiError ? error : faultOf(log, error, context)
  for (const [name, value] of known.headers) context.header(name, value)
  return context.json(known.toJson(), known.status)
}

function faultOf(log: Log, error: unknown, context: Context<AdminEnv>): ApiError {
  if (error instanceof SyntaxError || isBadJson(error)) {
    return new ApiError("invalid_json", "The request body is not valid JSON.")
  }
  // The OpenAPI layer's own refusal of a content-type, such as the one that `curl -d` sends unasked.
  if (error instanceof Error && "status" in error && error.status === 415) {
    return new ApiError("invalid_request", "Send the body as JSON, with `content-type: application/json`.")
  }
  const requestId = context.get("requestId")
  log.error({ err: error, request_id: requestId, route: context.req.path }, "admin call failed")
  return new ApiError("internal_error", `Tallygate failed. Please report the request id ${requestId}.`)
}

/** hono reports a body that JSON.parse refuses as an HTTP exception of its own. */
function isBadJson(error: unknown): boolean {
  return error instanceof Error && "status" in error && error.status === 400
}
