/** What was raised, and what became of each message that said so; a message can be sent again. */
import { createRoute, z } from "@hono/zod-openapi"
import { type AlertLogRow, deliveriesOf, listAlerts, type ToldDelivery } from "../alerts/alert-log.ts"
import { type DeliveryRow, listDeliveries, readDelivery, redeliver } from "../alerts/deliveries.ts"
import type { Sql } from "../platform/postgres.ts"
import { type Access, permit } from "./access.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { targetOfRow } from "./alert-shape.ts"
import { answers, idInput, iso, missingThing, nextAfter, PAGE_MAX, pageOf } from "./answers.ts"

const STATES = ["waiting", "delivered", "failed"] as const

const page = {
  after: z.uuid().optional().openapi({ description: "The last page's `next`." }),
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(100),
}
const deliveriesQuery = z.strictObject({ ...page, channel_id: idInput.optional(), state: z.enum(STATES).optional() })
const uuidParams = z.object({ id: z.uuid() })

export const deliveryOutput = z
  .object({
    id: z.string().openapi({ description: "Also the id of the message at its receiver, the same at each attempt." }),
    organization_id: z.string().openapi({ description: "'': the installation." }),
    rule_id: z.string().nullable().openapi({ description: "null: a digest, or a test." }),
    digest_id: z.string().nullable(),
    channel_id: z.string(),
    title: z.string(),
    state: z.enum(STATES),
    attempts: z.number(),
    next_attempt_at: z.string().nullable().openapi({ description: "null: there is none." }),
    last_error: z
      .string()
      .openapi({ description: "What kept the last attempt from succeeding; '' where nothing did." }),
    created_at: z.string(),
    delivered_at: z.string().nullable(),
  })
  .openapi("AlertDelivery")
const named = z.array(z.object({ name: z.string(), value: z.string() }))
const alertOutput = z
  .object({
    id: z.string(),
    organization_id: z.string().openapi({ description: "'': the installation." }),
    rule_id: z.string(),
    limit_id: z.string().nullable(),
    subject: z.string(),
    window: z.string(),
    threshold_percent: z.number().openapi({ description: "0 of a rule without thresholds." }),
    forecast: z.boolean().openapi({
      description: "Whether the threshold will be reached by the window's end, at the pace of then, and was not yet.",
    }),
    title: z.string(),
    facts: named,
    contributors: named.openapi({ description: "Largest first; empty where nothing contributes." }),
    advice: z.string(),
    path: z
      .string()
      .openapi({ description: "The view of the dashboard that shows it, without host; '': there is none." }),
    deliveries: z
      .array(z.object({ id: z.string(), channel_id: z.string(), state: z.enum(STATES) }))
      .openapi({ description: "The messages that told of it, one for each channel." }),
    state: z.enum(["told", "folded"]).openapi({
      description: "told: a message is about it; folded: it waits for the subject's next message, or stands in one.",
    }),
    raised_at: z.string(),
    told_at: z.string().nullable(),
  })
  .openapi("Alert")

const READ = permit("alerts:read")

export function alertDeliveryRoutes(app: AdminApp, options: AdminOptions): void {
  alertLog(app, options)
  deliveryLog(app, options)
}

function alertLog(app: AdminApp, { sql }: AdminOptions): void {
  const list = createRoute({
    method: "get",
    path: "/admin/v1/alerts",
    middleware: READ,
    request: { query: z.strictObject(page) },
    responses: answers(200, "A page of what was raised, newest first.", pageOf(alertOutput)),
  })
  app.openapi(list, async (context) => {
    const { after = null, limit } = context.req.valid("query")
    const rows = await listAlerts(sql, { visibility: context.get("access").visible(), after, max: limit })
    const told = await deliveriesOf(sql, rows)
    const data = rows.map((row, index) => shownAlert(row, told[index] ?? []))
    return context.json({ data, next: nextAfter(rows, limit) }, 200)
  })
}

function deliveryLog(app: AdminApp, { sql, clock }: AdminOptions): void {
  const list = createRoute({
    method: "get",
    path: "/admin/v1/alert-deliveries",
    middleware: READ,
    request: { query: deliveriesQuery },
    responses: answers(200, "A page of messages and what became of them, newest first.", pageOf(deliveryOutput)),
  })
  app.openapi(list, async (context) => {
    const { after = null, limit, channel_id: channelId = null, state = null } = context.req.valid("query")
    const visibility = context.get("access").visible()
    const rows = await listDeliveries(sql, { visibility, channelId, state, after, max: limit })
    return context.json({ data: rows.map(shownDelivery), next: nextAfter(rows, limit) }, 200)
  })

  const show = createRoute({
    method: "get",
    path: "/admin/v1/alert-deliveries/{id}",
    middleware: READ,
    request: { params: uuidParams },
    responses: answers(200, "The message.", deliveryOutput),
  })
  app.openapi(show, async (context) => {
    const { id } = context.req.valid("param")
    return context.json(shownDelivery(await permittedDelivery(sql, context.get("access"), id)), 200)
  })

  const again = createRoute({
    method: "post",
    path: "/admin/v1/alert-deliveries/{id}/redeliver",
    middleware: permit("alerts:write"),
    request: { params: uuidParams },
    responses: answers(200, "The message, due again, for a day and under the same id.", deliveryOutput),
  })
  app.openapi(again, async (context) => {
    const { id } = context.req.valid("param")
    await permittedDelivery(sql, context.get("access"), id)
    return context.json(shownDelivery((await redeliver(sql, id, clock.nowMs())) ?? missing(id)()), 200)
  })
}

async function permittedDelivery(sql: Sql, access: Access, id: string): Promise<DeliveryRow> {
  const row = (await readDelivery(sql, id)) ?? missing(id)()
  access.on(targetOfRow(row), missing(id))
  return row
}

function missing(id: string): () => never {
  return missingThing("alert delivery", id)
}

export function shownDelivery(row: DeliveryRow): z.infer<typeof deliveryOutput> {
  const { id, organization_id, rule_id, channel_id, message, state, attempts, last_error } = row
  return {
    ...{ id, organization_id, channel_id, state, attempts, last_error },
    rule_id: rule_id || null,
    digest_id: row.digest_id || null,
    title: message.title,
    next_attempt_at: state === "waiting" ? row.next_attempt_at.toISOString() : null,
    created_at: row.created_at.toISOString(),
    delivered_at: iso(row.delivered_at),
  }
}

function shownAlert(row: AlertLogRow, deliveries: readonly ToldDelivery[]): z.infer<typeof alertOutput> {
  const { id, organization_id, rule_id, subject, threshold_percent, facts, state } = row
  return {
    ...{ id, organization_id, rule_id, subject, threshold_percent, state },
    ...{ title: facts?.title ?? "", advice: facts?.advice ?? "", path: facts?.path ?? "" },
    facts: [...(facts?.facts ?? [])],
    contributors: [...(facts?.contributors ?? [])],
    deliveries: [...deliveries],
    limit_id: row.limit_id || null,
    window: row.window_id,
    forecast: row.is_forecast,
    raised_at: row.raised_at.toISOString(),
    told_at: iso(row.told_at),
  }
}
