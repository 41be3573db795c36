/**
 * Where the fields and files of a `multipart/form-data` body stand in its bytes, so that the model can be read, and
 * replaced without rewriting the rest. Format: RFC 7578 (form data), RFC 2046 section 5.1 (multipart).
 *
 * Servers differ in what they make of a body that is not quite one: which of two names counts, whether a line feed
 * alone ends a line. Who may use a model is decided by what is read here, so a body that could be read in another way
 * is not read at all.
 */
import { splice } from "./json-members.ts"
import { invalid, type Outlined } from "./json-request.ts"

/** A part without a file name. */
export type FormField = {
  readonly name: string
  readonly value: string
  /** Offsets of the value's first byte and of the byte after its last. */
  readonly valueStart: number
  readonly valueEnd: number
}

/** A part with a file name. */
export type FormFile = {
  readonly name: string
  readonly filename: string
  /** Offsets of the file's first byte and of the byte after its last. */
  readonly start: number
  readonly end: number
}

export type Multipart = {
  readonly fields: readonly FormField[]
  readonly files: readonly FormFile[]
  /** Offset of the first part's delimiter. */
  readonly start: number
  readonly boundary: string
}

const PARTS_MAX = 1_000
const HEADERS_BYTES_MAX = 8 * 1024
const CR = 0x0d
const LF = 0x0a
const TAB = 0x09
const SPACE = 0x20
const DASH = 0x2d
const BLANK_LINE = "\r\n\r\n"

const TYPE = /^\s*multipart\/form-data\s*(?=;|$)/i
const HEADER = /^([\w!#$%&'*+.^`|~-]+):[ \t]*(.*)$/
/** A parameter of a header: `; name=value` or `; name="value"`, a quote in it behind a backslash. */
const PARAMETER = /[ \t]*;[ \t]*([\w!#$%&'*+.^`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/y
const BOUNDARY = /^[\w'()+,./:=? -]{0,69}[\w'()+,./:=?-]$/
/** What a value's own bytes are sent in; all others some servers decode and some do not. */
const PLAIN_ENCODING = /^(?:7bit|8bit|binary)$/i
/** Control characters but the tab. */
const CONTROL = /[^\P{Cc}\t]/u

/** True where the content type announces a form in parts. */
export function isMultipart(contentType: string): boolean {
  return TYPE.test(contentType)
}

/** The parts of the form in their order; null where the body is no well-formed one, or has more than 1,000. Never throws. */
export function readMultipart(body: Buffer, contentType: string): Multipart | null {
  const boundary = boundaryOf(contentType)
  if (boundary === null) return null
  const delimiter = Buffer.from(`--${boundary}`)
  const fields: FormField[] = []
  const files: FormFile[] = []
  const start = body.indexOf(delimiter)
  let partStart = -1
  for (let at = start; at >= 0; at = body.indexOf(delimiter, partStart)) {
    // Nowhere else may the delimiter stand: a lenient server would begin a part there.
    if (!isLineStart(body, at)) return null
    if (partStart >= 0) {
      const part = partAt(body, partStart, at - 2)
      if (part === null || fields.length + files.length === PARTS_MAX) return null
      if ("value" in part) fields.push(part)
      else files.push(part)
    }
    const after = at + delimiter.length
    if (body[after] === DASH && body[after + 1] === DASH) {
      const isLast = isLineEnd(body, after + 2) && body.indexOf(delimiter, after) < 0
      return isLast ? { fields, files, start, boundary } : null
    }
    partStart = nextLine(body, after)
    if (partStart < 0) return null
  }
  return null
}

/**
 * The fields of a form as a request, read by the rules of a JSON body: what decides may stand once only, as a field and
 * not as a file. Of any other field the last one counts.
 */
export function readFormFields(body: Buffer, contentType: string, decisive: readonly string[]): Outlined {
  const form = readMultipart(body, contentType)
  if (form === null) return invalid("The request body must be a well-formed multipart/form-data body.")
  const request: Record<string, unknown> = Object.create(null)
  for (const { name, value } of form.fields) {
    if (decisive.includes(name) && request[name] !== undefined) return repeated(name)
    request[name] = value
  }
  const misplaced = form.files.find(({ name }) => decisive.includes(name))
  if (misplaced === undefined) return { kind: "outlined", request }
  const { name } = misplaced
  return request[name] === undefined ? invalid(`\`${name}\` must be a field, not a file.`, name) : repeated(name)
}

/** The form with the value of its first field of that name replaced, or the field added in front where there is none. */
export function withField(body: Buffer, contentType: string, name: string, value: string): Buffer {
  const form = readMultipart(body, contentType)
  if (form === null) return body
  const field = form.fields.find((candidate) => candidate.name === name)
  if (field !== undefined) return splice(body, field.valueStart, field.valueEnd, value)
  const part = `--${form.boundary}\r\nContent-Disposition: form-data; name="${name}"${BLANK_LINE}${value}\r\n`
  return splice(body, form.start, form.start, part)
}

function repeated(name: string): Outlined {
  return invalid(`\`${name}\` stands more than once in the request body.`, name)
}

function boundaryOf(contentType: string): string | null {
  const type = TYPE.exec(contentType)?.[0]
  if (type === undefined) return null
  const boundary = parametersOf(contentType, type.length)?.get("boundary")
  return boundary !== undefined && BOUNDARY.test(boundary) ? boundary : null
}

/** The parameters that follow a header's value; null where one stands twice or what stands there is something else. */
function parametersOf(header: string, from: number): Map<string, string> | null {
  const parameters = new Map<string, string>()
  let at = from
  while (at < header.length) {
    PARAMETER.lastIndex = at
    const found = PARAMETER.exec(header)
    if (found === null) return /^[ \t]*;?[ \t]*$/.test(header.slice(at)) ? parameters : null
    const [whole, name = "", quoted, token = ""] = found
    const key = name.toLowerCase()
    if (parameters.has(key)) return null
    parameters.set(key, quoted ?? token)
    at += whole.length
  }
  return parameters
}

/** The part whose header lines begin at `start` and whose value ends at `end`. */
function partAt(body: Buffer, start: number, end: number): FormField | FormFile | null {
  if (end < start) return null
  const blank = body.subarray(start, Math.min(end, start + HEADERS_BYTES_MAX)).indexOf(BLANK_LINE)
  if (blank < 0) return null
  const disposition = dispositionOf(body.toString("utf8", start, start + blank))
  const name = disposition?.get("name")
  // `name*` is the same in another spelling, and a backslash in a name is an escape to some.
  if (disposition === null || name === undefined || name.includes("\\") || disposition.has("name*")) return null
  const valueStart = start + blank + BLANK_LINE.length
  const filename = disposition.get("filename") ?? disposition.get("filename*")
  if (filename !== undefined) return { name, filename, start: valueStart, end }
  return { name, value: body.toString("utf8", valueStart, end), valueStart, valueEnd: end }
}

/** The parameters of the part's only `Content-Disposition: form-data`. */
function dispositionOf(headers: string): Map<string, string> | null {
  let disposition: Map<string, string> | null = null
  for (const line of headers.split("\r\n")) {
    const [, name = "", value = ""] = HEADER.exec(line) ?? []
    if (name === "" || CONTROL.test(line)) return null
    const header = name.toLowerCase()
    if (header === "content-transfer-encoding" && !PLAIN_ENCODING.test(value.trim())) return null
    if (header !== "content-disposition") continue
    const type = /^form-data(?=[ \t]*(?:;|$))/i.exec(value)?.[0]
    if (disposition !== null || type === undefined) return null
    disposition = parametersOf(value, type.length)
    if (disposition === null) return null
  }
  return disposition
}

function isLineStart(body: Buffer, at: number): boolean {
  return at === 0 || (body[at - 2] === CR && body[at - 1] === LF)
}

function isLineEnd(body: Buffer, at: number): boolean {
  return at === body.length || nextLine(body, at) >= 0
}

/** The offset after the line break at `from`, which blanks may precede; -1 where there is something else. */
function nextLine(body: Buffer, from: number): number {
  let at = from
  while (body[at] === SPACE || body[at] === TAB) at++
  return body[at] === CR && body[at + 1] === LF ? at + 2 : -1
}
