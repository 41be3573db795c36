/**
 * Undoes an answer's `content-encoding`, so that it can be read on the side. What was cut is unpacked as far as it came,
 * since its text was delivered and is counted; what is broken, unknown or a bomb is left, and its usage estimated.
 */
import { brotliDecompressSync, gunzipSync, inflateSync, constants as zlib, zstdDecompressSync } from "node:zlib"

type Unpack = (bytes: Buffer, bytesMax: number) => Buffer

const gunzip: Unpack = (bytes, maxOutputLength) =>
  gunzipSync(bytes, { maxOutputLength, finishFlush: zlib.Z_SYNC_FLUSH })

const UNPACK: ReadonlyMap<string, Unpack> = new Map<string, Unpack>([
  ["gzip", gunzip],
  ["x-gzip", gunzip],
  ["deflate", (bytes, maxOutputLength) => inflateSync(bytes, { maxOutputLength, finishFlush: zlib.Z_SYNC_FLUSH })],
  [
    "br",
    (bytes, maxOutputLength) =>
      brotliDecompressSync(bytes, { maxOutputLength, finishFlush: zlib.BROTLI_OPERATION_FLUSH }),
  ],
  ["zstd", (bytes, maxOutputLength) => zstdDecompressSync(bytes, { maxOutputLength, finishFlush: zlib.ZSTD_e_flush })],
])

/**
 * The bytes as they were before they were packed. `encoding` is the header's value in lower case, several of them in
 * the order in which they were applied. Null where that cannot be known, or is more than `bytesMax`.
 */
export function unpacked(bytes: Buffer, encoding: string, bytesMax: number): Buffer | null {
  let plain = bytes
  for (const name of encoding
    .split(",")
    .map((part) => part.trim())
    .reverse()) {
    if (name === "" || name === "identity") continue
    const unpack = UNPACK.get(name)
    if (unpack === undefined) return null
    try {
      plain = unpack(plain, bytesMax)
    } catch {
      // Broken, or larger than allowed: the bytes were relayed all the same.
      return null
    }
  }
  return plain
}
