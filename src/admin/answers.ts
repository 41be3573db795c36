/** What every admin route answers besides its own success: errors in one shape, pages in one form. */
import { z } from "@hono/zod-openapi"
import { ApiError } from "../platform/error-table.ts"

export const errorAnswer = z
  .object({
    error: z.object({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.string() }),
  })
  .openapi("Error")

/** The responses of a route: its own, and the errors that all share. */
export function answers<Status extends number, Schema extends z.ZodType>(
  status: Status,
  description: string,
  schema: Schema,
) {
  const success = { [status]: { description, content: { "application/json": { schema } } } } as {
    [S in Status]: { description: string; content: { "application/json": { schema: Schema } } }
  }
  const failure = (text: string) => ({ description: text, content: { "application/json": { schema: errorAnswer } } })
  return {
    ...success,
    400: failure("A field is wrong or unknown."),
    401: failure("No valid admin key or session."),
    403: failure("The caller's role does not include this."),
    404: failure("No such thing, as far as the caller's role reaches."),
    409: failure("It would collide with what is there."),
  }
}

/** A body of JSON as routes declare it. */
export function jsonBody<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { "application/json": { schema } } } as const
}

/** The id in a route's path. */
export const idParams = z.object({ id: z.string().max(100) })

/** An id in a body or query. */
export const idInput = z.string().min(1).max(100)

/** A name of something's own in the caller's systems, by which it is found again. */
export const externalIdInput = z
  .string()
  .min(1)
  .max(200)
  .nullable()
  .optional()
  .openapi({ description: "Its id in your own systems, unique in its organization; null: none." })

export const nameInput = z.string().trim().min(1).max(200)

/** For `refine`: a change that changes nothing is a mistake. */
export const atLeastOneField = [
  (change: object) => Object.keys(change).length > 0,
  { error: "must have at least one field" },
] as const

/** What is not there, or not for this caller. */
export function missingThing(what: string, id: string, param = "id"): () => never {
  return () => {
    throw new ApiError("not_found", `There is no ${what} \`${id}\`.`, { param })
  }
}

/** `what`: "Credentials are". */
export function noEncryptionKey(what: string, param: string): ApiError {
  const message =
    `${what} stored encrypted, and this Tallygate has no encryption key for it. Set TALLYGATE_ENCRYPTION_KEY (32 bytes in ` +
    "base64 or hex, as `openssl rand -base64 32` makes them), the same for every proxy, or encryption_key_file, and start again."
  return new ApiError("encryption_key_missing", message, { param })
}

/** An instant as answers show it. */
export function iso(date: Date | null): string | null {
  return date?.toISOString() ?? null
}

export const PAGE_MAX = 1000

/** A page as routes declare it; `next` is null on the last one. */
export function pageOf<Row extends z.ZodType>(row: Row) {
  return z.object({ data: z.array(row), next: z.string().nullable() })
}

/** What to ask for after these rows, of which there are at most `max` on a page; null where they are the last. */
export function nextAfter(rows: readonly { readonly id: string }[], max: number): string | null {
  return rows.length < max ? null : (rows.at(-1)?.id ?? null)
}

/** Keyset paging: `after` is the last page's `next`. */
export const pageQuery = z.strictObject({
  after: z.string().max(200).default("").describe("The last page's `next`."),
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(100).describe(`Rows of a page, at most ${PAGE_MAX}.`),
})
