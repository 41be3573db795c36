/** Admins report usage that did not pass the proxy, for what their role covers, and correct what is booked. */
import { createRoute, type z } from "@hono/zod-openapi"
import { DEFAULT_PROJECT, readProject, readProjectNamed } from "../identity/project-registry.ts"
import { namedReporter, type Reporter } from "../identity/reporter.ts"
import type { Report } from "../ledger/report-book.ts"
import type { UsageRecord } from "../ledger/usage-record.ts"
import { ApiError } from "../platform/error-table.ts"
import { usageRecord } from "../reporting/usage-records.ts"
import { type Access, organizationMeant, permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idParams, jsonBody, missingThing } from "./answers.ts"
import {
  adjustedOutput,
  bookBody,
  faultError,
  readRecord,
  recordsDeclared,
  shownAdjusted,
  told,
} from "./report-answers.ts"
import { adjustmentInput, adminReport, readDelta, readReport } from "./report-shape.ts"

export function reportRoutes(app: AdminApp, options: AdminOptions): void {
  bookRoute(app, options)
  adjustRoute(app, options)
}

function bookRoute(app: AdminApp, options: AdminOptions): void {
  const { clock, reports } = options
  app.openAPIRegistry.register("UsageReportByAdmin", adminReport)
  const { body, responses } = recordsDeclared("UsageReportByAdmin")
  const route = createRoute({
    method: "post",
    path: "/admin/v1/usage/records",
    middleware: permit("usage:write"),
    request: { body },
    responses,
  })
  app.openapi(route, async (context) => {
    const access = context.get("access")
    const known = new Map<string, Promise<Reporter>>()
    const read = async (record: unknown): Promise<Report> => {
      const wanted = readRecord(adminReport, record)
      const said = readReport(wanted, clock.nowMs())
      if ("message" in said) throw faultError(said)
      const named = JSON.stringify([wanted.organization_id, wanted.project_id, wanted.user, wanted.key_id])
      let finding = known.get(named)
      if (finding === undefined) {
        finding = findReporter(options, access, wanted)
        known.set(named, finding)
      }
      const reporter = await finding
      return { reporter, said, key: wanted.idempotency_key ?? null, source: `project:${reporter.projectId}` }
    }
    const { isBatch, outcomes } = await bookBody(reports.book, await context.req.json(), read)
    // A batch of records that nobody could read has asked for nothing yet.
    if (!access.isAsked) access.visible()
    return told(context, isBatch, outcomes)
  })
}

/** Whose usage it is, where the caller's role covers it. @throws ApiError */
async function findReporter(
  { sql, organizationId: defaultId, reports }: AdminOptions,
  access: Access,
  wanted: z.output<typeof adminReport>,
): Promise<Reporter> {
  const { project_id: projectId, organization_id: named } = wanted
  const organizationId = organizationMeant(access.principal, named, defaultId)
  const missing = missingThing("project", projectId ?? DEFAULT_PROJECT, "project_id")
  const project =
    (projectId === undefined
      ? await readProjectNamed(sql, organizationId, DEFAULT_PROJECT)
      : await readProject(sql, projectId)) ?? missing()
  const place = { organizationId: project.organization_id, projectId: project.id }
  access.on({ scope: "project", ...place }, missing)
  if (named !== undefined && named !== project.organization_id) missing()
  const found = await reports.book.run((some) =>
    namedReporter(some, place, { user: wanted.user ?? "", keyId: wanted.key_id ?? "" }),
  )
  if (found.kind === "reporter") return found.reporter
  throw new ApiError(found.isForbidden ? "not_permitted" : "invalid_request", found.message, { param: found.param })
}

function adjustRoute(app: AdminApp, { sql, reports }: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/admin/v1/usage/records/{id}/adjustments",
    middleware: permit("usage:write"),
    request: { params: idParams, body: jsonBody(adjustmentInput) },
    responses: answers(201, "The correction, booked as an entry beside the record.", adjustedOutput),
  })
  app.openapi(route, async (context) => {
    const { id } = context.req.valid("param")
    const wanted = context.req.valid("json")
    const missing = missingThing("record", id)
    const original = ((await usageRecord(sql, id, { kind: "all" })) ?? missing()) as unknown as UsageRecord
    const { organization_id: organizationId, project_id: projectId } = original
    context.get("access").on({ scope: "project", organizationId, projectId }, missing)
    if (original.kind === "adjustment") {
      const message = `This record is a correction itself. Correct the record that it is of: ${original.adjusts_id}.`
      throw new ApiError("invalid_request", message, { param: "id" })
    }
    const delta = readDelta(wanted)
    if ("message" in delta) throw faultError(delta)
    const { cost_usd: cost, reason, idempotency_key: key } = wanted
    const correction = { original, delta, costPicos: cost ?? null, reason: reason.trim(), key: key ?? null }
    return context.json(shownAdjusted(await reports.book.adjust(correction, actorOf(context)), original.id), 201)
  })
}
