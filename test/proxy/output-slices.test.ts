import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Extended } from "../../src/admission/admit.ts"
import type { SliceBound } from "../../src/admission/limits.ts"
import { newReading, type Reading } from "../../src/providers/dialect.ts"
import { OutputSlices } from "../../src/proxy/output-slices.ts"
import { limitOf } from "../contract/limit-store.ts"

const limit = limitOf({ cap: 10_000n, sliceTokens: 100 })

/** Three ASCII characters are counted as one token. */
function write(reading: Reading, tokens: number): Reading {
  reading.outputText += "abc".repeat(tokens)
  return reading
}

function refusedWith(left: bigint): Extended {
  const refusal = {
    ...{ limit, windowId: "lifetime", used: 10_000n - left, held: 0n, cap: 10_000n, requested: 100n },
    ...{ resetsAtMs: null, retryAfterMs: null, isBudget: true },
  }
  return { kind: "refused", refusal, rooms: [{ limit, left }] }
}

function slicesWith(extend: (more: SliceBound) => Promise<Extended>, outputTokensMax: number | null = null) {
  const told: string[] = []
  const faults: unknown[] = []
  const slices = new OutputSlices({
    ...{
      sliceTokens: 100,
      outputTokensMax,
      inputTokensLikely: 7,
      costNanosOf: (tokens) => BigInt(tokens) * 3n,
      extend,
    },
    ...{ nowMs: () => 0, onFault: (fault) => void faults.push(fault) },
  })
  slices.follow({ go: () => void told.push("go"), cut: () => void told.push("cut") })
  return { slices, told, faults }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe("a store that does not answer in time", () => {
  it("makes the stream wait when it has written what is held, and lets it go on when more is", async () => {
    const { promise, resolve } = Promise.withResolvers<Extended>()
    const { slices, told } = slicesWith(() => promise)
    const reading = newReading()
    expect(slices.mayReadOn(write(reading, 60))).toBe(true)
    expect(slices.mayReadOn(write(reading, 60))).toBe(false)
    await turn()
    expect(told).toEqual([])
    resolve({ kind: "held" })
    await turn()
    expect(told).toEqual(["go"])
    expect(slices.mayReadOn(write(reading, 10))).toBe(true)
  })

  it("tells nobody anything once the answer is over", async () => {
    const { promise, resolve } = Promise.withResolvers<Extended>()
    const { slices, told } = slicesWith(() => promise)
    expect(slices.mayReadOn(write(newReading(), 120))).toBe(false)
    slices.close()
    resolve(refusedWith(0n))
    await turn()
    expect(told).toEqual([])
  })

  it("or fails, ends the stream, and the fault is told", async () => {
    const { slices, told, faults } = slicesWith(() => Promise.reject(new Error("broken")))
    expect(slices.mayReadOn(write(newReading(), 120))).toBe(false)
    await turn()
    expect(told).toEqual(["cut"])
    expect(faults).toEqual([new Error("broken")])
    expect(slices.cut).toMatchObject({ cut_by: "budget", limit_id: "" })
  })
})

it("the next slice is asked for while half of the last one is left, once", async () => {
  const asked: SliceBound[] = []
  const { slices } = slicesWith(async (more) => {
    asked.push(more)
    return { kind: "held" }
  })
  const reading = newReading()
  expect(slices.mayReadOn(write(reading, 49))).toBe(true)
  expect(asked).toEqual([])
  expect(slices.mayReadOn(write(reading, 2))).toBe(true)
  expect(slices.mayReadOn(write(reading, 2))).toBe(true)
  expect(asked).toEqual([{ tokensBound: 100n, costNanosBound: 300n }])
})

it("a stream gets the rest of a budget before it is ended, and the message names the limit", async () => {
  const asked: bigint[] = []
  const { slices, told } = slicesWith(async ({ tokensBound }) => {
    asked.push(tokensBound)
    if (tokensBound <= 40n && asked.length < 3) return { kind: "held" }
    return refusedWith(asked.length < 3 ? 40n : 0n)
  })
  const reading = newReading()
  expect(slices.mayReadOn(write(reading, 99))).toBe(true)
  await turn()
  expect(slices.mayReadOn(write(reading, 40))).toBe(true)
  await turn()
  expect(slices.mayReadOn(write(reading, 1))).toBe(false)
  expect(told).toEqual(["cut"])
  expect(asked).toEqual([100n, 40n, 100n])
  expect(slices.cut).toMatchObject({ cut_by: "budget", limit_id: "lim_1" })
  expect(slices.usageSoFar(reading)).toEqual({ inputTokens: 7, outputTokens: 140 })
})

it("nothing is asked for, and nothing ended, where all that the provider may write is held", async () => {
  const { slices, told } = slicesWith(() => Promise.reject(new Error("must not be asked")), 80)
  const reading = newReading()
  for (let step = 0; step < 10; step += 1) expect(slices.mayReadOn(write(reading, 20))).toBe(true)
  await turn()
  expect(told).toEqual([])
})

it("an answer that cannot be ended early has the rest of its output held at once", () => {
  const asked: SliceBound[] = []
  const { slices } = slicesWith(async (more) => {
    asked.push(more)
    return { kind: "held" }
  }, 1_000)
  slices.holdRest()
  expect(asked).toEqual([{ tokensBound: 900n, costNanosBound: 2_700n }])
})

it("whatever is written and whenever the store answers, no more than a piece is read beyond what is held", async () => {
  const pieces = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 60 })
  await fc.assert(
    fc.asyncProperty(pieces, fc.integer({ min: 0, max: 3_000 }), async (sizes, budget) => {
      let held = 100
      const { slices, told } = slicesWith(async ({ tokensBound }) => {
        const more = Number(tokensBound)
        if (held + more > 100 + budget) return refusedWith(BigInt(100 + budget - held))
        held += more
        return { kind: "held" }
      })
      const reading = newReading()
      let written = 0
      for (const size of sizes) {
        written += size
        const mayGoOn = slices.mayReadOn(write(reading, size))
        await turn()
        if (mayGoOn) expect(written).toBeLessThanOrEqual(held)
        else expect(written - size).toBeLessThan(held)
        if (told.includes("cut")) {
          // What is left is too little to be worth an act.
          expect(100 + budget - held).toBeLessThan(16)
          return
        }
      }
    }),
  )
})
