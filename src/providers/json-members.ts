/**
 * Where the members of a JSON object stand in its bytes, so that one value can be replaced or a member added without
 * rewriting the rest: what the caller sent stays what the provider gets, byte for byte. The scanner does not validate:
 * what decides is put to JSON.parse as well.
 */
const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const COMMA = 0x2c
const COLON = 0x3a

export type JsonMember = {
  readonly name: string
  /** Offsets of the value's first byte and of the byte after its last. */
  readonly valueStart: number
  readonly valueEnd: number
}

/** The members of the object that begins at or after `from`, in order, duplicates included. */
export function jsonMembers(bytes: Buffer, from = 0): JsonMember[] {
  const members: JsonMember[] = []
  let at = skipSpace(bytes, bytes.indexOf(OPEN_BRACE, from) + 1)
  while (at < bytes.length && bytes[at] === QUOTE) {
    const nameEnd = stringEnd(bytes, at)
    const name = String(JSON.parse(bytes.toString("utf8", at, nameEnd)))
    const colon = skipSpace(bytes, nameEnd)
    if (bytes[colon] !== COLON) break
    const valueStart = skipSpace(bytes, colon + 1)
    const valueEnd = endOfValue(bytes, valueStart)
    members.push({ name, valueStart, valueEnd })
    at = skipSpace(bytes, valueEnd)
    if (bytes[at] !== COMMA) break
    at = skipSpace(bytes, at + 1)
  }
  return members
}

/**
 * The text of an object without what stands in its arrays: `{"model":"x","messages":[]}`. That is all of a request but
 * its bulk, so that reading the rest costs the same for a long prompt as for a short one. Text of any other kind, broken
 * text included, comes back so that JSON.parse refuses it or reads it as what it is.
 */
export function outline(bytes: Buffer): string {
  let at = skipSpace(bytes, 0)
  if (bytes[at] !== OPEN_BRACE) return bytes.toString("utf8")
  let text = ""
  let kept = 0
  at = skipSpace(bytes, at + 1)
  while (bytes[at] === QUOTE) {
    const colon = skipSpace(bytes, stringEnd(bytes, at))
    if (bytes[colon] !== COLON) break
    const valueStart = skipSpace(bytes, colon + 1)
    const valueEnd = endOfValue(bytes, valueStart)
    if (bytes[valueStart] === OPEN_BRACKET && bytes[valueEnd - 1] === CLOSE_BRACKET) {
      text += bytes.toString("utf8", kept, valueStart + 1)
      kept = valueEnd - 1
    }
    at = skipSpace(bytes, valueEnd)
    if (bytes[at] !== COMMA) break
    at = skipSpace(bytes, at + 1)
  }
  return text + bytes.toString("utf8", kept)
}

/** The bytes with `[start, end)` replaced by `text`. */
export function splice(bytes: Buffer, start: number, end: number, text: string): Buffer {
  return Buffer.concat([bytes.subarray(0, start), Buffer.from(text), bytes.subarray(end)])
}

/** The bytes with one more member at the front of the object that begins at or after `from`. */
export function addMember(bytes: Buffer, member: string, from = 0): Buffer {
  const open = bytes.indexOf(OPEN_BRACE, from)
  const isEmpty = bytes[skipSpace(bytes, open + 1)] === CLOSE_BRACE
  return splice(bytes, open + 1, open + 1, isEmpty ? member : `${member},`)
}

/** The bytes with the value of a member of the outermost object replaced, or the member added where there is none. */
export function withMember(bytes: Buffer, name: string, value: string): Buffer {
  const member = jsonMembers(bytes).find((candidate) => candidate.name === name)
  if (member === undefined) return addMember(bytes, `${JSON.stringify(name)}:${value}`)
  return splice(bytes, member.valueStart, member.valueEnd, value)
}

/** The same for a member of an object that is a member itself, and is added with it where there is none. */
export function withMemberWithin(bytes: Buffer, outer: string, name: string, value: string): Buffer {
  const within = jsonMembers(bytes).find((candidate) => candidate.name === outer)
  const isObject = within !== undefined && bytes[within.valueStart] === OPEN_BRACE
  if (within === undefined || !isObject) return withMember(bytes, outer, `{${JSON.stringify(name)}:${value}}`)
  const changed = withMember(bytes.subarray(within.valueStart, within.valueEnd), name, value)
  return splice(bytes, within.valueStart, within.valueEnd, changed.toString("utf8"))
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from
  // JSON's white space: space, tab, line feed, carriage return.
  while (at < bytes.length && isSpace(bytes[at])) at++
  return at
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d
}

/** The offset after the closing quote of the string that begins at `from`. */
export function stringEnd(bytes: Buffer, from: number): number {
  let at = from + 1
  for (;;) {
    const quote = bytes.indexOf(QUOTE, at)
    if (quote < 0) return bytes.length
    let slashes = 0
    while (bytes[quote - 1 - slashes] === BACKSLASH) slashes++
    if (slashes % 2 === 0) return quote + 1
    at = quote + 1
  }
}

function endOfValue(bytes: Buffer, from: number): number {
  const first = bytes[from]
  if (first === QUOTE) return stringEnd(bytes, from)
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return endOfScalar(bytes, from)
  let depth = 0
  let at = from
  while (at < bytes.length) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      at = stringEnd(bytes, at)
      continue
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++
    if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth--
    at++
    if (depth === 0) return at
  }
  return at
}

function endOfScalar(bytes: Buffer, from: number): number {
  let at = from
  while (at < bytes.length && bytes[at] !== COMMA && bytes[at] !== CLOSE_BRACE && !isSpace(bytes[at])) at++
  return at
}
