import { describe, expect, it } from "vitest"
import { Breaker } from "../../src/admission/breaker.ts"

const OPTIONS = {
  failuresMax: 3,
  failuresPercentMax: 50,
  actsMin: 10,
  stretchMs: 1_000,
  backOffMs: 100,
  backOffMsMax: 300,
}

function opened(atMs = 0): Breaker {
  const breaker = new Breaker(OPTIONS)
  while (!breaker.fail(atMs));
  return breaker
}

describe("the breaker of a store", () => {
  it("opens at the third failure in a row, says so once, and an answer in between starts the row anew", () => {
    const breaker = new Breaker(OPTIONS)
    expect([breaker.fail(0), breaker.fail(0)]).toEqual([false, false])
    breaker.succeed(0)
    expect([breaker.fail(0), breaker.fail(0)]).toEqual([false, false])
    expect(breaker.isClosed).toBe(true)
    expect([breaker.fail(0), breaker.fail(0)]).toEqual([true, false])
    expect(breaker.isClosed).toBe(false)
  })

  it("opens when half of the acts of a stretch fail, though never three in a row, and not for a few acts", () => {
    const breaker = new Breaker(OPTIONS)
    for (let pair = 0; pair < 4; pair += 1) {
      breaker.succeed(0)
      expect(breaker.fail(0)).toBe(false)
    }
    breaker.succeed(0)
    expect(breaker.fail(0)).toBe(true)
  })

  it("forgets the failures of an earlier stretch", () => {
    const breaker = new Breaker(OPTIONS)
    for (let pair = 0; pair < 40; pair += 1) {
      breaker.succeed(pair * 300)
      expect(breaker.fail(pair * 300)).toBe(false)
    }
  })

  it("lets one probe out after the back-off, and no second one while the first is out", () => {
    const breaker = opened(1_000)
    expect(breaker.waitMs(1_040)).toBe(60)
    expect(breaker.tryProbe(1_099)).toBe(false)
    expect(breaker.tryProbe(1_100)).toBe(true)
    expect(breaker.tryProbe(9_999)).toBe(false)
    expect(breaker.isClosed).toBe(false)
  })

  it("waits twice as long after each failed probe, up to a bound, and as in the beginning once it was closed", () => {
    const breaker = opened()
    const waits: number[] = []
    let nowMs = 0
    for (let probe = 0; probe < 4; probe += 1) {
      waits.push(breaker.waitMs(nowMs))
      nowMs += breaker.waitMs(nowMs)
      expect(breaker.tryProbe(nowMs)).toBe(true)
      breaker.fail(nowMs)
    }
    expect(waits).toEqual([100, 200, 300, 300])
    nowMs += 300
    expect(breaker.tryProbe(nowMs)).toBe(true)
    breaker.close()
    expect(breaker.isClosed).toBe(true)
    while (!breaker.fail(nowMs));
    expect(breaker.waitMs(nowMs)).toBe(100)
  })
})
