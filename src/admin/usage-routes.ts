/** Who spent what: sums by dimension, and the single records behind them. */
import { createRoute, z } from "@hono/zod-openapi"
import { ApiError } from "../platform/error-table.ts"
import { usageRecord, usageRecords } from "../reporting/usage-records.ts"
import {
  quarterAfter,
  quarterBefore,
  SUMMARY_DIMENSIONS,
  type SummaryDimension,
  usageSummary,
} from "../reporting/usage-summary.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { answers, nextAfter, PAGE_MAX, pageOf } from "./answers.ts"

const DAY_MS = 24 * 60 * 60_000
const RANGE_MS_DEFAULT = 30 * DAY_MS
const GROUPS_MAX = 2

/** An empty value means the same as none, so that `?from=&to=` is answered. */
const instant = z
  .union([z.literal(""), z.iso.date(), z.iso.datetime({ offset: true })])
  .optional()
  .transform((text) => (text ? Date.parse(text) : null))
  .openapi({ type: "string", description: "A date (midnight UTC) or an ISO 8601 instant." })

const dimensions = Object.keys(SUMMARY_DIMENSIONS) as SummaryDimension[]
const groupBy = z
  .string()
  .max(100)
  .default("")
  .transform((text, context): SummaryDimension[] => {
    const names = text.split(",").filter((part) => part !== "")
    const unknown = names.find((part) => !dimensions.includes(part as SummaryDimension))
    if (unknown !== undefined || names.length > GROUPS_MAX) {
      const message = `must be at most ${GROUPS_MAX} of ${dimensions.join(", ")}, separated by a comma`
      context.addIssue({ code: "custom", message })
      return z.NEVER
    }
    return names as SummaryDimension[]
  })
  .openapi({ type: "string", description: `At most ${GROUPS_MAX} of ${dimensions.join(", ")}.` })

const sums = z.record(z.string(), z.union([z.string(), z.number()]).optional()).openapi("UsageSums")
const summaryOutput = z
  .object({ from: z.string(), to: z.string(), data: z.array(sums), totals: sums })
  .openapi("UsageSummary")
const recordOutput = z.record(z.string(), z.unknown()).openapi("UsageRecord")

export function usageRoutes(app: AdminApp, options: AdminOptions): void {
  const { organizationId, sql } = options
  const summary = createRoute({
    method: "get",
    path: "/admin/v1/usage/summary",
    request: { query: z.strictObject({ from: instant, to: instant, group_by: groupBy }) },
    responses: answers(200, "Sums, widened to whole quarters of an hour as `from` and `to` say.", summaryOutput),
  })
  app.openapi(summary, async (context) => {
    const query = context.req.valid("query")
    const { fromMs, toMs } = range(options, query.from, query.to)
    const [from, to] = [quarterBefore(fromMs), quarterAfter(toMs)]
    const found = await usageSummary(sql, { organizationId, fromMs: from, toMs: to, groupBy: query.group_by })
    const data = found.data.map((row) => ({ ...row }))
    const answer = { from: new Date(from).toISOString(), to: new Date(to).toISOString(), data, totals: found.totals }
    return context.json(answer, 200)
  })

  const records = createRoute({
    method: "get",
    path: "/admin/v1/usage/records",
    request: {
      query: z.strictObject({
        request_id: z.string().max(100).optional(),
        from: instant,
        to: instant,
        key_id: z.string().max(100).optional(),
        model: z.string().max(256).optional(),
        after: z.string().max(100).optional(),
        limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(100),
      }),
    },
    responses: answers(200, "Records, newest first.", pageOf(recordOutput)),
  })
  app.openapi(records, async (context) => {
    const query = context.req.valid("query")
    if (query.request_id !== undefined) {
      const record = await usageRecord(sql, organizationId, query.request_id)
      return context.json({ data: record === null ? [] : [record], next: null }, 200)
    }
    const data = await usageRecords(sql, {
      organizationId,
      ...range(options, query.from, query.to),
      keyId: query.key_id ?? null,
      model: query.model ?? null,
      after: query.after ?? null,
      max: query.limit,
    })
    return context.json({ data, next: nextAfter(data, query.limit) }, 200)
  })
}

function range(options: AdminOptions, from: number | null, to: number | null): { fromMs: number; toMs: number } {
  // Rows of the running millisecond belong to the answer.
  const toMs = to ?? options.clock.nowMs() + 1
  const fromMs = from ?? toMs - RANGE_MS_DEFAULT
  if (fromMs >= toMs) throw new ApiError("invalid_request", "`from` must be before `to`.", { param: "from" })
  return { fromMs, toMs }
}
