import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { LineReader } from "../../src/proxy/line-reader.ts"

const LINE_BYTES_MAX = 16 * 1024 * 1024

/** The lines that come of these chunks, the end included. */
function linesOf(chunks: readonly Buffer[]): string[] {
  const lines: string[] = []
  const reader = new LineReader((line) => void lines.push(line))
  for (const chunk of chunks) reader.push(chunk)
  reader.end()
  return lines
}

function cutAt(bytes: Buffer, offsets: readonly number[]): Buffer[] {
  const borders = [0, ...offsets.toSorted((a, b) => a - b), bytes.length]
  return borders.slice(1).map((end, at) => bytes.subarray(borders[at], end))
}

describe("lines", () => {
  const TEXT = '{"a":"é✨😀"}\n{"b":2}\r\n\n  \n{"c":"\\n"}'
  const LINES = ['{"a":"é✨😀"}', '{"b":2}\r', '{"c":"\\n"}']

  test("come one by one, without blank ones, the last one without a line feed too", () => {
    expect(linesOf([Buffer.from(TEXT)])).toEqual(LINES)
    expect(linesOf([Buffer.from(`${TEXT}\n`)])).toEqual(LINES)
  })

  test("read the same cut at any offset, within characters too", () => {
    const bytes = Buffer.from(TEXT)
    for (let offset = 0; offset <= bytes.length; offset++) expect(linesOf(cutAt(bytes, [offset]))).toEqual(LINES)
    expect(linesOf([...bytes].map((byte) => Buffer.from([byte])))).toEqual(LINES)
  })

  test("read the same however an answer is cut", () => {
    const part = fc.oneof(fc.constantFrom("\n", "\r\n", " ", "\t"), fc.string({ unit: "grapheme", maxLength: 12 }))
    const answer = fc.array(part, { maxLength: 20 }).map((parts) => Buffer.from(parts.join("")))
    const anyCut = answer.chain((bytes) =>
      fc.tuple(fc.constant(bytes), fc.array(fc.nat({ max: bytes.length }), { maxLength: 8 })),
    )
    fc.assert(
      fc.property(anyCut, ([bytes, offsets]) => {
        const expected = bytes
          .toString("utf8")
          .split("\n")
          .filter((line) => line.trim() !== "")
        expect(linesOf(cutAt(bytes, offsets))).toEqual(expected)
      }),
    )
  })

  test("are handed over as soon as they end, and what is left only at the end", () => {
    const lines: string[] = []
    const reader = new LineReader((line) => void lines.push(line))
    reader.push(Buffer.from("one\ntw"))
    expect(lines).toEqual(["one"])
    reader.push(Buffer.from("o"))
    expect(lines).toEqual(["one"])
    reader.end()
    expect(lines).toEqual(["one", "two"])
    reader.end()
    expect(lines).toEqual(["one", "two"])
  })
})

describe("a line that is too long", () => {
  const long = Buffer.alloc(LINE_BYTES_MAX + 1, "x")
  const feed = Buffer.from("\n")

  test("is passed over, and the lines around it are not", () => {
    const around = [Buffer.from("before\n"), long, Buffer.from("\nafter\n")]
    expect(linesOf(around)).toEqual(["before", "after"])
    expect(linesOf([Buffer.concat(around)])).toEqual(["before", "after"])
  })

  test("is passed over in pieces and as the last one too", () => {
    const half = long.subarray(0, LINE_BYTES_MAX / 2 + 1)
    expect(linesOf([half, half, Buffer.from("more"), feed, Buffer.from("after")])).toEqual(["after"])
    expect(linesOf([Buffer.from("before\n"), long])).toEqual(["before"])
  })

  test("is one byte longer than the longest that is read", () => {
    const lines = linesOf([long.subarray(1), feed, long])
    expect(lines.map((line) => line.length)).toEqual([LINE_BYTES_MAX])
  })
})
