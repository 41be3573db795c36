/**
 * A recorded exchange with a provider: the request, the answer as it came over the wire, and the usage that it means.
 * `null` in what is expected says that the answer does not tell.
 */
import { readFile } from "node:fs/promises"
import { z } from "zod"

const FILE_BYTES_MAX = 64 * 1024 * 1024

const count = z.int().min(0).nullable()

/** Token classes and units as records name them, all counts of one answer. */
const expectedUsage = z.strictObject({
  input_tokens_uncached: count.optional(),
  cache_read_tokens: count.optional(),
  cache_write_5m_tokens: count.optional(),
  cache_write_1h_tokens: count.optional(),
  output_tokens: count.optional(),
  reasoning_tokens: count.optional(),
  audio_input_tokens: count.optional(),
  image_input_tokens: count.optional(),
  audio_output_tokens: count.optional(),
  image_output_tokens: count.optional(),
  web_search_requests: count.optional(),
  /** Null and 0 are the same: billed by tokens alone. */
  units: z.number().min(0).nullable().optional(),
  unit_type: z.string().nullable().optional(),
  /** As served; null where the answer names none. */
  model: z.string().nullable().optional(),
  model_from: z.enum(["request"]).optional(),
  service_tier: z.string().nullable().optional(),
  /** Whether the provider reported usage at all. */
  usage_present: z.boolean(),
  /** False where the provider certainly bills nothing. */
  billable: z.boolean().optional(),
  /** The answer was cut before its output was counted, so that the output has to be estimated. */
  output_is_estimate: z.boolean().optional(),
  /** Nothing was counted, so that all of it has to be estimated. */
  must_estimate: z.boolean().optional(),
  /** What the provider itself says it cost, decimal dollars. */
  provider_cost_usd: z.string().optional(),
})

const recordedExchange = z.object({
  /** Which API's path it is, where several have the same. */
  provider: z.string(),
  method: z.string(),
  path: z.string().startsWith("/"),
  request: z.unknown(),
  response: z.object({
    status: z.int(),
    headers: z.record(z.string(), z.string()).default({}),
    body: z.string().nullable().optional(),
    /** In place of `body`, where that is no text. */
    body_base64: z.base64().optional(),
    /** The connection broke before the end. */
    truncated: z.boolean().default(false),
  }),
  expected: expectedUsage,
})

export type RecordedExchange = z.output<typeof recordedExchange>
export type ExpectedUsage = z.output<typeof expectedUsage>

export type ReadExchange =
  | { readonly kind: "exchange"; readonly exchange: RecordedExchange }
  | { readonly kind: "unreadable"; readonly reason: string }

/** Reads a file; what is wrong with its content is a result, what is wrong with the disk throws. */
export async function readExchange(path: string): Promise<ReadExchange> {
  const bytes = await readFile(path)
  if (bytes.length > FILE_BYTES_MAX) return { kind: "unreadable", reason: `the file is over ${FILE_BYTES_MAX} bytes` }
  let content: unknown
  try {
    content = JSON.parse(bytes.toString("utf8"))
  } catch (error) {
    return { kind: "unreadable", reason: `no JSON: ${String(error)}` }
  }
  const parsed = recordedExchange.safeParse(content)
  if (parsed.success) return { kind: "exchange", exchange: parsed.data }
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join(".") || "file"}: ${message}`)
  return { kind: "unreadable", reason: problems.join("; ") }
}

/** The answer's body as it came over the wire. */
export function bodyOf({ response }: RecordedExchange): Buffer {
  if (response.body_base64 !== undefined) return Buffer.from(response.body_base64, "base64")
  return Buffer.from(response.body ?? "", "utf8")
}
