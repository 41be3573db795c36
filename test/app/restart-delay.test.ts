import { expect, test } from "vitest"
import { hasDiedYoung, restartDelayMs } from "../../src/app/restart-delay.ts"

test("a worker that keeps dying is started ever later, but never later than after ten seconds", () => {
  const delays = Array.from({ length: 8 }, (_, deaths) => restartDelayMs(deaths))
  expect(delays).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000])
  expect(restartDelayMs(10_000)).toBe(10_000)
})

test("a minute of life makes a worker sound again", () => {
  expect([hasDiedYoung(0), hasDiedYoung(59_999), hasDiedYoung(60_000)]).toEqual([true, true, false])
})
