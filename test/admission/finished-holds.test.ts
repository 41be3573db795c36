import { expect, it } from "vitest"
import { FinishedHolds } from "../../src/admission/finished-holds.ts"

const MINUTE_MS = 60_000
const BOUNDS = { bucketIdsMax: 10, bucketsMax: 3, sweptMax: 4 }

it("a flood of finished calls never grows the memory beyond its bound, and the newest are remembered", () => {
  const finished = new FinishedHolds(BOUNDS)
  for (let index = 0; index < 1_000; index += 1) finished.addDone(`id_${index}`, 0)
  const remembered = Array.from({ length: 1_000 }, (_, index) => index).filter((index) =>
    finished.isDone(`id_${index}`),
  )
  expect(remembered.length).toBeLessThanOrEqual(30)
  expect(remembered.length).toBeGreaterThanOrEqual(20)
  expect(remembered.at(-1)).toBe(999)
})

it("swept holds are bounded by number as well, the oldest going first", () => {
  const finished = new FinishedHolds(BOUNDS)
  for (let index = 0; index < 6; index += 1) finished.addSwept(`id_${index}`, [], 0)
  expect([0, 1, 2, 5].map((index) => finished.sweptCharges(`id_${index}`) !== undefined)).toEqual([
    false,
    false,
    true,
    true,
  ])
})

it("an id is remembered for at least half an hour after it finished, and not for an hour", () => {
  const finished = new FinishedHolds(BOUNDS)
  finished.addSwept("swept", [], 9 * MINUTE_MS)
  finished.addDone("first", 0)
  finished.addDone("last of the bucket", 9 * MINUTE_MS)
  finished.addDone("next bucket", 25 * MINUTE_MS)
  finished.forget(38 * MINUTE_MS)
  expect(finished.isDone("last of the bucket")).toBe(true)
  expect(finished.sweptCharges("swept")).toEqual([])
  finished.forget(60 * MINUTE_MS)
  expect(finished.isDone("first")).toBe(false)
  expect(finished.isDone("last of the bucket")).toBe(false)
  expect(finished.isDone("next bucket")).toBe(true)
  expect(finished.sweptCharges("swept")).toBeUndefined()
  finished.forget(70 * MINUTE_MS)
  expect(finished.isDone("next bucket")).toBe(false)
})

it("a swept hold that is settled late is done, and swept no more", () => {
  const finished = new FinishedHolds(BOUNDS)
  finished.addSwept("a", [], 0)
  finished.addDone("a", 0)
  expect(finished.isDone("a")).toBe(true)
  expect(finished.sweptCharges("a")).toBeUndefined()
})
