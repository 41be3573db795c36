/** What whoever reports usage is answered: of one record, or of a batch, where each record has an answer of its own. */
import { z } from "@hono/zod-openapi"
import type { Context } from "hono"
import type { Adjusted } from "../ledger/adjustments.ts"
import type { Booked, OverLimit, Report, ReportBook } from "../ledger/report-book.ts"
import type { Repricer } from "../ledger/reprice.ts"
import type { UsageHolds } from "../ledger/usage-holds.ts"
import { ApiError } from "../platform/error-table.ts"
import { invalidRequest } from "./admin-app.ts"
import { answers, errorAnswer } from "./answers.ts"
import { shownCap } from "./limit-shape.ts"
import type { ReportFault } from "./report-shape.ts"

export type ReportOptions = {
  readonly book: ReportBook
  readonly holds: UsageHolds
  readonly repricer: Repricer
  /** When the oldest call ended that waits in this process's journal, epoch milliseconds; null where none does. */
  readonly oldestUnshippedMs: () => number | null
}

const RECORDS_MAX = 1_000

const overLimitOutput = z.object({
  limit_id: z.string(),
  scope: z.string(),
  kind: z.string(),
  window: z.string(),
  window_id: z.string(),
  enforcement: z.string(),
  cap: z.string(),
  used: z.string(),
  resets_at: z.string().nullable(),
})

const bookedMembers = {
  id: z.string(),
  duplicate: z.boolean().openapi({ description: "It was booked before, under this id; nothing was booked again." }),
  time: z.string().nullable(),
  cost_usd: z
    .string()
    .nullable()
    .openapi({ description: "null: the price book has no price for it, or see the record." }),
  cost_source: z.string().nullable(),
  price_state: z.string().nullable(),
  book_cost_usd: z.string().nullable().openapi({ description: "The price book's cost, where another was reported." }),
  over_limit: z.array(overLimitOutput).nullable().openapi({
    description: "Limits that have used more than their cap, this record included; null: not known at the moment.",
  }),
  hold: z.enum(["released", "not_found"]).optional().openapi({ description: "What became of hold_id." }),
}

const bookedOutput = z.object(bookedMembers).openapi("BookedUsage")
export type BookedOutput = z.infer<typeof bookedOutput>

const batchOutput = z
  .object({
    booked: z.number(),
    duplicates: z.number(),
    failed: z.number(),
    data: z.array(
      z.object({
        index: z.number(),
        ...z.object(bookedMembers).partial().shape,
        error: errorAnswer.shape.error.optional(),
      }),
    ),
  })
  .openapi("BookedBatch", { description: "One answer for each record, in their order. A failed one is not booked." })

export const adjustedOutput = z
  .object({
    id: z.string(),
    adjusts_id: z.string(),
    duplicate: z.boolean(),
    cost_usd: z.string().nullable(),
  })
  .openapi("AdjustedUsage")

/** What has become of one record: its answer, or what is wrong with it. */
type Outcome = BookedOutput | ApiError

/** A body is one record, or `{ "records": [...] }`. @throws ApiError where it is neither */
function recordsOf(body: unknown): { readonly isBatch: boolean; readonly records: readonly unknown[] } {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ApiError("invalid_request", 'Send a record, or `{ "records": [...] }` with several.')
  }
  if (!("records" in body)) return { isBatch: false, records: [body] }
  const { records, ...rest } = body
  const [stranger] = Object.keys(rest)
  if (stranger !== undefined) {
    throw new ApiError("unknown_field", `${stranger}: beside records nothing stands; it belongs into a record.`, {
      param: stranger,
    })
  }
  if (!Array.isArray(records) || records.length === 0 || records.length > RECORDS_MAX) {
    throw new ApiError("invalid_request", `records: must be a list of 1 to ${RECORDS_MAX} records.`, {
      param: "records",
    })
  }
  return { isBatch: true, records }
}

/** What a schema makes of one record. @throws ApiError */
export function readRecord<Schema extends z.ZodType>(schema: Schema, record: unknown): z.output<Schema> {
  const parsed = schema.safeParse(record)
  if (parsed.success) return parsed.data
  throw invalidRequest(parsed.error.issues)
}

export function faultError({ param, message }: ReportFault): ApiError {
  return new ApiError("invalid_request", message, { param })
}

function shownBooked(booked: Booked): Outcome {
  if (booked.kind === "refused") return faultError(booked)
  if (booked.kind === "conflict") return keyConflict(booked.id)
  const { id, isDuplicate, record, overLimit } = booked
  return {
    id,
    duplicate: isDuplicate,
    time: record?.time ?? null,
    cost_usd: record?.cost_usd ?? null,
    cost_source: record?.cost_source ?? null,
    price_state: record?.price_state ?? null,
    book_cost_usd: record?.book_cost_usd ?? null,
    over_limit: overLimit === null ? null : overLimit.map(shownOverLimit),
  }
}

export function shownAdjusted(adjusted: Adjusted, adjustsId: string): z.infer<typeof adjustedOutput> {
  if (adjusted.kind === "refused") throw faultError(adjusted)
  if (adjusted.kind === "conflict") throw keyConflict(adjusted.id)
  const { id, isDuplicate, record } = adjusted
  return { id, adjusts_id: adjustsId, duplicate: isDuplicate, cost_usd: record?.cost_usd ?? null }
}

function shownBatch(outcomes: readonly Outcome[]): z.infer<typeof batchOutput> {
  const data = outcomes.map((outcome, index) => {
    return outcome instanceof ApiError ? { index, ...outcome.toJson() } : { index, ...outcome }
  })
  const failed = outcomes.filter((outcome) => outcome instanceof ApiError).length
  const duplicates = outcomes.filter((outcome) => !(outcome instanceof ApiError) && outcome.duplicate).length
  return { booked: outcomes.length - failed - duplicates, duplicates, failed, data }
}

/**
 * Books the records of a body, each as `read` reads it; `finish` may add to the answer of one that is booked. One record
 * that is wrong is thrown; of several each has its outcome. @throws ApiError where the body is neither, or a store is
 * away: then all of it is to be sent again
 */
export async function bookBody(
  book: Pick<ReportBook, "book">,
  body: unknown,
  read: (record: unknown) => Promise<Report>,
  finish: (report: Report, booked: BookedOutput) => Promise<BookedOutput> = async (_, booked) => booked,
): Promise<{ readonly isBatch: boolean; readonly outcomes: readonly [Outcome, ...Outcome[]] }> {
  const { isBatch, records } = recordsOf(body)
  const found = isBatch ? await eachRecord(records, read) : [await read(records[0])]
  const reports = found.filter((one): one is Report => !(one instanceof ApiError))
  const booked = await book.book(reports)
  const outcomes: Outcome[] = []
  for (const one of found) {
    const outcome = one instanceof ApiError ? one : shownBooked(booked.shift() ?? lost())
    outcomes.push(one instanceof ApiError || outcome instanceof ApiError ? outcome : await finish(one, outcome))
  }
  const [first = lost(), ...rest] = outcomes
  if (!isBatch && first instanceof ApiError) throw first
  return { isBatch, outcomes: [first, ...rest] }
}

/** What `read` gives of each record, or the `ApiError` that it throws of it. */
async function eachRecord<T>(
  records: readonly unknown[],
  read: (record: unknown) => Promise<T>,
): Promise<(T | ApiError)[]> {
  const found: (T | ApiError)[] = []
  for (const record of records) {
    found.push(
      await read(record).catch((error: unknown) => {
        // What is not the record's fault is the whole batch's.
        if (error instanceof ApiError && error.status < 500) return error
        throw error
      }),
    )
  }
  return found
}

/** What a route declares that takes one record or a batch, by the name of the record's schema in the description. */
export function recordsDeclared(name: string) {
  const record = { $ref: `#/components/schemas/${name}` }
  const records = { type: "array" as const, minItems: 1, maxItems: RECORDS_MAX, items: record }
  const batch = { type: "object" as const, required: ["records"], properties: { records } }
  const json = <Schema extends z.ZodType>(schema: Schema) => ({ "application/json": { schema } })
  return {
    // Read by the handler: a record that is wrong must not refuse the others.
    body: { required: false, content: json(z.unknown().openapi({ oneOf: [record, batch] })) },
    responses: {
      ...answers(201, "The record, as it was booked now.", bookedOutput),
      200: {
        description: "The record, booked before; or what became of each record of a batch.",
        content: json(z.union([bookedOutput, batchOutput])),
      },
      503: { description: "A store is away. Send it again.", content: json(errorAnswer) },
    },
  } as const
}

/** 201 where it was booked now, 200 where it was before or where there are several. */
export function told(context: Context, isBatch: boolean, outcomes: readonly [Outcome, ...Outcome[]]) {
  const [first] = outcomes
  if (isBatch || first instanceof ApiError) return context.json(shownBatch(outcomes), 200)
  return first.duplicate ? context.json(first, 200) : context.json(first, 201)
}

function lost(): never {
  throw new Error("A reported record has no outcome.")
}

function shownOverLimit({ limit, window, used, resetsAtMs }: OverLimit): z.infer<typeof overLimitOutput> {
  const { id, scope, kind, enforcement, cap } = limit
  return {
    limit_id: id,
    scope,
    kind,
    window: limit.window,
    window_id: window,
    enforcement,
    cap: shownCap(kind, cap),
    used: shownCap(kind, used),
    resets_at: resetsAtMs === null ? null : new Date(resetsAtMs).toISOString(),
  }
}

function keyConflict(id: string): ApiError {
  const message = `This idempotency_key was used for other content, which is booked as ${id}. Give another record another key.`
  return new ApiError("conflict", message, { param: "idempotency_key" })
}
