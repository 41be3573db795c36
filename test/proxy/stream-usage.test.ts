/**
 * For every dialect that streams: whatever it reports, in whatever line ends and pieces it comes, the usage is the same,
 * its classes are disjoint, and they add up to what the provider calls the total.
 */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { DIALECTS } from "../../src/identity/provider-account.ts"
import { totalTokens, type Usage, ZERO_USAGE } from "../../src/metering/usage.ts"
import { newReading, type Reading } from "../../src/providers/dialect.ts"
import { AnswerReader } from "../../src/proxy/answer-reader.ts"
import { reportable, STREAM_DIALECTS, type StreamDialect } from "../support/stream-dialects.ts"

type Relayed = { readonly bytes: Buffer; readonly reading: Reading }

function relayed({ dialect, contentType }: StreamDialect, chunks: readonly Buffer[], hidesUsage = false): Relayed {
  const reading = newReading()
  const isSse = contentType === "text/event-stream"
  const form = { isSse, contentType, encoding: "", hidesUsage, streamEnd: null }
  const reader = new AnswerReader(dialect, reading, form)
  const shown = chunks.map((chunk) => reader.push(chunk))
  return { bytes: Buffer.concat([...shown, reader.end() ?? Buffer.alloc(0)]), reading }
}

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...at].map((start, index) => bytes.subarray(start, at[index] ?? bytes.length))
}

const tokens = fc.oneof(fc.nat({ max: 9 }), fc.nat({ max: 200_000 }))
const usages: fc.Arbitrary<Usage> = fc.record({
  ...{ inputUncachedTokens: tokens, cacheReadTokens: tokens, cacheWrite5mTokens: tokens, cacheWrite1hTokens: tokens },
  ...{
    outputTokens: tokens,
    reasoningTokens: tokens,
    audioInputTokens: fc.constant(0),
    imageInputTokens: fc.constant(0),
  },
  ...{ audioOutputTokens: fc.constant(0), imageOutputTokens: fc.constant(0), webSearches: fc.constant(0) },
  ...{ units: fc.constant(0), unitType: fc.constant("") },
})
const texts = fc.array(fc.string({ unit: "binary", maxLength: 12 }), { maxLength: 6 })
const lineEnds = fc.constantFrom("\n", "\r\n", "\r")
const cuts = fc.array(fc.nat(5_000), { maxLength: 10 })

describe.each(STREAM_DIALECTS.map((stream) => [stream.name, stream] as const))("%s", (_name, stream) => {
  test("what is reported is what is read, however it is cut, and adds up to the total", () => {
    fc.assert(
      fc.property(usages, texts, lineEnds, cuts, fc.boolean(), (any, shown, lineEnd, positions, hidesUsage) => {
        const usage = reportable(stream, any)
        const bytes = stream.write(usage, shown, lineEnd)
        const whole = relayed(stream, [bytes], hidesUsage)
        // Pictures are counted beside their tokens.
        expect({ ...whole.reading.usage, units: 0, unitType: "" }).toEqual(usage)
        // The streams above state their total as their API does, so a class counted twice or left out would show.
        expect(whole.reading.isMismatch).toBe(false)
        const pieces = relayed(stream, cutAt(bytes, positions), hidesUsage)
        expect(pieces.reading).toEqual(whole.reading)
        expect(pieces.bytes.equals(whole.bytes)).toBe(true)
        if (!hidesUsage) expect(whole.bytes.equals(bytes)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  test("byte by byte, inside of characters and line ends, it is the same", () => {
    const usage = reportable(stream, { ...ZERO_USAGE, inputUncachedTokens: 31, cacheReadTokens: 7, outputTokens: 11 })
    for (const lineEnd of ["\n", "\r\n", "\r"]) {
      const bytes = stream.write(usage, ["Grüße, ", "世界 🌍"], lineEnd)
      const single = relayed(
        stream,
        Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)),
      )
      expect(single.reading).toEqual(relayed(stream, [bytes]).reading)
      expect(single.bytes.equals(bytes)).toBe(true)
    }
  })

  test("cut off anywhere, it counts no more than the whole, and no part more than its whole", () => {
    fc.assert(
      fc.property(usages, texts, fc.nat(5_000), (any, shown, position) => {
        const usage = reportable(stream, any)
        const bytes = stream.write(usage, shown, "\n")
        const { reading } = relayed(stream, [bytes.subarray(0, position % (bytes.length + 1))])
        const read = reading.usage ?? ZERO_USAGE
        // A placeholder of one stands for the output until it is known.
        expect(totalTokens(read)).toBeLessThanOrEqual(
          Math.max(totalTokens(usage), totalTokens({ ...usage, outputTokens: 1 })),
        )
        expect(read.reasoningTokens).toBeLessThanOrEqual(read.outputTokens)
      }),
      { numRuns: 40 },
    )
  })
})

test("every API that streams is in the table", () => {
  const silent = ["elevenlabs"]
  const streamed = STREAM_DIALECTS.map(({ dialect }) => dialect.name.split("-")[0])
  for (const api of DIALECTS.filter((name) => !silent.includes(name))) expect(streamed).toContain(api)
})
