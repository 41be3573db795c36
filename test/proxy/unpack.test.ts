import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { unpacked } from "../../src/proxy/unpack.ts"

const MAX = 1024 * 1024
const TEXT = Buffer.from(Array.from({ length: 300 }, (_, at) => `data: {"word":${(at * 7_919) % 1_000}}\n\n`).join(""))
const PACKED: readonly (readonly [string, Buffer])[] = [
  ["gzip", gzipSync(TEXT)],
  ["x-gzip", gzipSync(TEXT)],
  ["deflate", deflateSync(TEXT)],
  ["br", brotliCompressSync(TEXT)],
  ["zstd", zstdCompressSync(TEXT)],
]

describe.each(PACKED)("%s", (encoding, packed) => {
  test("is undone", () => expect(unpacked(packed, encoding, MAX)).toEqual(TEXT))

  test("beyond the bound is nothing, and so is what is broken", () => {
    expect(unpacked(packed, encoding, TEXT.length - 1)).toBeNull()
    expect(unpacked(Buffer.from("not packed at all"), encoding, MAX)).toBeNull()
  })

  test("cut anywhere, it is undone as far as it came, and throws nothing", () => {
    for (let length = 0; length <= packed.length; length += 7) {
      const plain = unpacked(packed.subarray(0, length), encoding, MAX)
      if (plain !== null) expect(TEXT.subarray(0, plain.length).equals(plain)).toBe(true)
    }
  })

  test("hostile bytes throw nothing", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void unpacked(Buffer.from(bytes), encoding, MAX)),
    )
  })
})

test.each<[string, Buffer]>([
  ["gzip", gzipSync(TEXT)],
  ["deflate", deflateSync(TEXT)],
  ["br", brotliCompressSync(TEXT)],
])("%s that lacks its end still has nearly all of its text", (encoding, packed) => {
  expect(unpacked(packed.subarray(0, -12), encoding, MAX)?.length).toBeGreaterThan(TEXT.length * 0.8)
})

test("several are undone from the last to the first", () => {
  expect(unpacked(brotliCompressSync(gzipSync(TEXT)), "gzip, br", MAX)).toEqual(TEXT)
  expect(unpacked(gzipSync(TEXT), "identity, gzip", MAX)).toEqual(TEXT)
})

test("none, and one that nobody knows", () => {
  expect(unpacked(TEXT, "", MAX)).toEqual(TEXT)
  expect(unpacked(TEXT, "exi", MAX)).toBeNull()
})
