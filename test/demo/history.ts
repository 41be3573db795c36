/**
 * The story's past: calls of the last two months with working days, quiet nights and weekends, priced by the shipped price
 * book and brought in by the statement that the ledger takes every record by.
 */
import path from "node:path"
import { windowAt } from "../../src/admission/window.ts"
import { openPriceBook } from "../../src/app/price-book.ts"
import { isCalendarWindow, LIMIT_WINDOWS } from "../../src/identity/limit.ts"
import { ingest } from "../../src/ledger/ingest.ts"
import { ensurePartitions } from "../../src/ledger/partitions.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { priceUsage } from "../../src/pricing/cost.ts"
import { formatUsd, PICOS_PER_NANO, parseUsd } from "../../src/pricing/money.ts"
import type { PriceBook } from "../../src/pricing/price-book.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { randomFrom } from "../reporting/usage-database.ts"
import type { CountedLimit, MadeKey } from "./people.ts"
import type { StoryModel } from "./story.ts"

const ROOT = path.join(import.meta.dirname, "../..")
const HOUR_MS = 3_600_000
const DAYS = 62
const BATCH = 500
const JOURNAL = "019a0000-0000-7000-8000-00000000de30"
/** By hour of the day in UTC. */
const HOURS = [1, 1, 1, 1, 2, 4, 8, 13, 16, 16, 14, 12, 13, 15, 16, 14, 11, 7, 5, 3, 2, 2, 1, 1]
const WEEKEND = 0.25
/** Calls of the last day as a part of those of the first one. */
const GROWTH = 1.35

export type HistoryOptions = {
  readonly keys: readonly MadeKey[]
  /** The present, at which it ends; epoch milliseconds. */
  readonly nowMs: number
  /** About so many calls. */
  readonly calls: number
}

/** Brings the past in. Returns how many calls there were. */
export async function bringHistory(sql: Sql, { keys, nowMs, calls }: HistoryOptions): Promise<number> {
  const random = randomFrom(7)
  const book = await openPriceBook(ROOT, [])
  const mintId = uuidv7Mint()
  const fromMs = nowMs - DAYS * 24 * HOUR_MS
  await ensurePartitions(sql, fromMs, nowMs)
  const times = moments(random, fromMs, nowMs, calls)
  for (let at = 0; at < times.length; at += BATCH) {
    const rows = times.slice(at, at + BATCH).map((timeMs, index) => {
      const record = recordOf(random, book, keyOf(random, keys), timeMs, mintId)
      return { seq: at + index + 1, body: JSON.stringify(record) }
    })
    await ingest(sql, JOURNAL, rows)
  }
  return times.length
}

/** So many moments, in order, more of them in working hours and as time goes on. */
function moments(random: () => number, fromMs: number, untilMs: number, calls: number): number[] {
  const hours = Array.from({ length: Math.floor((untilMs - fromMs) / HOUR_MS) }, (_, index) => fromMs + index * HOUR_MS)
  const weights = hours.map((startMs, index) => {
    const at = new Date(startMs)
    const isWeekend = at.getUTCDay() % 6 === 0
    const noise = 0.85 + random() * 0.3
    return (
      (HOURS[at.getUTCHours()] ?? 1) * (isWeekend ? WEEKEND : 1) * (1 + ((GROWTH - 1) * index) / hours.length) * noise
    )
  })
  const all = weights.reduce((sum, weight) => sum + weight, 0)
  return hours
    .flatMap((startMs, index) => {
      const exactCount = ((weights[index] ?? 0) / all) * calls
      const count = Math.floor(exactCount) + (random() < exactCount % 1 ? 1 : 0)
      return Array.from({ length: count }, () => Math.floor(startMs + random() * HOUR_MS))
    })
    .filter((timeMs) => timeMs < untilMs)
    .sort((one, two) => one - two)
}

function keyOf(random: () => number, keys: readonly MadeKey[]): MadeKey {
  const all = keys.reduce((sum, { story }) => sum + story.weight, 0)
  let rest = random() * all
  for (const key of keys) {
    rest -= key.story.weight
    if (rest < 0) return key
  }
  const [first] = keys
  if (first === undefined) throw new Error("The story has no key.")
  return first
}

function recordOf(
  random: () => number,
  book: PriceBook,
  key: MadeKey,
  timeMs: number,
  mintId: (ms: number) => string,
): UsageRecord {
  const { models, tool } = key.story
  const model = models[Math.floor(random() ** 1.6 * models.length)] ?? models[0]
  if (model === undefined) throw new Error(`The key ${key.story.name} has no model.`)
  const isFailed = random() < 0.006
  const isStream = model.output > 100 && random() < 0.7
  const spread = () => Math.exp((random() + random() + random() - 1.5) * 1.1)
  const durationMs = Math.round(model.duration * spread())
  const head = {
    ...sampleRecord({ time: new Date(timeMs).toISOString() }),
    ...{
      id: mintId(timeMs),
      organization_id: key.organizationId,
      project_id: key.projectId,
      user_id: key.userId,
      key_id: key.id,
    },
    ...{ tool, operation: "", tags: [], metadata: {}, end_customer: "", charges: [] },
    ...{
      endpoint: model.endpoint,
      provider: model.provider,
      provider_account: model.provider,
      dialect: model.provider,
    },
    ...{ model_requested: model.model, model_routed: model.model, model_served: model.model, stream: isStream },
    ...{
      duration_ms: durationMs,
      ttft_ms: isFailed ? null : Math.round(durationMs * (isStream ? 0.06 + random() * 0.07 : 1)),
    },
    upstream_ms: Math.round(durationMs * 0.05),
    overhead_us: 180 + Math.round(random() * 160),
  }
  if (isFailed) return failed(head, model, durationMs)
  const record = { ...head, ...used(random, book, model, timeMs, spread), ...attempt(model, 200, durationMs, "") }
  return { ...record, charges: key.limits.flatMap((limit) => chargeOf(limit, record, timeMs)) }
}

/** What the call counts for in a limit's window, as the proxy would have charged it. */
function chargeOf(
  { id, subject, kind, window, time_zone: zone, anchor_day: anchor, days }: CountedLimit,
  record: UsageRecord,
  timeMs: number,
): UsageRecord["charges"] {
  const calendar = LIMIT_WINDOWS.find((known) => known === window && isCalendarWindow(known))
  if (calendar === undefined) return []
  const tokens =
    record.input_uncached_tokens + record.cache_read_tokens + record.cache_write_5m_tokens + record.output_tokens
  const amount = kind === "usd" ? nanosOf(record.cost_usd) : String(kind === "tokens" ? tokens : 1)
  return [{ limit_id: id, subject, window: windowAt(calendar, zone, days ?? anchor, timeMs).id, amount }]
}

function nanosOf(usd: string | null): string {
  const parsed = parseUsd(usd ?? "0")
  if (parsed.kind === "invalid") throw new Error(`${usd} is no sum of dollars.`)
  return ((parsed.picos + PICOS_PER_NANO - 1n) / PICOS_PER_NANO).toString()
}

function failed(head: UsageRecord, model: StoryModel, durationMs: number): UsageRecord {
  return {
    ...head,
    ...{ outcome: "error", end_state: "upstream_error", http_status: 529, error_code: "overloaded_error" },
    ...{
      usage_source: "none",
      usage_raw: null,
      input_uncached_tokens: 0,
      cache_read_tokens: 0,
      output_tokens: 0,
      reasoning_tokens: 0,
    },
    ...{ price_state: "free", cost_usd: "0", cost_source: "", price_row: "" },
    ...attempt(model, 529, durationMs, "overloaded_error"),
  }
}

function attempt(
  { provider, model }: StoryModel,
  status: number,
  durationMs: number,
  error: string,
): Pick<UsageRecord, "attempts"> {
  const one = {
    provider,
    account: provider,
    model,
    status,
    started_ms: 0,
    duration_ms: durationMs,
    provider_request_id: "",
    error,
  }
  return { attempts: [one] }
}

function used(
  random: () => number,
  book: PriceBook,
  model: StoryModel,
  timeMs: number,
  spread: () => number,
): Partial<UsageRecord> {
  const input = Math.round(model.input * spread())
  const cached = Math.round(input * model.cached * (0.6 + random() * 0.4))
  const written = model.provider === "anthropic" ? Math.round((input - cached) * 0.25) : 0
  const output = Math.round(model.output * spread())
  const isEstimated = random() < 0.012
  const usage = {
    ...ZERO_USAGE,
    inputUncachedTokens: input - cached - written,
    cacheReadTokens: cached,
    cacheWrite5mTokens: written,
    outputTokens: output,
  }
  const found = book.find({ provider: model.provider, model: model.model, tier: "standard", atMs: timeMs })
  const priced = found.kind === "found" ? priceUsage(found.row, usage) : found
  const price =
    priced.kind === "priced"
      ? {
          price_state: "priced" as const,
          cost_usd: formatUsd(priced.costPicos),
          cost_source: "book" as const,
          price_row: priced.priceRow,
        }
      : { price_state: "unpriced" as const, cost_usd: null, cost_source: "" as const, price_row: "" }
  return {
    ...price,
    usage_source: isEstimated ? "estimated" : "provider",
    usage_raw: isEstimated ? null : { input_tokens: input, cached_tokens: cached, output_tokens: output },
    input_uncached_tokens: usage.inputUncachedTokens,
    cache_read_tokens: cached,
    cache_write_5m_tokens: written,
    output_tokens: output,
    reasoning_tokens: model.output > 1_000 ? Math.round(output * 0.4) : 0,
  }
}
