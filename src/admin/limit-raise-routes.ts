/** Raises of a limit's cap for a time: one is made, and ends by itself or before. */
import { createRoute, z } from "@hono/zod-openapi"
import { endRaise, raiseLimit } from "../identity/limit-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import { permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idParams, jsonBody } from "./answers.ts"
import { capInput, shownCap } from "./limit-shape.ts"
import { missingLimit, permittedLimit, requiredCap, scopedLimit, shownOne } from "./limit-view.ts"

/** A raise ends at the latest after so long. */
const RAISE_MS_MAX = 366 * 86_400_000
const newRaise = z
  .strictObject({
    cap: capInput,
    until: z.iso
      .datetime({ offset: true })
      .openapi({ description: "When it ends by itself; in the future, and at most a year from now." }),
  })
  .openapi("NewRaise")

export function limitRaiseRoutes(app: AdminApp, options: AdminOptions): void {
  raise(app, options)
  end(app, options)
}

function raise(app: AdminApp, { sql, clock, directory }: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/admin/v1/limits/{id}/raises",
    middleware: permit("limits:write"),
    request: { params: idParams, body: jsonBody(newRaise) },
    responses: answers(201, "The limit with its raise, which takes the place of one in force.", scopedLimit),
  })
  app.openapi(route, async (context) => {
    const { id } = context.req.valid("param")
    const wanted = context.req.valid("json")
    const { kind } = await permittedLimit(sql, context.get("access"), id)
    const cap = requiredCap(kind, wanted.cap)
    const until = new Date(wanted.until)
    const aheadMs = until.getTime() - clock.nowMs()
    if (aheadMs <= 0 || aheadMs > RAISE_MS_MAX) {
      const message = "until: must be in the future, and at most a year from now."
      throw new ApiError("invalid_request", message, { param: "until" })
    }
    const raised = await raiseLimit(sql, actorOf(context), id, { cap, until })
    if (raised.kind === "missing") return missingLimit(id)()
    if (raised.kind === "not_larger") {
      const message = `cap: must be larger than the limit's own, ${shownCap(kind, raised.cap)}. PATCH the limit to lower it.`
      throw new ApiError("invalid_request", message, { param: "cap" })
    }
    await directory.changed()
    return context.json(await shownOne(sql, raised.row), 201)
  })
}

function end(app: AdminApp, { sql, directory }: AdminOptions): void {
  const route = createRoute({
    method: "delete",
    path: "/admin/v1/limits/{id}/raises",
    middleware: permit("limits:write"),
    request: { params: idParams },
    responses: answers(200, "The limit without its raise; what was used under it stays used.", scopedLimit),
  })
  app.openapi(route, async (context) => {
    const { id } = context.req.valid("param")
    await permittedLimit(sql, context.get("access"), id)
    const ended = await endRaise(sql, actorOf(context), id)
    if (ended.kind === "missing") return missingLimit(id)()
    if (ended.kind === "not_raised") {
      const message = `The limit \`${id}\` has no raise in force: it has ended, or there was none.`
      throw new ApiError("not_found", message, { param: "id" })
    }
    await directory.changed()
    return context.json(await shownOne(sql, ended.row), 200)
  })
}
