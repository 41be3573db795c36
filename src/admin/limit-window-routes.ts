/** What a limit has used, window by window. */
import { createRoute, z } from "@hono/zod-openapi"
import type { Limit } from "../identity/limit.ts"
import { limitFrom } from "../identity/limit-row.ts"
import { ApiError } from "../platform/error-table.ts"
import { limitWindows, type UsedWindow } from "../reporting/limit-windows.ts"
import { permit } from "./access.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { answers, idInput, idParams, pageOf, pageQuery } from "./answers.ts"
import { shownCap } from "./limit-shape.ts"
import { permittedLimit } from "./limit-view.ts"

const windowsQuery = pageQuery.extend({
  counted: idInput.optional().openapi({
    description: "Of a limit with `each`: whom it counts apart; `nobody`: calls without a user.",
  }),
})

const windowOutput = z
  .object({
    id: z
      .string()
      .openapi({ description: "As `2026-11`; of a rolling window, which its last day names, `2026-11-24~7`." }),
    counted: z.string().nullable().openapi({ description: "Whom it counts apart; null: the limit has no `each`." }),
    from: z.string().nullable().openapi({ description: "null: lifetime." }),
    until: z.string().nullable().openapi({ description: "The first moment after it; null: lifetime." }),
    is_current: z.boolean().openapi({ description: "Whether it is the one that counts now." }),
    cap: z.string().openapi({
      description: "In force at its last moment, or now; that of a raise and one that was changed since included.",
    }),
    settled: z
      .string()
      .openapi({ description: "What it has used by the ledger, of a rolling window over all its days." }),
    percent: z.number().nullable().openapi({ description: "Of the cap, rounded down; null where the cap is nothing." }),
    refusals: z.number().openapi({
      description: "Calls that were refused because of the limit; of a rolling window on its last day.",
    }),
    shadow_refusals: z.number().openapi({
      description: "Calls that it would have refused while it was a shadow limit; of a rolling window on its last day.",
    }),
  })
  .openapi("LimitWindow")

export function limitWindowRoutes(app: AdminApp, { sql, clock }: AdminOptions): void {
  const list = createRoute({
    method: "get",
    path: "/admin/v1/limits/{id}/windows",
    middleware: permit("limits:read"),
    request: { params: idParams, query: windowsQuery },
    responses: answers(
      200,
      "A page of the limit's windows in which anything was used or refused, newest first. Rates and limits of concurrency " +
        "have none.",
      pageOf(windowOutput),
    ),
  })
  app.openapi(list, async (context) => {
    const { id } = context.req.valid("param")
    const limit = limitFrom(await permittedLimit(sql, context.get("access"), id))
    const { counted = null, after, limit: max } = context.req.valid("query")
    if (counted !== null && limit.each === "") {
      const message = "counted: belongs to limits with `each`; this one counts all its calls together. Leave it out."
      throw new ApiError("invalid_request", message, { param: "counted" })
    }
    const { windows, next } = await limitWindows(sql, limit, { counted, after, max }, clock.nowMs())
    return context.json({ data: windows.map((window) => shownWindow(limit, window)), next }, 200)
  })
}

function shownWindow({ kind, each }: Limit, window: UsedWindow): z.infer<typeof windowOutput> {
  const { id, counted, startsAtMs, endsAtMs, cap, settled } = window
  const instant = (atMs: number | null) => (atMs === null ? null : new Date(atMs).toISOString())
  return {
    id,
    counted: each === "" ? null : counted,
    from: instant(startsAtMs),
    until: instant(endsAtMs),
    is_current: window.isCurrent,
    cap: shownCap(kind, cap),
    settled: shownCap(kind, settled),
    percent: cap === 0n ? null : Number((settled * 100n) / cap),
    refusals: window.refused,
    shadow_refusals: window.shadowed,
  }
}
