/** Text that callers word and that lands in an index: at most 128 bytes of UTF-8, no control characters. */

const VALUE_BYTES_MAX = 128
/** Nearly every value: short printable ASCII without a space at either end. */
const PLAIN = /^[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?$/

/** Cuts to 128 bytes without splitting a character, and drops control characters. */
export function bounded(value: string): string {
  if (value === "" || PLAIN.test(value)) return value
  const clean = value.replace(/\p{Cc}/gu, "").trim()
  if (Buffer.byteLength(clean) <= VALUE_BYTES_MAX) return clean
  return Buffer.from(clean)
    .subarray(0, VALUE_BYTES_MAX)
    .toString("utf8")
    .replace(/\uFFFD+$/, "")
}
