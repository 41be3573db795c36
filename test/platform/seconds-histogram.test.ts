import fc from "fast-check"
import { Histogram, Registry } from "prom-client"
import { expect, test } from "vitest"
import { SecondsHistogram } from "../../src/platform/seconds-histogram.ts"

const BOUNDS = [0.001, 0.01, 0.5, 2]

test("it prints what prom-client's own histogram prints for the same observations", async () => {
  const seconds = fc.oneof(fc.constantFrom(...BOUNDS, 0, 1e9), fc.double({ min: 0, max: 3, noNaN: true }))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom("a", 'b"\\'), seconds), { minLength: 1 }), async (observed) => {
      const [ours, theirs] = [new Registry(), new Registry()]
      const histogram = new SecondsHistogram({ name: "x_seconds", help: "h", label: "provider", bounds: BOUNDS }, ours)
      const known = new Histogram({
        name: "x_seconds",
        help: "h",
        labelNames: ["provider"],
        buckets: BOUNDS,
        registers: [theirs],
      })
      for (const [provider, value] of observed) {
        histogram.observe(provider, value)
        known.observe({ provider }, value)
      }
      expect(await ours.metrics()).toBe(await theirs.metrics())
    }),
  )
})
