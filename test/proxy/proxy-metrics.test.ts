import fc from "fast-check"
import { Registry } from "prom-client"
import { expect, test } from "vitest"
import { ApiError } from "../../src/platform/error-table.ts"
import { ProxyMetrics } from "../../src/proxy/proxy-metrics.ts"
import { sampleRecord } from "../ledger/sample-record.ts"

const WORDED = /^tallygate_(requests|tokens|cost_usd|unpriced_requests)_total\{/
/** Series under `other`, whose labels are closed sets; how calls ended has its own room as long as there is some. */
const FOLDED = /^tallygate_requests_total\{.*model="other".*org="other"|^tallygate_[^r].*model="other"/
const INPUT = sampleRecord().input_uncached_tokens

async function linesOf(registry: Registry): Promise<string[]> {
  return (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#"))
}

function sumOf(lines: readonly string[], series: RegExp): number {
  return lines.filter((line) => series.test(line)).reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0)
}

const calls = fc.array(
  fc.record({
    provider: fc.constantFrom("openai", "anthropic"),
    model_served: fc.stringMatching(/^model-[a-z]{1,2}$/),
    organization_id: fc.stringMatching(/^org_[a-c]$/),
    http_status: fc.oneof(fc.constantFrom(0, 200, 429), fc.integer({ min: 100, max: 999 })),
    outcome: fc.constantFrom("ok" as const, "error" as const, "aborted" as const),
  }),
  { maxLength: 200 },
)

test("whatever callers and providers word, there are no more series than allowed, and no call is missing", async () => {
  await fc.assert(
    fc.asyncProperty(calls, fc.nat(60), async (all, seriesMax) => {
      const registry = new Registry()
      const metrics = new ProxyMetrics(registry, seriesMax)
      for (const call of all) metrics.answered(sampleRecord(call), null)
      const lines = await linesOf(registry)
      const named = lines.filter((line) => WORDED.test(line) && !FOLDED.test(line))
      expect(named.length).toBeLessThanOrEqual(seriesMax)
      expect(sumOf(lines, /^tallygate_requests_total/)).toBe(all.length)
      expect(sumOf(lines, /^tallygate_tokens_total\{.*type="input"/)).toBe(all.length * INPUT)
      const folded = lines.filter((line) => line.startsWith("tallygate_requests_total") && FOLDED.test(line))
      for (const line of folded) expect(line).toMatch(/status="(other|0|[1-5]\d\d)",/)
      expect(sumOf(lines, /^tallygate_metrics_folded_total/)).toBe(
        sumOf(lines, /^tallygate_requests_total\{.*model="other"/),
      )
    }),
    { numRuns: 60 },
  )
})

test("a bound that is raised while calls go on lets new models in; one that is lowered takes none away", async () => {
  const registry = new Registry()
  const metrics = new ProxyMetrics(registry, 0)
  metrics.answered(sampleRecord({ model_served: "early" }), null)
  metrics.limitSeries(100)
  metrics.answered(sampleRecord({ model_served: "early" }), null)
  metrics.limitSeries(1)
  metrics.answered(sampleRecord({ model_served: "early" }), null)
  metrics.answered(sampleRecord({ model_served: "late" }), null)
  const lines = await linesOf(registry)
  expect(sumOf(lines, /^tallygate_requests_total\{.*model="early"/)).toBe(2)
  expect(sumOf(lines, /^tallygate_requests_total\{.*model="other"/)).toBe(2)
})

test("what a model is called cannot break the page", async () => {
  const registry = new Registry()
  const metrics = new ProxyMetrics(registry, 100)
  metrics.answered(sampleRecord({ model_served: 'a"} 1\nb\\' }), null)
  const lines = await linesOf(registry)
  expect(lines.filter((line) => line.startsWith("tallygate_requests_total"))).toEqual([
    expect.stringMatching(/^tallygate_requests_total\{provider="openai",model="a\\"\} 1\\nb\\\\",.*\} 1$/),
  ])
})

test("refusals are counted by reason and code, and calls that were forwarded are not among them", async () => {
  const registry = new Registry()
  const metrics = new ProxyMetrics(registry, 100)
  const error = new ApiError("rate_limit_exceeded", "Too many.")
  metrics.refused(error, "rate")
  metrics.refused(error, "rate")
  metrics.refused(error, "concurrency")
  metrics.answered(sampleRecord(), null)
  const refusals = (await linesOf(registry)).filter((line) => line.startsWith("tallygate_refusals_total"))
  expect(refusals).toEqual([
    'tallygate_refusals_total{reason="rate",code="rate_limit_exceeded"} 2',
    'tallygate_refusals_total{reason="concurrency",code="rate_limit_exceeded"} 1',
  ])
})
