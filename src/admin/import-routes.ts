/**
 * Up to a thousand users or keys at once, as JSON or CSV. Known external ids are left as they are (a user's name and
 * address are brought up to date), a row that is wrong is named and the others go through; keys are shown once.
 */
import { createRoute, z } from "@hono/zod-openapi"
import type { Context } from "hono"
import { type ImportOutcome, importKeys, importUsers } from "../identity/import-rows.ts"
import { ApiError } from "../platform/error-table.ts"
import { permit, permittedOrganization } from "./access.ts"
import { type AdminApp, type AdminEnv, type AdminOptions, actorOf, invalidRequest } from "./admin-app.ts"
import { answers, idInput } from "./answers.ts"
import { IMPORT_ROWS_MAX, importedKey, importedUser, keyRow, readCsv, userRow } from "./import-shape.ts"
import { usersBeyond } from "./user-guard.ts"

const query = z.strictObject({ organization_id: idInput.optional() })
const importOutput = z
  .object({
    created: z.number(),
    changed: z.number(),
    unchanged: z.number(),
    failed: z.number(),
    data: z.array(
      z.object({
        row: z.number().openapi({ description: "Its place, from 1, without the header line." }),
        external_id: z.string().nullable(),
        status: z.enum(["created", "changed", "unchanged", "failed"]),
        id: z.string().nullable(),
        key: z.string().optional().openapi({ description: "The secret of a key that was made, shown this once." }),
        error: z.string().optional(),
      }),
    ),
  })
  .openapi("Imported")

export function importRoutes(app: AdminApp, options: AdminOptions): void {
  usersRoute(app, options)
  keysRoute(app, options)
}

function usersRoute(app: AdminApp, { sql, organizationId: defaultId }: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/admin/v1/users/import",
    middleware: permit("users:write"),
    request: { query, body: bodyOf(userRow) },
    responses: answers(200, "What became of each row.", importOutput),
  })
  app.openapi(route, async (context) => {
    const organizationId = permittedOrganization(
      context.get("access"),
      context.req.valid("query").organization_id,
      defaultId,
    )
    const rows = await readRows(context, userRow)
    const beyond = await usersBeyond(sql, context.get("access"), organizationId)
    const users = goodOnes(rows).map(importedUser)
    const outcomes = await importUsers(sql, actorOf(context), { organizationId, beyond }, users)
    return context.json(told(rows, outcomes), 200)
  })
}

function keysRoute(app: AdminApp, { sql, directory, organizationId: defaultId }: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/admin/v1/keys/import",
    middleware: permit("keys:write"),
    request: { query, body: bodyOf(keyRow) },
    responses: answers(200, "What became of each row, with the secrets of the keys that were made.", importOutput),
  })
  app.openapi(route, async (context) => {
    const organizationId = permittedOrganization(
      context.get("access"),
      context.req.valid("query").organization_id,
      defaultId,
    )
    const rows = await readRows(context, keyRow)
    const outcomes = await importKeys(sql, actorOf(context), organizationId, goodOnes(rows).map(importedKey))
    await directory.changed()
    return context.json(told(rows, outcomes), 200)
  })
}

/** Read by the handler: a row that is wrong must not refuse the others. A required body would have to be JSON. */
function bodyOf(row: z.ZodType) {
  return {
    required: false,
    content: {
      "application/json": { schema: z.array(z.unknown()).openapi({ items: {}, description: describe(row) }) },
      "text/csv": { schema: z.string() },
    },
  } as const
}

function describe(row: z.ZodType): string {
  const columns = row instanceof z.ZodObject ? Object.keys(row.shape) : []
  return `At most ${IMPORT_ROWS_MAX} objects with ${columns.join(", ")}; as text/csv, the same as columns.`
}

type Row<T> = { readonly externalId: string | null } & ({ readonly good: T } | { readonly fault: string })

async function readRows<Schema extends z.ZodType>(
  context: Context<AdminEnv>,
  schema: Schema,
): Promise<readonly Row<z.output<Schema>>[]> {
  const isCsv = /^text\/csv\b/i.test(context.req.header("content-type") ?? "")
  const rows: unknown = isCsv ? readCsv(await context.req.text()) : await context.req.json()
  if (!Array.isArray(rows)) throw new ApiError("invalid_request", "Send an array of objects, or CSV as text/csv.")
  if (rows.length > IMPORT_ROWS_MAX) {
    throw new ApiError("invalid_request", `${rows.length} rows; send at most ${IMPORT_ROWS_MAX} at once.`)
  }
  return rows.map((row: unknown) => {
    const externalId = externalIdOf(row)
    const parsed = schema.safeParse(row)
    return parsed.success ? { externalId, good: parsed.data } : { externalId, fault: faultOf(parsed.error) }
  })
}

function faultOf(error: z.ZodError): string {
  return invalidRequest(error.issues).message.replace(/ The fields are described in .*/, "")
}

function externalIdOf(row: unknown): string | null {
  const id = typeof row === "object" && row !== null && "external_id" in row ? row.external_id : null
  return typeof id === "string" ? id : null
}

function goodOnes<T>(rows: readonly Row<T>[]): T[] {
  return rows.flatMap((row) => ("good" in row ? [row.good] : []))
}

/** `outcomes`: those of the good rows, in their order. */
function told(rows: readonly Row<unknown>[], outcomes: readonly ImportOutcome[]): z.infer<typeof importOutput> {
  const rest = [...outcomes]
  const counts = { created: 0, changed: 0, unchanged: 0, failed: 0 }
  const data = rows.map((row, index) => {
    const outcome: ImportOutcome | undefined = "good" in row ? rest.shift() : { kind: "failed", message: row.fault }
    if (outcome === undefined) throw new Error("An imported row has no outcome.")
    counts[outcome.kind] += 1
    const about = { row: index + 1, external_id: row.externalId, status: outcome.kind }
    if (outcome.kind === "failed") return { ...about, id: null, error: outcome.message }
    const key = outcome.kind === "created" && outcome.secret !== null ? { key: outcome.secret } : {}
    return { ...about, id: outcome.id, ...key }
  })
  return { ...counts, data }
}
