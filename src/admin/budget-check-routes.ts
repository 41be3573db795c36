/** Where budgets stand and what would be told of them, with nothing written; and the same look at once, which tells it. */
import { createRoute, z } from "@hono/zod-openapi"
import { type BudgetAlert, type ForeseenAlert, foreseeAlerts, raiseNow } from "../alerts/budget-check.ts"
import { CHANNEL_KINDS } from "../alerts/channel-rows.ts"
import { readDeliveries } from "../alerts/deliveries.ts"
import type { Visibility } from "../identity/role.ts"
import { budgetProjections } from "../reporting/budget-projection.ts"
import { inSnapshot } from "../reporting/snapshot.ts"
import { permit } from "./access.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { answers } from "./answers.ts"
import { budgetOutput, shownBudget } from "./projection-routes.ts"

const STATUSES = ["ok", "warning", "exceeded"] as const
type Status = (typeof STATUSES)[number]
const WARN_PERCENT = 80

const checkQuery = z.strictObject({
  warn_percent: z.coerce.number().int().min(1).max(100).default(WARN_PERCENT).openapi({
    description: "Percent of a cap from which on a budget is `warning`.",
  }),
})
const checkedBudget = budgetOutput
  .extend({
    status: z.enum(STATUSES).openapi({
      description:
        "exceeded: the cap is used up. warning: warn_percent of it is, or all of it will be before the window ends.",
    }),
  })
  .openapi("CheckedBudget")
const alertOutput = z
  .object({
    rule_id: z.string(),
    limit_id: z.string(),
    subject: z.string(),
    window: z.string(),
    threshold_percent: z.number(),
    is_forecast: z.boolean().openapi({ description: "Whether the threshold is not reached yet, but will be." }),
    title: z.string(),
  })
  .openapi("BudgetAlert")
const foreseenOutput = alertOutput
  .extend({
    tells: z.enum(["now", "later"]).openapi({
      description: "later: its subject was told of in the last 24 hours, and this waits for the next message.",
    }),
    channels: z
      .array(
        z.object({
          id: z.string(),
          name: z.string(),
          kind: z.enum(CHANNEL_KINDS),
          recipients: z.array(z.string()),
          host: z.string(),
        }),
      )
      .openapi({ description: "Those that would be told now, as far as the caller sees them." }),
  })
  .openapi("ForeseenAlert")
const checkOutput = z
  .object({
    as_of: z.string(),
    status: z.enum(STATUSES).openapi({ description: "The worst of all budgets, shadow limits left out." }),
    budgets: z.array(checkedBudget),
    budgets_more: z.number().openapi({ description: "How many there are beyond those shown." }),
    alerts: z.array(foreseenOutput).openapi({ description: "What the next look would raise." }),
  })
  .openapi("BudgetCheck")
const raisedOutput = z
  .object({
    as_of: z.string(),
    alerts: z.array(alertOutput).openapi({ description: "What this call has raised." }),
    deliveries: z
      .array(z.object({ id: z.string(), channel_id: z.string(), title: z.string() }))
      .openapi({ description: "The messages that say so, to be sent within seconds." }),
  })
  .openapi("BudgetsLookedAt")

export function budgetCheckRoutes(app: AdminApp, { sql, clock, log, findSheet, alerts }: AdminOptions): void {
  const check = createRoute({
    method: "get",
    path: "/admin/v1/budgets/check",
    middleware: permit("limits:read"),
    request: { query: checkQuery },
    responses: answers(200, "Budgets, and the alerts that would be raised of them. Nothing is written.", checkOutput),
  })
  app.openapi(check, async (context) => {
    const visibility = context.get("access").visible()
    const nowMs = clock.nowMs()
    const { warn_percent: warnPercent } = context.req.valid("query")
    const { asOfMs, budgets, more } = await inSnapshot(sql, async (transaction, atMs) => ({
      asOfMs: atMs,
      ...(await budgetProjections(transaction, {}, visibility, nowMs)),
    }))
    const data = budgets.map((budget) => {
      const one = shownBudget(budget, nowMs)
      return { ...one, status: statusOf(one, warnPercent) }
    })
    const counted = data.filter(({ enforcement }) => enforcement !== "shadow").map(({ status }) => status)
    const foreseen = await foreseeAlerts({ sql, nowMs, findSheet }, visibility)
    const answer = {
      as_of: new Date(asOfMs).toISOString(),
      status: STATUSES.findLast((status) => counted.includes(status)) ?? "ok",
      budgets: data,
      budgets_more: more,
      alerts: foreseen.map((one) => shownForeseen(one, visibility)),
    }
    return context.json(answer, 200)
  })

  const look = createRoute({
    method: "post",
    path: "/admin/v1/budgets/check",
    middleware: permit("alerts:write"),
    responses: answers(200, "What was raised and queued by looking now.", raisedOutput),
  })
  app.openapi(look, async (context) => {
    const nowMs = clock.nowMs()
    const options = { sql, nowMs, findSheet, log, baseUrl: alerts.baseUrl }
    const raised = await raiseNow(options, context.get("access").visible())
    const deliveries = await readDeliveries(sql, raised.deliveryIds)
    const answer = {
      as_of: new Date(nowMs).toISOString(),
      alerts: raised.alerts.map(shownAlert),
      deliveries: deliveries.map(({ id, channel_id, message }) => ({ id, channel_id, title: message.title })),
    }
    return context.json(answer, 200)
  })
}

function statusOf({ state, percent }: z.infer<typeof budgetOutput>, warnPercent: number): Status {
  if (state === "exceeded") return "exceeded"
  return state === "warning" || (percent ?? 0) >= warnPercent ? "warning" : "ok"
}

function shownForeseen({ channels, ...alert }: ForeseenAlert, visibility: Visibility): z.infer<typeof foreseenOutput> {
  const visible = (channels ?? []).filter(
    ({ organization_id: id }) => visibility.kind === "all" || visibility.organizationIds.includes(id),
  )
  return {
    ...shownAlert(alert),
    tells: channels === null ? "later" : "now",
    channels: visible.map(({ id, name, kind, recipients, host }) => ({
      ...{ id, name, kind, host },
      recipients: [...recipients],
    })),
  }
}

function shownAlert({ rule, finding, threshold, facts }: BudgetAlert): z.infer<typeof alertOutput> {
  const { limitId, subject, windowId, isForecast } = finding
  return {
    ...{ rule_id: rule.id, limit_id: limitId, subject, window: windowId, threshold_percent: threshold },
    ...{ is_forecast: isForecast, title: facts.title },
  }
}
