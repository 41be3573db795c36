/**
 * New records as they reach the ledger, by server-sent events. The newest are looked at every second; a record that is
 * older than the newest few hundred when it arrives (a call that took minutes, while thousands came) is not among them.
 */
import { setTimeout as pause } from "node:timers/promises"
import { createRoute, z } from "@hono/zod-openapi"
import { streamSSE } from "hono/streaming"
import { ApiError } from "../platform/error-table.ts"
import { recordsQuestion } from "../reporting/question.ts"
import { usageRecords } from "../reporting/usage-records.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import type { UsageDoor } from "./usage-door.ts"
import { answered } from "./usage-shape.ts"

const LOOK_MS = 1_000
const PING_EVERY_LOOKS = 15
const NEWEST_MAX = 200
/** Each looks every second. */
const STREAMS_MAX = 50

export function recordStream(
  app: AdminApp,
  { sql, clock }: AdminOptions,
  { base, security, middleware, scopeOf }: UsageDoor,
): void {
  let streams = 0
  const route = createRoute({
    method: "get",
    path: `${base}/stream`,
    security,
    middleware,
    request: { query: recordsQuestion.omit({ limit: true, after: true, order: true }) },
    responses: {
      200: {
        description: "An event `record` for each new record that matches, until the caller leaves.",
        content: { "text/event-stream": { schema: z.string() } },
      },
    },
  })
  app.openapi(route, async (context) => {
    const filter = { range: "today", ...context.req.valid("query"), order: "newest", limit: NEWEST_MAX } as const
    const question = { ...filter, after: undefined }
    const scope = await scopeOf(context)
    const look = async () => answered(await usageRecords(sql, question, scope, clock.nowMs())).records
    let seen = new Set((await look()).map(({ id }) => id))
    if (streams >= STREAMS_MAX) {
      const headers = [["retry-after", "10"]] as const
      throw new ApiError("too_many_streams", `${STREAMS_MAX} streams of records are open already.`, { headers })
    }
    streams += 1
    return streamSSE(context, async (out) => {
      try {
        for (let looks = 1; !out.aborted && !out.closed; looks++) {
          await pause(LOOK_MS)
          const records = await look()
          for (const record of records.toReversed()) {
            if (!seen.has(record.id))
              await out.writeSSE({ event: "record", id: record.id, data: JSON.stringify(record) })
          }
          seen = new Set(records.map(({ id }) => id))
          if (looks % PING_EVERY_LOOKS === 0) await out.write(": ping\n\n")
        }
      } finally {
        streams -= 1
      }
    })
  })
}
