/**
 * The head of an HTTP/1.1 answer, strictly: what two readers could understand in two ways is refused, since a proxy
 * that reuses connections must never disagree with a server about where an answer ends (RFC 9112, sections 4 to 7).
 */

/** Where the body ends: there is none, after so many bytes, after the last chunk, or where the server closes. */
export type Framing = "none" | "length" | "chunked" | "close"

export type ResponseHead = {
  readonly kind: "head"
  readonly status: number
  /** Flat list of names in lower case and values. */
  readonly headers: string[]
  readonly framing: Framing
  readonly lengthBytes: number
  /** Whether the server keeps the connection for another request. */
  readonly isKeptAlive: boolean
  /** From `keep-alive: timeout=N`; null where the server does not say. */
  readonly keepAliveMs: number | null
}

export type Violation = { readonly kind: "violation"; readonly detail: string }

const HEADERS_MAX = 256
/** Lengths are doubles here; 2^48 bytes is beyond any answer and far from where doubles lose integers. */
export const LENGTH_BYTES_MAX = 2 ** 48

const STATUS_LINE = /^HTTP\/1\.[01] [1-9][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*)?\r\n/
const HEADER_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n$/
/** Both at once, for one pass over a head that is right. No part of it can match in two ways, so it is linear. */
const WHOLE_HEAD = new RegExp(`${STATUS_LINE.source}(?:${HEADER_LINE.source.slice(1, -1)})*$`)

/** Reads a head from its status line to the CR LF of its last header; `text` is latin1, `isBodiless` says HEAD. */
export function parseHead(text: string, isBodiless: boolean): ResponseHead | Violation {
  if (!WHOLE_HEAD.test(text)) return violation(whatIsWrong(text))
  const status = (digit(text, 9) * 10 + digit(text, 10)) * 10 + digit(text, 11)
  const headers: string[] = []
  let length: string | null = null
  let coding: string | null = null
  let connection = ""
  let keepAlive: string | null = null
  for (let at = text.indexOf("\n") + 1; at < text.length; ) {
    const colon = text.indexOf(":", at)
    const end = text.indexOf("\r", colon)
    const name = text.slice(at, colon).toLowerCase()
    const value = trimmed(text, colon + 1, end)
    at = end + 2
    headers.push(name, value)
    switch (name) {
      case "content-length":
        if (length !== null) return violation("content-length stands twice")
        length = value
        break
      case "transfer-encoding":
        if (coding !== null) return violation("transfer-encoding stands twice")
        coding = value
        break
      case "connection":
        connection = connection === "" ? value : `${connection},${value}`
        break
      case "keep-alive":
        keepAlive = value
    }
  }
  if (headers.length > HEADERS_MAX * 2) return violation(`more than ${HEADERS_MAX} headers`)
  const isHttp10 = digit(text, 7) === 0
  const body = framingOf(status, isBodiless, isHttp10, length, coding)
  if (body.kind === "violation") return body
  return {
    kind: "head",
    status,
    headers,
    framing: body.framing,
    lengthBytes: body.lengthBytes,
    isKeptAlive: body.framing !== "close" && staysOpen(connection, isHttp10),
    keepAliveMs: keepAlive === null ? null : timeoutMs(keepAlive),
  }
}

type Body = { readonly kind: "body"; readonly framing: Framing; readonly lengthBytes: number }
const NO_BODY: Body = { kind: "body", framing: "none", lengthBytes: 0 }
const CHUNKED_BODY: Body = { kind: "body", framing: "chunked", lengthBytes: 0 }
const CLOSED_BODY: Body = { kind: "body", framing: "close", lengthBytes: 0 }

/** What contradicts itself is refused even where the status allows no body: such a server is not to be trusted further. */
function framingOf(
  status: number,
  isBodiless: boolean,
  isHttp10: boolean,
  length: string | null,
  coding: string | null,
): Body | Violation {
  if (length !== null && coding !== null) return violation("content-length and transfer-encoding stand together")
  if (coding !== null && isHttp10) return violation("transfer-encoding in an HTTP/1.0 answer")
  if (coding !== null && coding.toLowerCase() !== "chunked") return violation("transfer-encoding is not chunked")
  if (length !== null && !/^[0-9]{1,15}$/.test(length)) return violation("content-length is not a number")
  const lengthBytes = length === null ? 0 : Number(length)
  if (lengthBytes > LENGTH_BYTES_MAX) return violation("content-length is too large")
  if (isBodiless || status < 200 || status === 204 || status === 304) return NO_BODY
  if (coding !== null) return CHUNKED_BODY
  if (length === null) return CLOSED_BODY
  return lengthBytes === 0 ? NO_BODY : { kind: "body", framing: "length", lengthBytes }
}

function staysOpen(connection: string, isHttp10: boolean): boolean {
  if (connection === "") return !isHttp10
  const options = connection
    .toLowerCase()
    .split(",")
    .map((option) => option.trim())
  return !options.includes("close") && (!isHttp10 || options.includes("keep-alive"))
}

function timeoutMs(keepAlive: string): number | null {
  const seconds = /(?:^|[,;\s])timeout\s*=\s*"?([0-9]{1,9})/i.exec(keepAlive)?.[1]
  return seconds === undefined ? null : Number(seconds) * 1_000
}

/** Without the blanks around it: spaces and tabs only, other white space is part of a value. */
function trimmed(text: string, from: number, to: number): string {
  let start = from
  let end = to
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

function digit(text: string, at: number): number {
  return text.charCodeAt(at) - 0x30
}

/** The first thing that is wrong, without the server's own words: they might hold a secret or break a log line. */
function whatIsWrong(text: string): string {
  if (!STATUS_LINE.test(text)) return "the status line is malformed"
  const lines = text.split(/(?<=\r\n)/)
  const at = lines.findIndex((line, index) => index > 0 && !HEADER_LINE.test(line))
  const isFolded = /^[ \t]/.test(lines[at] ?? "")
  return isFolded ? `header line ${at} is folded or begins with a blank` : `header line ${at} is malformed`
}

export function violation(detail: string): Violation {
  return { kind: "violation", detail }
}
