import { afterEach, beforeEach, expect, it, vi } from "vitest"
import { Deadlines, UnansweredError } from "../../src/admission/deadlines.ts"

const never = new Promise<string>(() => {})
let deadlines: Deadlines
let told: unknown[]

beforeEach(() => {
  vi.useFakeTimers()
  deadlines = new Deadlines(150, () => performance.now())
  told = []
})
afterEach(() => {
  vi.useRealTimers()
})

function watch(answer: Promise<string>): void {
  deadlines.watch(
    performance.now(),
    answer,
    (value) => told.push(["answered", value]),
    (error) => told.push(["failed", error instanceof UnansweredError ? "unanswered" : error]),
    (value) => told.push(["late", value]),
  )
}

it("tells an answer and a failure once, and nothing more when the deadline passes", async () => {
  const fault = new Error("refused")
  watch(Promise.resolve("a"))
  watch(Promise.reject(fault))
  await vi.advanceTimersByTimeAsync(1_000)
  expect(told).toEqual([
    ["answered", "a"],
    ["failed", fault],
  ])
})

it("an act that is never answered fails within a tick of its deadline, those sent later wait for theirs", async () => {
  watch(never)
  await vi.advanceTimersByTimeAsync(100)
  watch(never)
  await vi.advanceTimersByTimeAsync(75)
  expect(told).toEqual([["failed", "unanswered"]])
  await vi.advanceTimersByTimeAsync(100)
  expect(told).toHaveLength(2)
})

it("an answer after the deadline is told as late, a failure after it is no news", async () => {
  watch(new Promise((resolve) => setTimeout(resolve, 400, "a")))
  watch(new Promise((_resolve, reject) => setTimeout(reject, 400, new Error("gone"))))
  await vi.advanceTimersByTimeAsync(1_000)
  expect(told).toEqual([
    ["failed", "unanswered"],
    ["failed", "unanswered"],
    ["late", "a"],
  ])
})

it("failing all at once leaves none to wait for", async () => {
  watch(never)
  watch(never)
  deadlines.failAll("away")
  expect(told).toHaveLength(2)
  await vi.advanceTimersByTimeAsync(1_000)
  expect(told).toHaveLength(2)
  expect(vi.getTimerCount()).toBe(0)
})

it("one timer serves a thousand acts, and none is left when nothing is under way", async () => {
  for (let act = 0; act < 1_000; act += 1) watch(never)
  expect(vi.getTimerCount()).toBe(1)
  await vi.advanceTimersByTimeAsync(200)
  expect(told).toHaveLength(1_000)
  expect(vi.getTimerCount()).toBe(0)
})

it("a stalled event loop is not taken for a silent store: answers that waited behind it are let in first", async () => {
  vi.useRealTimers()
  deadlines = new Deadlines(50, () => performance.now())
  const answer = new Promise<string>((resolve) => setImmediate(resolve, "a"))
  watch(answer)
  // Nothing else can run meanwhile, though the answer is there; the timer is due long before the loop gets to it.
  const untilMs = performance.now() + 120
  while (performance.now() < untilMs);
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(told).toEqual([["answered", "a"]])
})
