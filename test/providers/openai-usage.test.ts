/** Usage objects in OpenAI's shape as other servers fill them, and what providers say that an answer cost. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { inputTokens, totalTokens, ZERO_USAGE } from "../../src/metering/usage.ts"
import { newReading } from "../../src/providers/dialect.ts"
import { openAiChat } from "../../src/providers/openai-chat.ts"
import { readOpenAiUsage } from "../../src/providers/openai-usage.ts"
import { readProviderCost } from "../../src/providers/provider-cost.ts"

const used = (usage: object, model = "") => readOpenAiUsage(usage, model)

describe("what a total holds beyond input and output", () => {
  test("is thoughts, of a Gemini model that names none", () => {
    for (const [completion, total] of [
      [6, 100],
      [0, 67],
    ] as const) {
      const usage = { prompt_tokens: 66, completion_tokens: completion, total_tokens: total }
      for (const model of ["gemini-2.5-flash", "models/gemini-3-pro-preview", "google/gemini-2.5-pro"]) {
        expect(used(usage, model)).toEqual({
          usage: {
            ...ZERO_USAGE,
            inputUncachedTokens: 66,
            outputTokens: total - 66,
            reasoningTokens: total - 66 - completion,
          },
          isMismatch: false,
        })
      }
    }
  })
  test("is reasoning, where just as much is reported", () => {
    const usage = {
      prompt_tokens: 12,
      completion_tokens: 1,
      total_tokens: 303,
      prompt_tokens_details: { cached_tokens: 11 },
      completion_tokens_details: { reasoning_tokens: 290 },
    }
    expect(used(usage, "grok-3-mini")).toEqual({
      usage: {
        ...ZERO_USAGE,
        inputUncachedTokens: 1,
        cacheReadTokens: 11,
        outputTokens: 291,
        reasoningTokens: 290,
      },
      isMismatch: false,
    })
  })
  test("is not guessed at for any other", () => {
    expect(used({ prompt_tokens: 7, completion_tokens: 2, total_tokens: 10 }, "llama-3")).toMatchObject({
      usage: { outputTokens: 2 },
      isMismatch: true,
    })
  })
  test("reasoning within the output is not counted again, nor beyond it", () => {
    const reasoning = (reasoning_tokens: number) =>
      used({
        prompt_tokens: 43,
        completion_tokens: 10,
        total_tokens: 53,
        completion_tokens_details: { reasoning_tokens },
      })
    expect(reasoning(8)?.usage).toMatchObject({ outputTokens: 10, reasoningTokens: 8 })
    expect(reasoning(11)).toMatchObject({ usage: { outputTokens: 10, reasoningTokens: 10 }, isMismatch: false })
  })
})

describe("input", () => {
  test.each([
    ["DeepSeek", { prompt_cache_hit_tokens: 30, prompt_cache_miss_tokens: 10 }],
    ["Moonshot and Together", { cached_tokens: 30 }],
    ["both, which is one", { cached_tokens: 30, prompt_tokens_details: { cached_tokens: 30 } }],
    ["details that are null", { cached_tokens: 30, prompt_tokens_details: null }],
  ])("cached tokens as %s have them are part of the prompt", (_, more) => {
    expect(used({ prompt_tokens: 40, completion_tokens: 5, total_tokens: 45, ...more })).toMatchObject({
      usage: { inputUncachedTokens: 10, cacheReadTokens: 30, outputTokens: 5 },
      isMismatch: false,
    })
  })
  test("is all of a total that stands alone", () => {
    expect(used({ total_tokens: 9 })?.usage).toEqual({ ...ZERO_USAGE, inputUncachedTokens: 9 })
  })
  test("a total beside counts of another shape says nothing", () => {
    expect(used({ input_tokens: 3, output_tokens: 4, total_tokens: 7 })).toBeNull()
  })
})

test("Groq's usage in the last event is the usage, whether or not it stands there twice", () => {
  const usage = { prompt_tokens: 8, completion_tokens: 3, total_tokens: 11, total_time: 0.01 }
  const last = { id: "chatcmpl-1", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }
  for (const event of [
    { ...last, x_groq: { id: "req_1", usage } },
    { ...last, x_groq: { id: "req_1", usage }, usage },
  ]) {
    const reading = newReading()
    openAiChat.readEvent(JSON.stringify({ ...last, x_groq: { id: "req_1" } }), reading)
    openAiChat.readEvent(JSON.stringify(event), reading)
    expect(reading).toMatchObject({ usage: { inputUncachedTokens: 8, outputTokens: 3 }, usageRaw: usage })
  }
})

test.each([
  [2, { num_search_queries: 2, search_context_size: "low" }],
  [1, { search_context_size: "high" }],
  [3, { server_tool_use: { web_search_requests: 3 } }],
  [4, { server_tool_use_details: { web_search_requests: 4 } }],
  [0, { server_tool_use: null }],
])("%i web searches are counted off %j", (searches, more) => {
  expect(used({ prompt_tokens: 1, completion_tokens: 1, ...more })?.usage.webSearches).toBe(searches)
})

describe("the provider's own cost", () => {
  const costOf = (usage: unknown) => {
    const reading = newReading()
    readProviderCost(usage, reading)
    return [reading.costUsd, reading.costElsewhereUsd]
  }
  test.each([
    ["0", { cost: 0 }],
    ["0.0002265", { cost: 0.0002265 }],
    ["0.000000825", { cost: 8.25e-7 }],
    ["0", { cost: 1e-20 }],
    ["0.123456789012", { cost: 0.1234567890123 }],
    ["12.5", { cost: 12.5, is_byok: false }],
    ["0.005445", { cost: { input_tokens_cost: 0, request_cost: 0.005, total_cost: 0.005445 } }],
    ["0.000146625", { cost_in_usd_ticks: 1_466_250 }],
    ["0.0000000001", { cost_in_usd_ticks: 1 }],
  ])("is %s for %j", (usd, usage) => expect(costOf(usage)).toEqual([usd, null]))

  test("with the caller's own key at the maker is the fee alone, and the maker's bill stands apart", () => {
    const byok = { cost: 0.00001, is_byok: true, cost_details: { upstream_inference_cost: 0.0002265 } }
    expect(costOf(byok)).toEqual(["0.00001", "0.0002265"])
    expect(costOf({ ...byok, cost_details: { upstream_inference_cost: null } })).toEqual(["0.00001", null])
    expect(costOf({ ...byok, is_byok: false })).toEqual(["0.00001", null])
  })
  test.each([null, {}, { cost: "1" }, { cost: -1 }, { cost: 1e12 }, { cost: {} }, { cost_in_usd_ticks: 0.5 }])(
    "is not made up of %j",
    (usage) => expect(costOf(usage)).toEqual([null, null]),
  )
  test("is exact for every cost with as many digits as the ledger has", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000_000 }), fc.integer({ min: 0, max: 12 }), (digits, places) => {
        const dollars = Number(`${digits}e-${places}`)
        const plain = places === 0 ? String(digits) : dollars.toFixed(places).replace(/\.?0+$/, "")
        expect(costOf({ cost: dollars })[0]).toBe(plain)
      }),
    )
  })
})

test("hostile counts: nothing throws, classes are disjoint, and make the total unless it is said that they do not", () => {
  const counts = fc.oneof(fc.nat({ max: 1000 }), fc.double(), fc.integer(), fc.bigInt().map(String), fc.jsonValue())
  const details = fc.oneof(
    fc.jsonValue(),
    fc.record({ cached_tokens: counts, cache_write_tokens: counts, reasoning_tokens: counts, audio_tokens: counts }),
  )
  const usage = fc.record(
    {
      prompt_tokens: counts,
      completion_tokens: counts,
      total_tokens: counts,
      cached_tokens: counts,
      prompt_cache_hit_tokens: counts,
      prompt_tokens_details: details,
      completion_tokens_details: details,
      cost: fc.jsonValue(),
      cost_in_usd_ticks: fc.jsonValue(),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(usage, fc.constantFrom("", "gemini-2.5-flash"), (wire, model) => {
      readProviderCost(wire, newReading())
      const read = readOpenAiUsage(wire, model)
      if (read === null) return
      for (const value of Object.values(read.usage))
        if (typeof value === "number") expect(value).toBeGreaterThanOrEqual(0)
      expect(read.usage.reasoningTokens).toBeLessThanOrEqual(read.usage.outputTokens)
      expect(inputTokens(read.usage)).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER)
      const total = (wire as { total_tokens?: unknown }).total_tokens
      if (typeof total === "number" && Number.isSafeInteger(total) && total >= 0 && !read.isMismatch) {
        // A provider may write -0.
        expect(totalTokens(read.usage)).toBe(total + 0)
      }
    }),
  )
})
