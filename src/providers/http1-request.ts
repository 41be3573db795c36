/**
 * The head of a request as text, and what may not stand in one: nothing that a caller or a configuration can name may
 * end a line, and what frames the message is set here alone.
 */

export type HeadText = { readonly kind: "head"; readonly text: string } | { readonly kind: "invalid"; detail: string }

const METHOD = /^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/
const TARGET = /^\/[\x21-\x7e]*$/
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Beyond latin1 a character would lose its upper byte on the wire: U+010A would become a line feed. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const SET_HERE = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
])

export type RequestLine = {
  readonly method: string
  /** With the query, as it goes on the wire. */
  readonly path: string
  /** Flat list of names and values. */
  readonly headers: readonly string[]
  /** Null where the request has no body, not even an empty one. */
  readonly body: Buffer | null
}

export function requestHead(request: RequestLine, host: string): HeadText {
  const { method, path, headers, body } = request
  if (!METHOD.test(method)) return invalid(`The method ${JSON.stringify(method.slice(0, 20))} cannot be sent.`)
  if (!TARGET.test(path)) return invalid("The path must begin with / and hold no blanks or control characters.")
  if (headers.length % 2 !== 0) return invalid("The headers must be names and values in turn.")
  let text = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ""
    const value = headers[i + 1] ?? ""
    if (!NAME.test(name)) return invalid(`A header's name is malformed: ${JSON.stringify(name.slice(0, 80))}.`)
    if (SET_HERE.has(name.toLowerCase())) return invalid(`The header ${name.toLowerCase()} cannot be set.`)
    // The value may be a credential: it is not shown.
    if (!VALUE.test(value)) return invalid(`The header ${name} holds a character that cannot be sent.`)
    text += `${name}: ${value}\r\n`
  }
  return { kind: "head", text: body === null ? `${text}\r\n` : `${text}content-length: ${body.length}\r\n\r\n` }
}

function invalid(detail: string): HeadText {
  return { kind: "invalid", detail }
}
