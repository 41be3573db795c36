/**
 * OpenAI's organization usage and costs API, for tools that read it already: the same paths, queries and answers, with a
 * Tallygate admin key in the place of OpenAI's. What it covers is what the key's role covers.
 */
import { createRoute, z } from "@hono/zod-openapi"
import { OPENAI_USAGE_KINDS, openAiQueryObject, openAiUsageQuery } from "../reporting/openai-usage.ts"
import { openAiUsageReport } from "../reporting/openai-usage-report.ts"
import { permit } from "./access.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { answers } from "./answers.ts"
import { requirePrincipal } from "./authenticate.ts"
import { readQuery } from "./usage-door.ts"
import { answered } from "./usage-shape.ts"

const bucket = z.object({
  object: z.literal("bucket"),
  start_time: z.number(),
  end_time: z.number(),
  results: z.array(z.record(z.string(), z.unknown())),
})
const page = z
  .object({
    object: z.literal("page"),
    data: z.array(bucket),
    has_more: z.boolean(),
    next_page: z.string().nullable(),
  })
  .openapi("OpenAiUsagePage")

export function openAiUsageRoutes(app: AdminApp, options: AdminOptions): void {
  const { sql, clock } = options
  app.use("/v1/organization/*", requirePrincipal(options))
  for (const about of OPENAI_USAGE_KINDS) {
    const route = createRoute({
      method: "get",
      path: about === "costs" ? "/v1/organization/costs" : `/v1/organization/usage/${about}`,
      middleware: permit("usage:read"),
      responses: answers(200, "A page of buckets, as OpenAI's API of that path answers.", page),
    })
    app.openapi(route, async (context) => {
      // Lists come as `group_by[]=…` or repeated, which no schema of a query reads.
      const query = readQuery(openAiUsageQuery, openAiQueryObject(new URL(context.req.url).searchParams))
      const scope = context.get("access").visible()
      const answer = answered(await openAiUsageReport(sql, about, query, scope, clock.nowMs()))
      return context.json(
        { ...answer.page, data: answer.page.data.map((one) => ({ ...one, results: [...one.results] })) },
        200,
      )
    })
  }
}
