import { expect, it } from "vitest"
import { SIGHT_AGE_MS_MAX, Sights } from "../../src/admission/sights.ts"
import { chargeOf, limitOf } from "../contract/limit-store.ts"

const state = (settled: bigint) => ({ settled, held: 0n, emptyInMs: null })
const limits = Array.from({ length: 6 }, (_, index) => limitOf({ id: `lim_${index}` }))
const charges = limits.map((limit) => chargeOf(limit, 1n))

function note(sights: Sights, index: number, actNumber: number, atMs: number, settled = 0n): void {
  const charge = charges[index]
  if (charge !== undefined) sights.note([charge], [state(settled)], actNumber, atMs)
}

function seen(sights: Sights): number[] {
  return charges.flatMap((charge, index) => (sights.of(charge) === undefined ? [] : [index]))
}

it("one counter has one sight, whichever copy of its limit a key brings", () => {
  const sights = new Sights(10)
  const [charge] = charges
  if (charge === undefined) throw new Error("no charge")
  const copy = { ...charge, limit: { ...charge.limit } }
  sights.note([charge], [state(1n)], 1, 0)
  sights.note([copy], [state(2n)], 2, 5)
  expect(sights.of(charge)).toEqual({ seen: state(2n), actNumber: 2, atMs: 5 })
  expect(sights.of(copy)).toBe(sights.of(charge))
})

it("only budgets that may be spent without the store are remembered", () => {
  const sights = new Sights(10)
  const others = [
    chargeOf(limitOf({ id: "deny", onStoreFailure: "deny" }), 1n),
    chargeOf(limitOf({ id: "allow", onStoreFailure: "allow" }), 1n),
    chargeOf(limitOf({ id: "rate", window: "minute" }), 1n),
    chargeOf(limitOf({ id: "slots", kind: "concurrency", window: "none" }), 1n),
  ]
  const counters = others.map(() => state(0n))
  sights.note(others, counters, 1, 0)
  expect(others.map((charge) => sights.of(charge))).toEqual([undefined, undefined, undefined, undefined])
})

it("at the bound the old ones go; a counter that is seen again is remembered again", () => {
  const sights = new Sights(4)
  for (const index of [0, 1, 2]) note(sights, index, 1, 0)
  note(sights, 3, 2, SIGHT_AGE_MS_MAX)
  note(sights, 4, 3, SIGHT_AGE_MS_MAX + 1)
  expect(seen(sights)).toEqual([3, 4])
  note(sights, 0, 4, SIGHT_AGE_MS_MAX + 2, 7n)
  expect(seen(sights)).toEqual([0, 3, 4])
  expect(charges[0] && sights.of(charges[0])?.seen.settled).toBe(7n)
})

it("at the bound all go where most are fresh, so that forgetting stays rare", () => {
  const sights = new Sights(4)
  for (const index of [0, 1, 2, 3]) note(sights, index, 1, 0)
  note(sights, 4, 2, 1)
  expect(seen(sights)).toEqual([4])
})
