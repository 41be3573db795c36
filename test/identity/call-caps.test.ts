import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { CAP_POLICIES, type CallCaps, changedCaps, combineCaps, NO_CAPS } from "../../src/identity/call-caps.ts"
import { capRowOf, capsFrom } from "../../src/identity/cap-row.ts"

const caps = (given: Partial<CallCaps>): CallCaps => ({ ...NO_CAPS, ...given })

const tokens = fc.option(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }))
const anyCaps: fc.Arbitrary<CallCaps> = fc.record({
  outputTokensMax: tokens,
  inputTokensMax: tokens,
  costNanosMax: fc.option(fc.bigInt({ min: 0n, max: 10n ** 21n })),
  policy: fc.constantFrom(...CAP_POLICIES),
})

describe("a key and its project together", () => {
  test("the smaller of each cap counts, whoever has it", () => {
    const key = caps({ outputTokensMax: 100, inputTokensMax: 5_000, costNanosMax: null })
    const project = caps({ outputTokensMax: 200, inputTokensMax: 4_000, costNanosMax: 7n })
    const both = caps({ outputTokensMax: 100, inputTokensMax: 4_000, costNanosMax: 7n })
    expect(combineCaps(key, project)).toEqual(both)
    expect(combineCaps(project, key)).toEqual(both)
  })

  test("a cap of no money at all is a cap", () => {
    expect(combineCaps(caps({ costNanosMax: 0n }), NO_CAPS).costNanosMax).toBe(0n)
    expect(combineCaps(caps({ costNanosMax: 0n }), caps({ costNanosMax: 5n })).costNanosMax).toBe(0n)
  })

  test.each<[name: string, key: Partial<CallCaps>, project: Partial<CallCaps>, policy: CallCaps["policy"]]>([
    ["none caps", {}, {}, "clamp"],
    ["who denies caps nothing", { policy: "deny" }, { outputTokensMax: 9 }, "clamp"],
    ["the key denies", { policy: "deny", outputTokensMax: 9 }, {}, "deny"],
    ["the project denies", {}, { policy: "deny", costNanosMax: 9n }, "deny"],
    ["the greater cap denies", { outputTokensMax: 9 }, { policy: "deny", outputTokensMax: 10 }, "deny"],
    ["both clamp", { outputTokensMax: 9 }, { inputTokensMax: 10 }, "clamp"],
  ])("%s", (_, key, project, policy) => {
    expect(combineCaps(caps(key), caps(project)).policy).toBe(policy)
  })

  test("neither order nor repetition matters, and nothing is wider than what is combined", () => {
    fc.assert(
      fc.property(anyCaps, anyCaps, (one, other) => {
        const both = combineCaps(one, other)
        expect(both).toEqual(combineCaps(other, one))
        expect(combineCaps(both, one)).toEqual(both)
        for (const member of ["outputTokensMax", "inputTokensMax", "costNanosMax"] as const) {
          const [cap, limit] = [both[member], one[member]]
          if (limit !== null) expect(cap !== null && cap <= limit).toBe(true)
        }
      }),
    )
  })
})

test("a change leaves alone what it does not say, and null lifts a cap", () => {
  const before = caps({ outputTokensMax: 5, costNanosMax: 7n, policy: "deny" })
  expect(changedCaps(before, {})).toEqual(before)
  expect(changedCaps(before, { outputTokensMax: undefined, inputTokensMax: 3, costNanosMax: null })).toEqual(
    caps({ outputTokensMax: 5, inputTokensMax: 3, policy: "deny" }),
  )
  expect(changedCaps(before, { policy: "clamp" })).toEqual({ ...before, policy: "clamp" })
})

test("a row says the caps that it was made of", () => {
  fc.assert(
    fc.property(anyCaps, (given) => {
      expect(capsFrom(capRowOf(given))).toEqual(given)
    }),
  )
})
