import OpenAI from "openai"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import {
  OPENAI_USAGE_KINDS,
  type OpenAiUsageKind,
  openAiQueryObject,
  openAiUsageQuery,
} from "../../src/reporting/openai-usage.ts"
import { openAiUsageReport } from "../../src/reporting/openai-usage-report.ts"
import type { Scope } from "../../src/reporting/scope.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { bring, openUsageDatabase } from "./usage-database.ts"

const DAY = 86_400
const START = Date.UTC(2026, 10, 1) / 1_000
const NOW_MS = Date.UTC(2026, 10, 4, 12)
const SCOPE: Scope = { kind: "within", organizationIds: ["org_a"], projectIds: [] }
let sql: Sql

const at = (time: string, endpoint: string, changes: Partial<UsageRecord> = {}) =>
  sampleRecord({ time, endpoint, project_id: "org_a_p0", key_id: "org_a_k0", charges: [], ...changes })

beforeAll(async () => {
  ;({ sql } = await openUsageDatabase([
    { id: "org_a", timeZone: "Europe/Berlin" },
    { id: "org_b", timeZone: "UTC" },
  ]))
  const idle = { input_uncached_tokens: 0, cache_read_tokens: 0, output_tokens: 0, reasoning_tokens: 0 }
  await bring(sql, [
    at("2026-11-01T00:00:00.000Z", "chat.completions", { audio_input_tokens: 30, cost_usd: "0.25" }),
    at("2026-11-01T23:59:59.999Z", "responses", { model_served: "gpt-5", tier_served: "batch", cost_usd: "0.5" }),
    at("2026-11-02T10:00:30.000Z", "messages", { user_id: "org_a_u0", cache_write_5m_tokens: 7, cost_usd: "1" }),
    at("2026-11-02T10:01:00.000Z", "embeddings", { ...idle, input_uncached_tokens: 40 }),
    at("2026-11-02T11:00:00.000Z", "images.generations", { ...idle, units: 2, unit_type: "images" }),
    at("2026-11-02T12:00:00.000Z", "images.edits", { ...idle, units: 1, unit_type: "images" }),
    at("2026-11-02T13:00:00.000Z", "audio.speech", { ...idle, units: 120, unit_type: "characters" }),
    at("2026-11-02T14:00:00.000Z", "audio.transcriptions", { ...idle, units: 37.5, unit_type: "seconds" }),
    at("2026-11-02T15:00:00.000Z", "moderations", { ...idle, input_uncached_tokens: 9 }),
    at("2026-11-02T16:00:00.000Z", "chat.completions", { organization_id: "org_b", key_id: "org_b_k0" }),
  ])
})
afterAll(() => sql?.end())

async function ask(about: OpenAiUsageKind, query: string) {
  const object = openAiQueryObject(new URLSearchParams(query))
  return openAiUsageReport(sql, about, openAiUsageQuery.parse(object), SCOPE, NOW_MS)
}

async function page(about: OpenAiUsageKind, query: string) {
  const found = await ask(about, query)
  if (found.kind === "refused") throw new Error(`${found.param}: ${found.reason}`)
  return found.page
}

/** OpenAI's own SDK, in front of the layer. */
function client(): OpenAI {
  return new OpenAI({
    apiKey: "none",
    adminAPIKey: "none",
    fetch: async (url) => {
      const { pathname, searchParams } = new URL(String(url))
      const about = pathname.split("/").at(-1) as OpenAiUsageKind
      return Response.json(await page(about, searchParams.toString()))
    },
  })
}

describe("through OpenAI's SDK", () => {
  test("completions by model and project, in the shape that it declares", async () => {
    const found = await client().admin.organization.usage.completions({
      start_time: START,
      end_time: START + 3 * DAY,
      group_by: ["model", "project_id"],
    })
    expect(found).toMatchObject({ object: "page", has_more: false, next_page: null })
    expect(found.data.map(({ start_time, end_time, results }) => [start_time, end_time, results.length])).toEqual([
      [START, START + DAY, 2],
      [START + DAY, START + 2 * DAY, 1],
      [START + 2 * DAY, START + 3 * DAY, 0],
    ])
    expect(found.data[1]?.results[0]).toEqual({
      object: "organization.usage.completions.result",
      input_tokens: 1207,
      output_tokens: 300,
      input_uncached_tokens: 1000,
      input_cached_tokens: 200,
      input_cache_write_tokens: 7,
      input_text_tokens: 1000,
      input_audio_tokens: 0,
      input_image_tokens: 0,
      output_text_tokens: 300,
      output_audio_tokens: 0,
      output_image_tokens: 0,
      num_model_requests: 1,
      project_id: "org_a_p0",
      user_id: null,
      api_key_id: null,
      model: "gpt-5-mini-2025-08-07",
      batch: null,
      service_tier: null,
    })
  })

  test("costs by line item and project", async () => {
    const found = await client().admin.organization.usage.costs({
      start_time: START,
      limit: 1,
      group_by: ["line_item"],
    })
    expect(found.next_page).toBe(`page_${START + DAY}`)
    expect(found.data[0]?.results).toEqual([
      {
        object: "organization.costs.result",
        amount: { value: 0.5, currency: "usd" },
        quantity: null,
        project_id: null,
        line_item: "gpt-5",
        api_key_id: null,
      },
      {
        object: "organization.costs.result",
        amount: { value: 0.25, currency: "usd" },
        quantity: null,
        project_id: null,
        line_item: "gpt-5-mini-2025-08-07",
        api_key_id: null,
      },
    ])
  })
})

test.each([
  ["embeddings", { input_tokens: 40, num_model_requests: 1 }],
  ["moderations", { input_tokens: 9, num_model_requests: 1 }],
  ["images", { images: 3, num_model_requests: 2, size: null, source: null }],
  ["audio_speeches", { characters: 120, num_model_requests: 1 }],
  ["audio_transcriptions", { seconds: 37.5, num_model_requests: 1 }],
] as const)("%s counts its own endpoints alone", async (about, figures) => {
  const { data } = await page(about, `start_time=${START}&end_time=${START + 2 * DAY}`)
  expect(data[0]?.results).toEqual([])
  expect(data[1]?.results).toHaveLength(1)
  expect(data[1]?.results[0]).toMatchObject({ object: `organization.usage.${about}.result`, ...figures })
})

test("pages follow one another without a gap", async () => {
  const starts: number[] = []
  for (let cursor: string | null = ""; cursor !== null; ) {
    const next = await page("completions", `start_time=${START}&bucket_width=1h&limit=30${cursor && `&page=${cursor}`}`)
    starts.push(...next.data.map(({ start_time }) => start_time))
    cursor = next.next_page
  }
  expect(starts).toEqual(Array.from({ length: 85 }, (_, hour) => START + hour * 3_600))
})

test("minutes are read from records, to the minute", async () => {
  const ten = START + DAY + 10 * 3_600
  const completions = await page("completions", `start_time=${ten}&end_time=${ten + 120}&bucket_width=1m`)
  expect(completions.data.map(({ results }) => results.length)).toEqual([1, 0])
  const embeddings = await page("embeddings", `start_time=${ten}&end_time=${ten + 120}&bucket_width=1m`)
  expect(embeddings.data.map(({ results }) => results.length)).toEqual([0, 1])
})

test("every combination of groups is answered, batches and sources among them", async () => {
  const all =
    "group_by[]=project_id&group_by[]=user_id&group_by[]=api_key_id&group_by[]=model&group_by[]=batch&group_by[]=service_tier"
  const { data } = await page("completions", `start_time=${START}&${all}`)
  expect(data[0]?.results.map((row) => [row.batch, row.service_tier, row.api_key_id, row.user_id]).sort()).toEqual([
    [false, "standard", "org_a_k0", null],
    [true, "batch", "org_a_k0", null],
  ])
  const images = await page("images", `start_time=${START}&group_by=source&sources=image.edit`)
  expect(images.data[1]?.results).toMatchObject([{ source: "image.edit", images: 1 }])
  const batches = await page(
    "completions",
    `start_time=${START}&batch=true&models=gpt-5&project_ids[]=org_a_p0&api_key_ids[]=org_a_k0`,
  )
  expect(batches.data[0]?.results).toMatchObject([{ num_model_requests: 1 }])
})

test.each([
  ["completions", "group_by=size", "group_by"],
  ["images", "group_by=size", "group_by"],
  ["images", "sizes=512x512", "sizes"],
  ["completions", "sources=image.edit", "sources"],
  ["completions", "batch=false", "batch"],
  ["embeddings", "batch=true", "batch"],
  ["costs", "bucket_width=1h", "bucket_width"],
  ["costs", "limit=181", "limit"],
  ["completions", "limit=32", "limit"],
  ["completions", "page=2", "page"],
  ["completions", `end_time=${START}`, "end_time"],
] as const)("%s with %s is refused", async (about, query, param) => {
  expect(await ask(about, `start_time=${START}&${query}`)).toMatchObject({ kind: "refused", param })
})

test("every kind answers a range without usage with empty buckets", async () => {
  for (const about of OPENAI_USAGE_KINDS) {
    const { data } = await page(about, `start_time=${START - 300 * DAY}&limit=2`)
    expect(data.map(({ results }) => results)).toEqual([[], []])
  }
})
