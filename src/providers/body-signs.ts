/**
 * Looks for what is not text in a JSON body without parsing it. Most bodies name no kind of content but text, and
 * seeing that costs a search for `"type"`; only where something else may be in it is the body parsed, and then without
 * the data of its pictures, so that megabytes of base64 cost what a short text does.
 */
import { isAscii } from "node:buffer"
import { stringEnd } from "./json-members.ts"
import { asText, parseJson } from "./json-values.ts"

const QUOTE = 0x22
const BACKSLASH = 0x5c
const ESCAPE = Buffer.from("\\u")

/** Names and kinds of what is no text; and letters in escapes, since a name in them is not found by its letters. */
const MEDIA = `"(?:${[
  ...["image", "image_url", "input_image", "image_embeds", "image_pil", "audio", "audio_url", "input_audio"],
  ...["audio_embeds", "video", "video_url", "file", "file_id", "file_data", "input_file"],
].join("|")})"`
const ESCAPED_LETTER = "\\\\u00[4-7]"

/** Kinds that JSON schemas, of tools and of answers, are full of. */
const SCHEMA_TYPES = ["object", "string", "number", "integer", "boolean", "array", "null", "json_schema"]

/**
 * Finds whatever says that a body holds more than text: every `"type"` that is not plainly one of these kinds or one of
 * schemas. What follows is looked at for so many bytes only, so that no white space hides it.
 */
export function signOfMore(textKinds: readonly string[]): RegExp {
  const space = "[ \\t\\r\\n]{0,8}"
  const plain = `"(?:${[...SCHEMA_TYPES, ...textKinds].join("|")})"|[[{\\dtfn-]`
  return new RegExp(`${MEDIA}|${ESCAPED_LETTER}|"type"(?!${space}(?:[,\\]}]|:${space}(?:${plain})))`)
}

/** So much is looked at in one go: a picture is found at its beginning, and its data is not made a text for it. */
const STRETCH_BYTES = 32 * 1024
/** Longer than all that a sign can take. */
const OVERLAP_BYTES = 128

/** True where nothing in the body says that it holds anything but text. */
export function isPlainText(more: RegExp, body: Buffer): boolean {
  for (let from = 0; from < body.length; from += STRETCH_BYTES - OVERLAP_BYTES) {
    if (more.test(body.toString("latin1", from, from + STRETCH_BYTES))) return false
  }
  return true
}

/** Texts beyond this are taken out before a body is parsed; what is kept of them tells a `data:` URL from another. */
const LONG_TEXT_BYTES = 512
const KEPT_BYTES = 64
const REST = "\u0000rest:"

/**
 * The body's value with long texts cut to their beginning and length, which `textBytes` reads. Null where the body is
 * no JSON, or nested deeper than it can be parsed.
 */
export function parsedWithoutBulk(body: Buffer): unknown {
  let text = ""
  let kept = 0
  for (let at = body.indexOf(QUOTE); at >= 0; ) {
    const end = stringEnd(body, at)
    const bytes = end - at - 2
    if (bytes > LONG_TEXT_BYTES) {
      const cut = cutIn(body, at + 1)
      text += `${body.toString("utf8", kept, cut)}\\u0000rest:${bytes}`
      kept = end - 1
    }
    at = body.indexOf(QUOTE, end)
  }
  const parsed = parseJson(text + body.toString("utf8", kept))
  return parsed.kind === "parsed" ? parsed.value : null
}

/** How many bytes a text had in the body; 0 where the value is none. */
export function textBytes(value: unknown): number {
  const text = asText(value)
  const rest = text.lastIndexOf(REST)
  return rest < 0 ? Buffer.byteLength(text) : Number(text.slice(rest + REST.length))
}

/**
 * The bytes of the text that a tokenizer sees which first normalizes it (NFKC): a few characters become several, U+FDFA
 * eighteen. Never less than the body's own.
 */
export function normalizedBytes(body: Buffer): number {
  const hasEscapes = body.indexOf(ESCAPE) >= 0
  if (!hasEscapes && isAscii(body)) return body.length
  const text = body.toString("utf8")
  const characters = hasEscapes
    ? text.replace(/\\u([\da-f]{4})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
    : text
  return Math.max(body.length, Buffer.byteLength(characters.normalize("NFKC")))
}

/** Where a long text can be cut: not within an escape or a character of several bytes. */
function cutIn(body: Buffer, start: number): number {
  let at = start
  while (at < start + KEPT_BYTES) {
    const byte = body[at]
    if (byte === undefined || byte === BACKSLASH || byte >= 0x80) return at
    at++
  }
  return at
}
