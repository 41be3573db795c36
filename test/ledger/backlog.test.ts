import { expect, test } from "vitest"
import { Backlog } from "../../src/ledger/backlog.ts"

test("the backlog counts what has ended and is not shipped, and the age of its oldest call", () => {
  const backlog = new Backlog()
  expect([backlog.rows, backlog.oldestAgeMs(5)]).toEqual([0, 0])
  backlog.ended(1_000)
  backlog.ended(2_000)
  backlog.ended(9_000)
  expect([backlog.rows, backlog.oldestAgeMs(10_000)]).toEqual([3, 9_000])
  backlog.shipped(1, 10_000)
  expect([backlog.rows, backlog.oldestAgeMs(10_000), backlog.lagMs]).toEqual([2, 8_000, 9_000])
  backlog.shipped(2, 11_000)
  expect([backlog.rows, backlog.oldestAgeMs(12_000), backlog.lagMs, backlog.shippedTotal]).toEqual([0, 0, 9_000, 3])
})

test("who waits for the backlog waits for what had ended by then, not for what ends later", async () => {
  const backlog = new Backlog()
  await backlog.emptied()
  backlog.ended(0)
  let isEmptied = false
  const emptied = backlog.emptied().then(() => {
    isEmptied = true
  })
  backlog.ended(0)
  backlog.shipped(0, 1)
  await Promise.resolve()
  expect(isEmptied).toBe(false)
  backlog.shipped(1, 1)
  await emptied
  expect(backlog.rows).toBe(1)
})
