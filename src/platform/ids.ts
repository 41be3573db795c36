/**
 * Ids minted here. Records and holds carry a UUIDv7 (RFC 9562), whose first 48 bits are the time it was made;
 * named things carry a prefix that says what they are, such as `key_` or `proj_`.
 */
import { randomBytes, randomFillSync } from "node:crypto"

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))
const POOL_BYTES = 10 * 256

/** Returns a mint of UUIDv7 strings; random bits are drawn in blocks, since one draw per id costs a system call. */
export function uuidv7Mint(): (nowMs: number) => string {
  const pool = Buffer.alloc(POOL_BYTES)
  let at = POOL_BYTES
  return (nowMs) => {
    if (at >= POOL_BYTES) {
      randomFillSync(pool)
      at = 0
    }
    const hex = (index: number) => HEX[pool[at + index] ?? 0]
    const time = Math.floor(nowMs).toString(16).padStart(12, "0")
    const version = `7${hex(0)}${(HEX[pool[at + 1] ?? 0] ?? "").slice(1)}`
    const variant = HEX[((pool[at + 2] ?? 0) & 0x3f) | 0x80]
    const tail = `${hex(4)}${hex(5)}${hex(6)}${hex(7)}${hex(8)}${hex(9)}`
    const id = `${time.slice(0, 8)}-${time.slice(8)}-${version}-${variant}${hex(3)}-${tail}`
    at += 10
    return id
  }
}

/** Uniform random base62 text, `length` characters (5.95 bits each). */
export function randomBase62(length: number): string {
  let text = ""
  while (text.length < length) {
    for (const byte of randomBytes(length * 2)) {
      // 248 = 4 × 62: bytes above it would favour the first letters.
      if (byte < 248 && text.length < length) text += BASE62[byte % 62]
    }
  }
  return text
}

/** Writes a non-negative integer in base62, padded to `length`. */
export function toBase62(value: number, length: number): string {
  let text = ""
  for (let rest = value; rest > 0; rest = Math.floor(rest / 62)) text = BASE62[rest % 62] + text
  return text.padStart(length, "0")
}

/** An id such as `key_4Zr0aXk29QmB`: a prefix and 12 random base62 characters (71 bits). */
export function namedId(prefix: "org" | "proj" | "user" | "key" | "lim" | "adm" | "aud"): string {
  return `${prefix}_${randomBase62(12)}`
}
