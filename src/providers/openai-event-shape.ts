/**
 * Reads the text out of a stream's event without parsing it. Nearly all events of a chat stream differ in one string
 * alone (OpenAI adds `obfuscation`, a second one): once an event was parsed and its frame learned, an equal frame
 * around plain strings is the same JSON with another text. Plain is a string without escapes, so its end is certain.
 */
import { asObject } from "./json-values.ts"

export type EventShape = {
  /** Up to the text's opening quote. */
  readonly before: string
  /** From the text's closing quote: up to the padding's opening quote, or to the end. */
  readonly between: string
  /** From the padding's closing quote to the end; null where there is no padding. */
  readonly after: string | null
}

const TEXT_MEMBERS = ["content", "reasoning_content", "reasoning", "refusal"]
const PADDING = '"obfuscation":"'
const PROBE = "tallygate's probe"
const FIRST_PRINTABLE = 0x20
const BACKSLASH = 0x5c

/**
 * The frame around `text` in an event that was parsed and whose only text it is; null where it cannot be told. It is
 * held against the parser: the same frame around another text must parse to that text.
 */
export function learnShape(data: string, text: string): EventShape | null {
  for (const member of TEXT_MEMBERS) {
    const at = data.indexOf(`"${member}":"${text}"`)
    if (at < 0) continue
    const start = at + member.length + 4
    const shape = shapeAt(data, start, start + text.length)
    const probe = asObject(
      parseOrNull(`${shape.before}${PROBE}${shape.between}${shape.after === null ? "" : PROBE + shape.after}`),
    )
    const isPadding = shape.after === null || probe?.obfuscation === PROBE
    return isPadding && onlyDelta(probe)?.[member] === PROBE ? shape : null
  }
  return null
}

/** The text of an event that has this shape; null where it has not and must be parsed. */
export function textByShape(data: string, shape: EventShape): string | null {
  const start = shape.before.length
  const end = data.indexOf('"', start)
  if (end < 0 || !standsAt(data, end, shape.between) || !standsAt(data, 0, shape.before)) return null
  const paddingStart = end + shape.between.length
  if (shape.after === null) {
    if (paddingStart !== data.length) return null
  } else {
    const paddingEnd = data.indexOf('"', paddingStart)
    if (paddingEnd < 0 || paddingEnd + shape.after.length !== data.length) return null
    if (!standsAt(data, paddingEnd, shape.after) || !isPlain(data, paddingStart, paddingEnd)) return null
  }
  return isPlain(data, start, end) ? data.slice(start, end) : null
}

function shapeAt(data: string, start: number, end: number): EventShape {
  const before = data.slice(0, start)
  const padding = data.indexOf(PADDING, end)
  const paddingEnd = padding < 0 ? -1 : data.indexOf('"', padding + PADDING.length)
  if (paddingEnd < 0) return { before, between: data.slice(end), after: null }
  return { before, between: data.slice(end, padding + PADDING.length), after: data.slice(paddingEnd) }
}

/** The delta of an event's only choice. */
function onlyDelta(event: Record<string, unknown> | null): Record<string, unknown> | null {
  const choices = event?.choices
  return Array.isArray(choices) && choices.length === 1 ? asObject(asObject(choices[0])?.delta) : null
}

/** As `startsWith`, which compares one character at a time: 1.1 µs for 200, where equal slices take 0.04. */
function standsAt(data: string, at: number, part: string): boolean {
  return data.slice(at, at + part.length) === part
}

/** Neither an escape nor a control character, which JSON forbids, between two places that hold no quote. */
function isPlain(data: string, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const code = data.charCodeAt(at)
    if (code === BACKSLASH || code < FIRST_PRINTABLE) return false
  }
  return true
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
