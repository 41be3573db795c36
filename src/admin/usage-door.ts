/** The two doors to usage: admins', who see what their roles cover, and key holders', who see their own. */
import type { z } from "@hono/zod-openapi"
import type { Context, MiddlewareHandler } from "hono"
import { ApiError } from "../platform/error-table.ts"
import type { Scope } from "../reporting/scope.ts"
import type { AdminEnv } from "./admin-app.ts"

/** Where usage is asked for, and how much of it its caller may see. */
export type UsageDoor = {
  readonly base: "/admin/v1/usage" | "/v1/usage"
  /** The credential, by its name in the API's description. */
  readonly security: Record<string, string[]>[]
  readonly middleware: MiddlewareHandler<AdminEnv>[]
  readonly scopeOf: (context: Context<AdminEnv>) => Scope | Promise<Scope>
}

/** What a schema makes of a query; 400 where it refuses it. */
export function readQuery<Schema extends z.ZodType>(schema: Schema, query: unknown): z.output<Schema> {
  const parsed = schema.safeParse(query)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const param = issue?.path.join(".") || "view"
  throw new ApiError("invalid_request", `${param}: ${issue?.message ?? "not readable"}.`, { param })
}
