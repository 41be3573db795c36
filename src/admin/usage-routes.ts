/**
 * Who spent what: sums, sums over time, single records, exports, for admins and for key holders. Both ask the same
 * questions of the same layer; whose usage an answer may contain is the door's.
 */
import { Readable } from "node:stream"
import { createRoute, z } from "@hono/zod-openapi"
import { explainRecord } from "../reporting/explain-record.ts"
import { exportRecords, exportReport, written } from "../reporting/export.ts"
import { namesOf } from "../reporting/names.ts"
import { FILTER_SHAPE, recordsQuestion, usageQuestion } from "../reporting/question.ts"
import { CONTENT_TYPES, EXPORT_FORMATS } from "../reporting/table.ts"
import { adjustmentsOf, usageRecord, usageRecords } from "../reporting/usage-records.ts"
import { usageReport } from "../reporting/usage-report.ts"
import { permit } from "./access.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { answers, idParams, missingThing, pageOf } from "./answers.ts"
import { explanationOutput } from "./explanation-shape.ts"
import { recordStream } from "./record-stream.ts"
import { readQuery, type UsageDoor } from "./usage-door.ts"
import { answered, seriesOutput, shownSeries, shownSummary, summaryOutput } from "./usage-shape.ts"

const ADMINS: UsageDoor = {
  base: "/admin/v1/usage",
  security: [{ adminKey: [] }],
  middleware: [permit("usage:read")],
  scopeOf: (context) => context.get("access").visible(),
}

const recordOutput = z.record(z.string(), z.unknown()).openapi("UsageRecord")
const seriesQuestion = usageQuestion.transform((question) => ({
  ...question,
  bucket: question.bucket ?? ("auto" as const),
}))
const recordsQuery = recordsQuestion.extend({ request_id: z.string().max(100).optional() })
const exportQuery = z.looseObject({
  format: z.enum(EXPORT_FORMATS).default("csv"),
  view: z.enum(["summary", "series", "records"]).default("summary").openapi({
    description: "What the other parameters are those of.",
  }),
  ...Object.fromEntries(Object.keys(FILTER_SHAPE).map((name) => [name, z.string().optional()])),
})

export function usageRoutes(app: AdminApp, options: AdminOptions, door: UsageDoor = ADMINS): void {
  sums(app, options, door)
  records(app, options, door)
  exports(app, options, door)
  recordStream(app, options, door)
}

function sums(app: AdminApp, options: AdminOptions, { base, security, middleware, scopeOf }: UsageDoor): void {
  const { sql, clock } = options
  const summary = createRoute({
    method: "get",
    path: `${base}/summary`,
    security,
    middleware,
    request: { query: usageQuestion.omit({ bucket: true }) },
    responses: answers(200, "Sums of what matches, by up to two dimensions.", summaryOutput),
  })
  app.openapi(summary, async (context) => {
    const question = { ...context.req.valid("query"), bucket: undefined }
    const report = answered(await usageReport(options, question, await scopeOf(context), clock.nowMs()))
    return context.json(shownSummary(report, await namesOf(sql, report)), 200)
  })

  const series = createRoute({
    method: "get",
    path: `${base}/series`,
    security,
    middleware,
    request: { query: seriesQuestion },
    responses: answers(200, "The same over time, by the hour, day, week or month.", seriesOutput),
  })
  app.openapi(series, async (context) => {
    const question = context.req.valid("query")
    const report = answered(await usageReport(options, question, await scopeOf(context), clock.nowMs()))
    return context.json(shownSeries(report, await namesOf(sql, report)), 200)
  })
}

function records(
  app: AdminApp,
  { sql, clock, findSheet, prices }: AdminOptions,
  { base, security, middleware, scopeOf }: UsageDoor,
): void {
  const recordOf = async (id: string, context: Parameters<UsageDoor["scopeOf"]>[0]) =>
    (await usageRecord(sql, id, await scopeOf(context))) ?? missingThing("record", id)()

  const list = createRoute({
    method: "get",
    path: `${base}/records`,
    security,
    middleware,
    request: { query: recordsQuery },
    responses: answers(200, "A page of single records, newest first unless told.", pageOf(recordOutput)),
  })
  app.openapi(list, async (context) => {
    const { request_id: id, ...question } = context.req.valid("query")
    const scope = await scopeOf(context)
    if (id !== undefined) {
      const record = await usageRecord(sql, id, scope)
      return context.json({ data: record === null ? [] : [record], next: null }, 200)
    }
    const page = answered(await usageRecords(sql, question, scope, clock.nowMs()))
    return context.json({ data: [...page.records], next: page.next }, 200)
  })

  const one = createRoute({
    method: "get",
    path: `${base}/records/{id}`,
    security,
    middleware,
    request: { params: idParams },
    responses: answers(200, "The record of one call, by the x-request-id of its answer.", recordOutput),
  })
  app.openapi(one, async (context) => {
    const { id } = context.req.valid("param")
    return context.json(await recordOf(id, context), 200)
  })

  const explain = createRoute({
    method: "get",
    path: `${base}/records/{id}/explain`,
    security,
    middleware,
    request: { params: idParams },
    responses: answers(200, "Why the call cost what it cost, line by line and in words.", explanationOutput),
  })
  app.openapi(explain, async (context) => {
    const { id } = context.req.valid("param")
    const record = await recordOf(id, context)
    const adjustments = await adjustmentsOf(sql, record)
    return context.json(explainRecord(record, adjustments, { findSheet, prices: prices() }), 200)
  })
}

function exports(app: AdminApp, options: AdminOptions, { base, security, middleware, scopeOf }: UsageDoor): void {
  const { sql, clock } = options
  const route = createRoute({
    method: "get",
    path: `${base}/export`,
    security,
    middleware,
    request: { query: exportQuery },
    responses: {
      200: { description: "The view as a file.", content: { "text/csv": { schema: z.string() } } },
      400: answers(200, "", z.unknown())[400],
    },
  })
  app.openapi(route, async (context) => {
    const { format, view, ...rest } = context.req.valid("query")
    const scope = await scopeOf(context)
    const nowMs = clock.nowMs()
    const found = answered(
      view === "records"
        ? await exportRecords(sql, readQuery(recordsQuestion, rest), scope, nowMs)
        : await exportReport(
            options,
            readQuery(view === "series" ? seriesQuestion : usageQuestion, rest),
            scope,
            nowMs,
          ),
    )
    const name = `tallygate-${view}-${new Date(found.asOfMs).toISOString().slice(0, 19).replaceAll(":", "-")}.${format}`
    context.header("content-type", CONTENT_TYPES[format])
    context.header("content-disposition", `attachment; filename="${name}"`)
    return context.body(Readable.toWeb(Readable.from(bytesOf(written(format, found.table)))) as ReadableStream)
  })
}

async function* bytesOf(pieces: AsyncIterable<string | Uint8Array>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder()
  for await (const piece of pieces) yield typeof piece === "string" ? encoder.encode(piece) : piece
}
