/** The audit log: a page of it, and all of it as a file. What concerns a project stands under its organization. */
import { createRoute, z } from "@hono/zod-openapi"
import { stream } from "hono/streaming"
import { type AuditQuestion, type AuditRow, listAudit } from "../identity/audit.ts"
import { permit } from "./access.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { answers, idInput, PAGE_MAX, pageOf } from "./answers.ts"

const instant = z.union([z.iso.date(), z.iso.datetime({ offset: true })]).optional()
const filters = {
  organization_id: idInput.optional(),
  actor: z.string().max(100).optional(),
  action: z.string().max(100).optional().openapi({ description: "Such as key.create or limit.change." }),
  subject: z.string().max(200).optional().openapi({ description: "Id of what was changed." }),
  from: instant,
  until: instant,
}
const cursor = z
  .string()
  .max(200)
  .regex(/^\d{4}-\d\d-\d\dT[\d:.]+Z_\w+$/, "must be the `next` of the page before")
  .optional()
const listQuery = z.strictObject({
  ...filters,
  after: cursor,
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(100),
})
const auditOutput = z
  .object({
    id: z.string(),
    at: z.string(),
    organization_id: z.string().openapi({ description: "'' for what concerns the installation." }),
    actor: z.string(),
    ip: z.string(),
    action: z.string(),
    subject: z.string(),
    before: z.unknown(),
    after: z.unknown(),
  })
  .openapi("AuditEntry")

export function auditRoutes(app: AdminApp, options: AdminOptions): void {
  list(app, options)
  exportAll(app, options)
}

function list(app: AdminApp, { sql }: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path: "/admin/v1/audit",
    middleware: permit("audit:read"),
    request: { query: listQuery },
    responses: answers(200, "A page of the log, newest first.", pageOf(auditOutput)),
  })
  app.openapi(route, async (context) => {
    const query = context.req.valid("query")
    const question = questionOf(query, context.get("access").visible())
    const rows = await listAudit(sql, { ...question, after: readCursor(query.after), max: query.limit })
    const last = rows.length < query.limit ? undefined : rows.at(-1)
    return context.json({ data: rows.map(shown), next: last === undefined ? null : `${last.at}_${last.id}` }, 200)
  })
}

function exportAll(app: AdminApp, { sql }: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path: "/admin/v1/audit/export",
    middleware: permit("audit:read"),
    request: { query: z.strictObject(filters) },
    responses: {
      ...answers(200, "The log, newest first, one JSON object a line.", auditOutput),
      200: {
        description: "The log, newest first, one JSON object a line.",
        content: { "application/x-ndjson": { schema: z.string() } },
      },
    },
  })
  app.openapi(route, (context) => {
    const question = questionOf(context.req.valid("query"), context.get("access").visible())
    context.header("content-type", "application/x-ndjson")
    context.header("content-disposition", 'attachment; filename="tallygate-audit.ndjson"')
    return stream(context, async (out) => {
      let after: AuditQuestion["after"] = null
      for (;;) {
        const rows: readonly AuditRow[] = await listAudit(sql, { ...question, after, max: PAGE_MAX })
        await out.write(rows.map((row) => `${JSON.stringify(shown(row))}\n`).join(""))
        if (rows.length < PAGE_MAX || out.aborted) return
        after = rows.at(-1) ?? null
      }
    }) as never
  })
}

type Filters = z.infer<z.ZodObject<typeof filters>>

function questionOf(query: Filters, visibility: AuditQuestion["visibility"]): Omit<AuditQuestion, "after" | "max"> {
  const { organization_id: organizationId = null, actor = null, action = null, subject = null } = query
  const dateOf = (text: string | undefined) => (text === undefined ? null : new Date(text))
  return { visibility, organizationId, actor, action, subject, from: dateOf(query.from), until: dateOf(query.until) }
}

function readCursor(text: string | undefined): AuditQuestion["after"] {
  if (text === undefined) return null
  const end = text.indexOf("_")
  return { at: text.slice(0, end), id: text.slice(end + 1) }
}

function shown(row: AuditRow): z.infer<typeof auditOutput> {
  return { ...row }
}
