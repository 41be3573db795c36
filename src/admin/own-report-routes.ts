/** A virtual key reports usage that did not pass the proxy, and holds room for it beforehand. */
import { createRoute, z } from "@hono/zod-openapi"
import type { Context } from "hono"
import { bodyLimit } from "hono/body-limit"
import { keyReporter, type Reporter } from "../identity/reporter.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import type { Report } from "../ledger/report-book.ts"
import { ApiError } from "../platform/error-table.ts"
import { type AdminApp, type AdminEnv, type AdminOptions, BODY_BYTES_MAX, bodyTooLarge } from "./admin-app.ts"
import { answers, jsonBody } from "./answers.ts"
import { holderOf } from "./own-key-routes.ts"
import { type BookedOutput, bookBody, faultError, readRecord, recordsDeclared, told } from "./report-answers.ts"
import { holdInput, keyReport, readReport } from "./report-shape.ts"

const SECURITY = [{ virtualKey: [] }]

const holdOutput = z.object({ hold_id: z.string(), expires_at: z.string() }).openapi("UsageHold")

export function ownReportRoutes(app: AdminApp, options: AdminOptions): void {
  const limited = bodyLimit({ maxSize: BODY_BYTES_MAX, onError: bodyTooLarge })
  app.use("/v1/usage", limited)
  app.use("/v1/usage/hold", limited)
  reportRoute(app, options)
  holdRoute(app, options)
}

function reportRoute(app: AdminApp, options: AdminOptions): void {
  const { clock, reports } = options
  app.openAPIRegistry.register("UsageReport", keyReport)
  const { body, responses } = recordsDeclared("UsageReport")
  const route = createRoute({ method: "post", path: "/v1/usage", security: SECURITY, request: { body }, responses })
  app.openapi(route, async (context) => {
    const key = await presentedKey(options, context)
    const holdIds = new Map<Report, string>()
    const read = async (record: unknown): Promise<Report> => {
      const wanted = readRecord(keyReport, record)
      const said = readReport(wanted, clock.nowMs())
      if ("message" in said) throw faultError(said)
      const reporter = await reporterOf(options, key, wanted)
      const report: Report = { reporter, said, key: wanted.idempotency_key ?? null, source: `key:${key.id}` }
      if (wanted.hold_id !== undefined) holdIds.set(report, wanted.hold_id)
      return report
    }
    // Only when the record is charged, so that the hold's room is never free in between.
    const endHold = async (report: Report, booked: BookedOutput): Promise<BookedOutput> => {
      const id = holdIds.get(report)
      if (id === undefined) return booked
      return { ...booked, hold: (await reports.holds.end(id, key.id)) ? "released" : "not_found" }
    }
    const { isBatch, outcomes } = await bookBody(reports.book, await context.req.json(), read, endHold)
    return told(context, isBatch, outcomes)
  })
}

function holdRoute(app: AdminApp, options: AdminOptions): void {
  const { clock, reports } = options
  const route = createRoute({
    method: "post",
    path: "/v1/usage/hold",
    security: SECURITY,
    request: { body: jsonBody(holdInput) },
    responses: {
      ...answers(201, "The hold, to be named as hold_id by the report that ends it.", holdOutput),
      429: answers(429, "A limit has no room for it, as for a call.", z.unknown())[429],
    },
  })
  app.openapi(route, async (context) => {
    const key = await presentedKey(options, context)
    const wanted = context.req.valid("json")
    const expected = readReport(wanted, clock.nowMs())
    if ("message" in expected) throw faultError(expected)
    const reporter = await reporterOf(options, key, wanted)
    const { id, expiresAtMs } = await reports.holds.make(reporter, expected, wanted.expires_in * 1_000)
    return context.json({ hold_id: id, expires_at: new Date(expiresAtMs).toISOString() }, 201)
  })
}

async function presentedKey(options: AdminOptions, context: Context<AdminEnv>): Promise<VirtualKey> {
  const { holder } = await holderOf(options, context)
  if (holder.kind === "key") return holder.key
  throw new ApiError("invalid_api_key", "Usage is reported with a virtual key: `Authorization: Bearer tg_…`.")
}

/** Whose usage it is, within what the key is bound to. @throws ApiError */
async function reporterOf(
  { directory }: AdminOptions,
  key: VirtualKey,
  {
    user = "",
    project_id: projectId,
  }: { readonly user?: string | undefined; readonly project_id?: string | undefined },
): Promise<Reporter> {
  if (projectId !== undefined && projectId !== key.projectId) {
    const message = "A key reports for its own project alone. Leave project_id out, or use a key of that project."
    throw new ApiError("not_permitted", message, { param: "project_id" })
  }
  const found = await keyReporter(key, user, (organizationId, text) => directory.user(organizationId, text)).catch(
    (cause: unknown) => {
      const headers = [["retry-after", "2"]] as const
      throw new ApiError("identity_store_unavailable", "Users cannot be looked up at the moment. Try again.", {
        headers,
        cause,
      })
    },
  )
  if (found.kind === "reporter") return found.reporter
  throw new ApiError(found.isForbidden ? "not_permitted" : "unknown_user", found.message, { param: found.param })
}
