/**
 * Ids minted here. Records and holds carry a UUIDv7 (RFC 9562), whose first 48 bits are the time it was made;
 * named things carry a prefix that says what they are, such as `key_` or `proj_`.
 */
import { randomBytes, randomUUID } from "node:crypto"

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/** Returns a mint of UUIDv7 strings: a UUIDv4's random bits, which Node draws in blocks, behind the time. */
export function uuidv7Mint(): (nowMs: number) => string {
  let timeMs = -1
  let head = ""
  return (nowMs) => {
    if (nowMs !== timeMs) {
      timeMs = nowMs
      const time = Math.floor(nowMs).toString(16).padStart(12, "0")
      head = `${time.slice(0, 8)}-${time.slice(8)}-7`
    }
    // What follows a UUIDv4's version digit: 12 random bits, the variant and 62 more.
    return head + randomUUID().slice(15)
  }
}

/** When a UUIDv7 was made, in milliseconds since 1970; NaN where the text begins like none. What follows the UUID is not looked at. */
export function uuidv7TimeMs(id: string): number {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(id) ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : Number.NaN
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
export function namedId(
  prefix: "org" | "proj" | "user" | "key" | "lim" | "adm" | "aud" | "rule" | "chan" | "dig" | "prc" | "trm",
): string {
  return `${prefix}_${randomBase62(12)}`
}
