/**
 * The control plane: everything that is not a model call, on hono. `/admin/v1` takes an admin key or a session on every
 * route; `/v1/key`, `/v1/keys` and `/v1/usage` a virtual key or a session; `/auth` opens sessions, `/healthz` and `/readyz`
 * take none. One place renders every error, in the same shape as the data plane.
 */
import type { HttpBindings } from "@hono/node-server"
import { OpenAPIHono } from "@hono/zod-openapi"
import type { Context } from "hono"
import { bodyLimit } from "hono/body-limit"
import type { AdminIdentified } from "../identity/admin-key.ts"
import type { Actor } from "../identity/audit.ts"
import type { Directory } from "../identity/directory.ts"
import type { Clock } from "../platform/clock.ts"
import { ApiError, type ErrorCode } from "../platform/error-table.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import type { FindSheet } from "../reporting/token-classes.ts"
import type { Access, Principal } from "./access.ts"
import { adminKeyRoutes } from "./admin-key-routes.ts"
import { alertChannelRoutes } from "./alert-channel-routes.ts"
import { alertDeliveryRoutes } from "./alert-delivery-routes.ts"
import { alertRuleRoutes } from "./alert-rule-routes.ts"
import type { AlertOptions } from "./alert-shape.ts"
import { auditRoutes } from "./audit-routes.ts"
import { type LoginOptions, requireAdminKey, requirePrincipal } from "./authenticate.ts"
import { budgetCheckRoutes } from "./budget-check-routes.ts"
import { budgetRoutes } from "./budget-routes.ts"
import { dashboardRoutes } from "./dashboard-routes.ts"
import { digestRoutes } from "./digest-routes.ts"
import { docsRoutes } from "./docs-routes.ts"
import { effectivePriceRoutes } from "./effective-price-routes.ts"
import { holdRoutes } from "./hold-routes.ts"
import { importRoutes } from "./import-routes.ts"
import { keyRoutes } from "./key-routes.ts"
import { limitRaiseRoutes } from "./limit-raise-routes.ts"
import { limitRoutes } from "./limit-routes.ts"
import { limitWindowRoutes } from "./limit-window-routes.ts"
import type { Counters } from "./live-limits.ts"
import { memberRoutes } from "./member-routes.ts"
import { oidcRoutes } from "./oidc-routes.ts"
import { openAiUsageRoutes } from "./openai-usage-routes.ts"
import { describeApi } from "./openapi.ts"
import { operationRoutes, type Readiness } from "./operation-routes.ts"
import { organizationRoutes } from "./organization-routes.ts"
import { ownKeyRoutes } from "./own-key-routes.ts"
import { ownReportRoutes } from "./own-report-routes.ts"
import { ownUsageRoutes } from "./own-usage-routes.ts"
import { passwordRoutes } from "./password-routes.ts"
import { periodRoutes } from "./period-routes.ts"
import { CATALOG_BYTES_MAX, catalogTooLarge, PRICE_IMPORT_PATH, priceImportRoutes } from "./price-import-routes.ts"
import { priceRoutes } from "./price-routes.ts"
import type { PricesNow } from "./price-shape.ts"
import { priceTermsRoutes } from "./price-terms-routes.ts"
import { priceUseRoutes } from "./price-use-routes.ts"
import { privacyRoutes } from "./privacy-routes.ts"
import type { PrivacyOptions } from "./privacy-shape.ts"
import { projectRoutes } from "./project-routes.ts"
import { projectionRoutes } from "./projection-routes.ts"
import { providerRoutes } from "./provider-routes.ts"
import type { ProviderOptions } from "./provider-view.ts"
import type { ReportOptions } from "./report-answers.ts"
import { reportRoutes } from "./report-routes.ts"
import { repriceRoutes } from "./reprice-routes.ts"
import { roleRoutes } from "./role-routes.ts"
import { onlyServed, type Serves } from "./serves.ts"
import { sessionRoutes } from "./session-routes.ts"
import { usageRoutes } from "./usage-routes.ts"
import { userRoutes } from "./user-routes.ts"

/** A thousand imported users with long names fit. */
export const BODY_BYTES_MAX = 2 * 1024 * 1024

export type AdminOptions = {
  readonly sql: Sql
  readonly clock: Clock
  readonly log: Log
  readonly directory: Directory
  /** The page `/metrics`, of the process or of all that share its port. */
  readonly metricsPage: () => Promise<string>
  readonly version: string
  readonly mintId: (nowMs: number) => string
  /** The organization that admin calls mean which name none. */
  readonly organizationId: string
  readonly identifyAdmin: (text: string) => Promise<AdminIdentified>
  readonly readiness: () => Readiness
  readonly providers: ProviderOptions
  /** Where the prices of records are looked up, for costs by token class. */
  readonly findSheet: FindSheet
  readonly login: LoginOptions
  readonly alerts: AlertOptions
  readonly privacy: PrivacyOptions
  /** What limits count at the moment. */
  readonly counters: Counters
  readonly reports: ReportOptions
  readonly prices: PricesNow
}

/** What admin handlers find in their context: `principal` behind the log-in, `access` behind a route's `permit`. */
export type AdminEnv = {
  Bindings: HttpBindings & { readonly serves?: Serves }
  Variables: { requestId: string; principal: Principal; access: Access }
}
export type AdminApp = OpenAPIHono<AdminEnv>

export function adminApp(options: AdminOptions): AdminApp {
  const app: AdminApp = new OpenAPIHono<AdminEnv>({
    defaultHook: (result) => {
      if (!result.success) throw invalidRequest(result.error.issues, result.target)
    },
  })
  app.use(async (context, next) => {
    const requestId = options.mintId(options.clock.nowMs())
    context.set("requestId", requestId)
    context.header("x-request-id", requestId)
    await next()
  })
  app.use(onlyServed)
  app.use("/admin/*", requirePrincipal(options))
  const limited = bodyLimit({ maxSize: BODY_BYTES_MAX, onError: bodyTooLarge })
  const catalogLimited = bodyLimit({ maxSize: CATALOG_BYTES_MAX, onError: catalogTooLarge })
  app.use("/auth/*", limited)
  app.use("/admin/*", (context, next) =>
    (context.req.path === PRICE_IMPORT_PATH ? catalogLimited : limited)(context, next),
  )
  app.onError((error, context) => renderError(options.log, error, context))
  app.notFound((context) => renderError(options.log, unknownRoute(context), context))
  operationRoutes(app, options, requireAdminKey(options))
  sessionRoutes(app, options)
  passwordRoutes(app, options)
  oidcRoutes(app, options)
  ownKeyRoutes(app, options)
  organizationRoutes(app, options)
  projectRoutes(app, options)
  memberRoutes(app, options)
  userRoutes(app, options, "person")
  userRoutes(app, options, "service_account")
  roleRoutes(app, options)
  privacyRoutes(app, options)
  keyRoutes(app, options)
  limitRoutes(app, options)
  limitRaiseRoutes(app, options)
  limitWindowRoutes(app, options)
  holdRoutes(app, options)
  budgetRoutes(app, options)
  budgetCheckRoutes(app, options)
  adminKeyRoutes(app, options)
  importRoutes(app, options)
  auditRoutes(app, options)
  providerRoutes(app, options)
  priceImportRoutes(app, options)
  effectivePriceRoutes(app, options)
  priceUseRoutes(app, options)
  repriceRoutes(app, options)
  priceRoutes(app, options)
  priceTermsRoutes(app, options)
  alertRuleRoutes(app, options)
  alertChannelRoutes(app, options)
  alertDeliveryRoutes(app, options)
  digestRoutes(app, options)
  usageRoutes(app, options)
  projectionRoutes(app, options)
  periodRoutes(app, options)
  ownUsageRoutes(app, options)
  ownReportRoutes(app, options)
  reportRoutes(app, options)
  openAiUsageRoutes(app, options)
  describeApi(app, options.version)
  docsRoutes(app, options.version)
  dashboardRoutes(app)
  return app
}

/** Who acts, for the audit log. */
export function actorOf(context: Context<AdminEnv>): Actor {
  return { name: context.get("principal").name, ip: callerIp(context) }
}

/** The address of the caller's end of the connection. */
export function callerIp(context: Context<AdminEnv>): string {
  return context.env.incoming?.socket.remoteAddress ?? ""
}

type Issue = {
  readonly code?: string
  readonly path: readonly PropertyKey[]
  readonly message: string
  readonly keys?: readonly string[]
}

/** The first issue decides the code; every issue stands in the message, each with the path it is about. */
export function invalidRequest(issues: readonly Issue[], target = "json"): ApiError {
  const unknown = issues.find((issue) => issue.code === "unrecognized_keys")
  const code: ErrorCode = unknown === undefined ? "invalid_request" : "unknown_field"
  const first = unknown ?? issues[0]
  // A list in a query is one parameter.
  const path = target === "query" ? first?.path.slice(0, 1) : first?.path
  const param = unknown?.keys?.[0] ?? path?.join(".")
  const message = issues.map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`).join("; ")
  return new ApiError(code, `${message}. The fields are described in /openapi.json.`, param ? { param } : {})
}

export function bodyTooLarge(): never {
  const message = `A request has at most ${BODY_BYTES_MAX} bytes.`
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
