/** What is usual: nothing that is itself out of the usual moves it, and a weekday of its own is usual on that day. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { type SpentDay, type Usual, usualOf, usualUpTo } from "../../src/reporting/anomaly.ts"

const days = (amounts: readonly number[]): SpentDay[] =>
  amounts.map((amount, index) => ({ weekday: (index % 7) + 1, amount: BigInt(amount) }))
const usual = (amounts: readonly number[], weekday = 1): Usual => {
  const found = usualOf(days(amounts), weekday)
  if (found === null) throw new Error("too few")
  return found
}

test("fewer than seven days say nothing", () => {
  expect(usualOf(days([1, 1, 1, 1, 1, 1]), 1)).toBeNull()
  expect(usualOf(days([1, 1, 1, 1, 1, 1, 1]), 1)).not.toBeNull()
})

test("days that are all alike are taken to differ by a tenth, and nothing by nothing", () => {
  expect(usual(Array(28).fill(100))).toEqual({ amount: 100n, deviation: 10n })
  expect(usual(Array(28).fill(0))).toEqual({ amount: 0n, deviation: 0n })
})

test("a weekday on which more is used is usual on that day alone", () => {
  const mondays = Array.from({ length: 28 }, (_, index) => (index % 7 === 0 ? 500 : 10))
  expect(usual(mondays, 1).amount).toBe(500n)
  expect(usual(mondays, 2).amount).toBe(10n)
})

test("a week of runaway days among four moves what is usual by no more than days differ anyway", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 90, max: 110 }), { minLength: 28, maxLength: 28 }), (amounts) => {
      const spoiled = amounts.map((amount, index) => (index % 7 === 3 && index < 14 ? 1_000_000 : amount))
      const { amount, deviation } = usual(spoiled, 2)
      expect(amount >= 90n && amount <= 110n).toBe(true)
      expect(deviation <= 20n).toBe(true)
    }),
  )
})

test("so many times the spending is so many times what is usual, and more is never less out of the usual", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 7, maxLength: 28 }),
      fc.integer({ min: 1, max: 1_000 }),
      fc.integer({ min: 2, max: 100 }),
      (amounts, times, deviations) => {
        const hundredfold = amounts.map((amount) => amount * 20_000)
        const upTo = usualUpTo(usual(hundredfold), deviations, 0n)
        const more = usualUpTo(usual(hundredfold.map((amount) => amount * times)), deviations, 0n)
        expect(more).toBe(upTo * BigInt(times))
        expect(upTo).toBeGreaterThanOrEqual(usual(hundredfold).amount)
        expect(usualUpTo(usual(hundredfold), deviations, 10n ** 20n)).toBe(usual(hundredfold).amount + 10n ** 20n)
      },
    ),
  )
})
