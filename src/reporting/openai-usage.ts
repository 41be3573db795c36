/**
 * OpenAI's usage and costs API in the shapes of its own SDK: what it asks in our terms, and our sums in its terms. Counts
 * and money are JSON numbers there, and a cost is therefore the nearest float; ours are in `cost_usd`.
 */
import { z } from "zod"
import type { DimensionName } from "./dimensions.ts"
import type { Sums } from "./measures.ts"
import { type Refused, refused } from "./refused.ts"

export const OPENAI_USAGE_KINDS = [
  "completions",
  "embeddings",
  "images",
  "audio_speeches",
  "audio_transcriptions",
  "moderations",
  "costs",
] as const
export type OpenAiUsageKind = (typeof OPENAI_USAGE_KINDS)[number]

/** Endpoints by name that each kind is about, of every provider; costs are about all. */
const ENDPOINTS: Readonly<Record<Exclude<OpenAiUsageKind, "costs">, readonly string[]>> = {
  completions: [
    ...["chat.completions", "responses", "responses.compact", "responses.retrieve", "responses.cancel", "completions"],
    ...["files.content", "messages", "messages.batches.results", "generate_content", "stream_generate_content"],
  ],
  embeddings: ["embeddings", "embed_content", "batch_embed_contents"],
  images: ["images.generations", "images.edits", "images.variations", "predict"],
  audio_speeches: ["audio.speech"],
  audio_transcriptions: ["audio.transcriptions", "audio.translations"],
  moderations: ["moderations"],
}

const SOURCES: Readonly<Record<string, string>> = {
  "images.generations": "image.generation",
  "images.edits": "image.edit",
  "images.variations": "image.variation",
}

/** What can be grouped by → our dimension. */
const GROUPS: Readonly<Record<string, DimensionName>> = {
  project_id: "project",
  user_id: "user",
  api_key_id: "key",
  model: "model",
  batch: "tier",
  service_tier: "tier",
  source: "endpoint",
  line_item: "model",
}

const COMMON_GROUPS = ["project_id", "user_id", "api_key_id", "model"]
const GROUPS_OF: Readonly<Record<OpenAiUsageKind, readonly string[]>> = {
  completions: [...COMMON_GROUPS, "batch", "service_tier"],
  embeddings: COMMON_GROUPS,
  images: [...COMMON_GROUPS, "source"],
  audio_speeches: COMMON_GROUPS,
  audio_transcriptions: COMMON_GROUPS,
  moderations: COMMON_GROUPS,
  costs: ["project_id", "line_item", "api_key_id"],
}

const WIDTHS = { "1m": 60, "1h": 3_600, "1d": 86_400 } as const
export type BucketWidth = keyof typeof WIDTHS
const LIMITS: Readonly<Record<BucketWidth, { readonly default: number; readonly max: number }>> = {
  "1m": { default: 60, max: 1_440 },
  "1h": { default: 24, max: 168 },
  "1d": { default: 7, max: 31 },
}
const COSTS_LIMIT = { default: 7, max: 180 }

const list = z.union([z.string().transform((text) => [text]), z.array(z.string())]).pipe(z.array(z.string()).max(100))
const seconds = z.coerce.number().int().min(0).max(4_133_980_800)

/** The query of every kind; what a kind does not know is refused by `openAiUsagePlan`. */
export const openAiUsageQuery = z.strictObject({
  start_time: seconds,
  end_time: seconds.optional(),
  bucket_width: z.enum(["1m", "1h", "1d"]).default("1d"),
  group_by: list.default([]),
  limit: z.coerce.number().int().min(1).optional(),
  page: z.string().max(100).optional(),
  project_ids: list.optional(),
  user_ids: list.optional(),
  api_key_ids: list.optional(),
  models: list.optional(),
  sources: list.optional(),
  sizes: list.optional(),
  batch: z.enum(["true", "false"]).optional(),
})
export type OpenAiUsageQuery = z.output<typeof openAiUsageQuery>

/** A query string as the schema reads it: SDKs write lists as `group_by[]=model`, others repeat the name. */
export function openAiQueryObject(parameters: URLSearchParams): Record<string, string | string[]> {
  const object: Record<string, string | string[]> = {}
  for (const key of new Set(parameters.keys())) {
    const values = parameters.getAll(key)
    const name = key.replace(/\[\d*\]$/, "")
    const known = object[name]
    const isList = name !== key || values.length > 1 || known !== undefined
    object[name] = isList ? [...(known === undefined ? [] : [known].flat()), ...values] : (values[0] ?? "")
  }
  return object
}

/** What to read to answer a query. */
export type OpenAiUsagePlan = {
  readonly kind: "plan"
  readonly about: OpenAiUsageKind
  readonly groups: readonly string[]
  /** The groups' dimensions, each once. */
  readonly groupBy: readonly DimensionName[]
  readonly filter: Readonly<Partial<Record<"project" | "user" | "key" | "model" | "endpoint" | "tier", string[]>>>
  /** First moments of this page's buckets and the last one's end, epoch milliseconds. */
  readonly boundaries: readonly number[]
  /** Minutes are finer than the rollup. */
  readonly isFromRecords: boolean
  readonly nextPage: string | null
}

/** `nowMs` ends the range where the query does not. */
export function openAiUsagePlan(
  about: OpenAiUsageKind,
  query: OpenAiUsageQuery,
  nowMs: number,
): OpenAiUsagePlan | Refused {
  const wrong = refusalOf(about, query)
  if (wrong !== null) return wrong
  const width = WIDTHS[query.bucket_width]
  const startsAt = query.page === undefined ? query.start_time : startOfPage(query.page)
  if (startsAt === null) return refused("page", "give the `next_page` of the page before, unchanged")
  const endsAt = query.end_time ?? Math.floor(nowMs / 1_000) + 1
  if (endsAt <= query.start_time) return refused("end_time", "must be after `start_time`")
  const first = Math.floor(startsAt / width) * width
  const limit = query.limit ?? limitOf(about, query).default
  const count = Math.max(0, Math.min(limit, Math.ceil((endsAt - first) / width)))
  const boundaries = Array.from({ length: count + 1 }, (_, index) => (first + index * width) * 1_000)
  const end = first + count * width
  return {
    kind: "plan",
    about,
    groups: query.group_by,
    groupBy: [...new Set(query.group_by.flatMap((name) => GROUPS[name] ?? []))],
    filter: filterOf(about, query),
    boundaries,
    isFromRecords: query.bucket_width === "1m",
    nextPage: end < endsAt ? `page_${end}` : null,
  }
}

function refusalOf(about: OpenAiUsageKind, query: OpenAiUsageQuery): Refused | null {
  const group = query.group_by.find((name) => !GROUPS_OF[about].includes(name))
  if (group !== undefined) return refused("group_by", `${about} can be grouped by ${GROUPS_OF[about].join(", ")}`)
  if (about === "costs" && query.bucket_width !== "1d") return refused("bucket_width", "costs come by day, `1d`")
  const { max } = limitOf(about, query)
  if (query.limit !== undefined && query.limit > max) return refused("limit", `at most ${max} buckets make a page`)
  if (query.sizes !== undefined) return refused("sizes", "sizes of images are not kept in sums")
  if (query.sources !== undefined && about !== "images") return refused("sources", "only images have sources")
  if (query.batch === "false") return refused("batch", "take all, grouped by `batch`, and leave out the batches")
  if (query.batch !== undefined && about !== "completions") return refused("batch", "only completions come in batches")
  return null
}

function limitOf(about: OpenAiUsageKind, query: OpenAiUsageQuery) {
  return about === "costs" ? COSTS_LIMIT : LIMITS[query.bucket_width]
}

function startOfPage(page: string): number | null {
  const text = /^page_(\d{1,10})$/.exec(page)?.[1]
  return text === undefined ? null : Number(text)
}

function filterOf(about: OpenAiUsageKind, query: OpenAiUsageQuery): OpenAiUsagePlan["filter"] {
  const endpoints = about === "costs" ? undefined : ENDPOINTS[about]
  const wanted = query.sources
  const named = wanted === undefined ? endpoints : endpoints?.filter((name) => wanted.includes(SOURCES[name] ?? ""))
  return {
    ...(query.project_ids && { project: query.project_ids }),
    ...(query.user_ids && { user: query.user_ids }),
    ...(query.api_key_ids && { key: query.api_key_ids }),
    ...(query.models && { model: query.models }),
    ...(query.batch === "true" && { tier: ["batch"] }),
    ...(named && { endpoint: [...named] }),
  }
}

/** A group of a bucket: the dimensions' values, and what they add up to. */
export type OpenAiUsageRow = { readonly key: ReadonlyMap<DimensionName, string>; readonly sums: Sums }

export type OpenAiUsagePage = {
  readonly object: "page"
  readonly data: readonly {
    readonly object: "bucket"
    readonly start_time: number
    readonly end_time: number
    readonly results: readonly Readonly<Record<string, unknown>>[]
  }[]
  readonly has_more: boolean
  readonly next_page: string | null
}

/** `rows` are those of each bucket of the plan; a bucket without calls has no results. */
export function openAiUsagePage(plan: OpenAiUsagePlan, rows: readonly (readonly OpenAiUsageRow[])[]): OpenAiUsagePage {
  const data = plan.boundaries.slice(0, -1).map((fromMs, index) => ({
    object: "bucket" as const,
    start_time: fromMs / 1_000,
    end_time: (plan.boundaries[index + 1] ?? fromMs) / 1_000,
    results: (rows[index] ?? []).map((row) => resultOf(plan, row)),
  }))
  return { object: "page", data, has_more: plan.nextPage !== null, next_page: plan.nextPage }
}

function resultOf({ about, groups }: OpenAiUsagePlan, { key, sums }: OpenAiUsageRow): Record<string, unknown> {
  const values = Object.fromEntries(
    [...GROUPS_OF[about], ...(about === "images" ? ["size"] : [])].map((name) => [
      name,
      groups.includes(name) ? groupValue(name, key.get(GROUPS[name] ?? "model") ?? "") : null,
    ]),
  )
  if (about === "costs") {
    const amount = { value: Number(sums.cost_usd), currency: "usd" }
    return { object: "organization.costs.result", amount, quantity: null, ...values }
  }
  const figures = { ...FIGURES[about](count(sums)), num_model_requests: count(sums)("records") }
  return { object: `organization.usage.${about}.result`, ...figures, ...values }
}

function groupValue(name: string, value: string): string | boolean | null {
  if (name === "batch") return value === "batch"
  if (name === "source") return SOURCES[value] ?? value
  return value === "" ? null : value
}

type Count = (...names: (keyof Sums)[]) => number

/** Adds measures up; they stay below 2^53. */
function count(sums: Sums): Count {
  return (...names) => names.reduce((sum, name) => sum + Number(sums[name]), 0)
}

const FIGURES: Readonly<Record<Exclude<OpenAiUsageKind, "costs">, (of: Count) => Record<string, number>>> = {
  completions: (of) => ({
    input_tokens: of("input_uncached_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
    output_tokens: of("output_tokens"),
    input_uncached_tokens: of("input_uncached_tokens"),
    input_cached_tokens: of("cache_read_tokens"),
    input_cache_write_tokens: of("cache_write_5m_tokens", "cache_write_1h_tokens"),
    input_text_tokens: of("input_uncached_tokens") - of("audio_input_tokens", "image_input_tokens"),
    input_audio_tokens: of("audio_input_tokens"),
    input_image_tokens: of("image_input_tokens"),
    output_text_tokens: of("output_tokens") - of("audio_output_tokens", "image_output_tokens"),
    output_audio_tokens: of("audio_output_tokens"),
    output_image_tokens: of("image_output_tokens"),
  }),
  embeddings: (of) => ({ input_tokens: of("input_uncached_tokens", "cache_read_tokens") }),
  moderations: (of) => ({ input_tokens: of("input_uncached_tokens", "cache_read_tokens") }),
  images: (of) => ({ images: of("units") }),
  audio_speeches: (of) => ({ characters: of("units") }),
  audio_transcriptions: (of) => ({ seconds: of("units") }),
}
