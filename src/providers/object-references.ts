/**
 * Which provider objects a request refers to, so that nobody names another's. The bytes are scanned and not parsed:
 * where a member stands twice each of the two counts, and so does what stands in JSON that only a lenient provider
 * reads. A typical request refers to none, and a search for the members' names says so without the scan.
 *
 * What a caller words freely is passed over, or a tool of its own with a `file_id` would be taken for a provider's: the
 * metadata, the schemas of tools, and what tools were called with and answered.
 */
const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const COLON = 0x3a

const REFERENCES_MAX = 1_000

/** Members whose text, or array of texts, is an id. */
const ID_NAMES = [
  ...["file_id", "file_ids", "input_file_id", "training_file", "validation_file"],
  ...["previous_response_id", "response_id", "batch_id", "upload_id", "container_id"],
  ...["vector_store_id", "vector_store_ids", "cachedContent", "cached_content", "previous_interaction_id"],
]
/** Members that are an id, or an object with one. */
const HOLDER_NAMES = ["conversation", "container", "input_reference"]
/** Members that may be an object with an id; as a text they are the data itself. */
const OUTER_NAMES = ["video"]
/** Members of Google's that may name a file of its own, or anything else on the internet. */
const URI_NAMES = ["fileUri", "file_uri", "fileName", "file_name", "uri"]

const ids = new Set(ID_NAMES)
const holders = new Set(HOLDER_NAMES)
const outers = new Set([...HOLDER_NAMES, ...OUTER_NAMES])
const uris = new Set(URI_NAMES)
const NAME_LENGTH_MAX = 32
/** The caller's own words wherever they stand. */
const OPAQUE_NAMES = new Set(["metadata", "attributes", "input_schema", "parameters", "schema"])
/** The caller's own words where they stand in these. */
const OPAQUE_PLACES = new Set([
  ...["functionCall.args", "function_call.args"],
  ...["functionResponse.response", "function_response.response"],
])

/**
 * Names in quotes, or a name that may be written in escapes: all letters and the underscore lie between U+0040 and
 * U+007F.
 */
const SUSPECT = new RegExp(
  `"(?:${[...ID_NAMES, ...HOLDER_NAMES, ...OUTER_NAMES, ...URI_NAMES].join("|")})"|\\\\u00[4-7]`,
)

/** The ids, each once; or that there are more than a request may have. */
export type References = readonly string[] | "too many"

const NONE: References = []

/** The ids of provider objects that a JSON body refers to, at most 1,000. Never throws; what is no object or array has none. */
export function referencedObjects(body: Buffer): References {
  if (!SUSPECT.test(body.toString("latin1"))) return NONE
  const start = skipSpace(body, body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0)
  if (body[start] !== OPEN_BRACE && body[start] !== OPEN_BRACKET) return NONE
  const found = new Set<string>()
  scan(body, start, "", found)
  return referencesOf(found)
}

/** The same of a form's fields, whose names may be nested: `file_ids[]`, `mask[file_id]`. */
export function referencedInFields(fields: readonly { readonly name: string; readonly value: string }[]): References {
  const found = new Set<string>()
  for (const { name, value } of fields) {
    const path = name.split(/[[\].]+/).filter((part) => part !== "" && !/^\d+$/.test(part))
    if (path.some((part) => OPAQUE_NAMES.has(part))) continue
    const last = path.at(-1) ?? ""
    const isJson = /^\s*[[{]/.test(value)
    // A field of any other name is text, even where it looks like JSON: a prompt, say.
    if (isJson && (ids.has(last) || outers.has(last) || last === "mask" || last === "image")) {
      const bytes = Buffer.from(value)
      scan(bytes, skipSpace(bytes, 0), last, found)
    } else addReference(found, last, path.at(-2) ?? "", value)
  }
  return referencesOf(found)
}

function referencesOf(found: ReadonlySet<string>): References {
  return found.size > REFERENCES_MAX ? "too many" : [...found]
}

/** An object or array that the scan stands in. */
type Place = {
  /** The member whose value it is; for an array within an array that of the outer one. */
  readonly holder: string
  readonly isArray: boolean
  /** What is in here is the caller's own. */
  readonly isOpaque: boolean
}

const OUTSIDE: Place = { holder: "", isArray: true, isOpaque: false }

/** Adds the ids that the value beginning at `from`, held by the member `holder`, refers to. */
function scan(bytes: Buffer, from: number, holder: string, found: Set<string>): void {
  const places: Place[] = []
  let place: Place = { ...OUTSIDE, holder }
  /** The member whose value comes next. */
  let name = holder
  let at = from
  while (at < bytes.length && found.size <= REFERENCES_MAX) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      const end = stringEnd(bytes, at)
      const colon = place.isArray ? end : skipSpace(bytes, end)
      if (place.isOpaque) at = end
      else if (!place.isArray && bytes[colon] === COLON) {
        name = nameAt(bytes, at, end)
        at = colon + 1
      } else {
        if (isReference(name, place)) addReference(found, name, place.holder, textAt(bytes, at, end))
        at = end
      }
      continue
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      const isOpaque = place.isOpaque || isCallersOwn(name, place, places.length, byte)
      places.push(place)
      place = { holder: name, isArray: byte === OPEN_BRACKET, isOpaque }
      if (byte === OPEN_BRACE) name = ""
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      place = places.pop() ?? OUTSIDE
      name = place.isArray ? place.holder : ""
    }
    at++
  }
}

/** True where a text of this member can be an id. */
function isReference(name: string, place: Place): boolean {
  return ids.has(name) || holders.has(name) || uris.has(name) || (name === "id" && outers.has(place.holder))
}

function isCallersOwn(name: string, place: Place, depth: number, opening: number): boolean {
  if (OPAQUE_NAMES.has(name) || OPAQUE_PLACES.has(`${place.holder}.${name}`)) return true
  // A tool's input is an object deep within the request; that of the request itself is what the model is asked.
  return name === "input" && opening === OPEN_BRACE && !place.isArray && depth > 1
}

function addReference(found: Set<string>, name: string, holder: string, text: string): void {
  const id = idIn(name, holder, text)
  if (id !== "") found.add(id)
}

/** The id that this text is; '' where it is none. */
function idIn(name: string, holder: string, text: string): string {
  if (uris.has(name)) return googleFile(name, text)
  if (ids.has(name)) return text
  if (name === "id") return outers.has(holder) ? text : ""
  // A reference may also be an address, or the data itself.
  return holders.has(name) && !/^\w+:/.test(text) ? text : ""
}

/**
 * `files/xyz` where the text names a file of Google's Files API, by its address or its name; '' for all other addresses.
 * An address at that API which cannot be read comes back as it is, so that it is found to be nobody's.
 */
function googleFile(name: string, text: string): string {
  const uri = decoded(text.trim())
  const host = /^(?:https?:)?\/\/([^/?#]*)/i.exec(uri)?.[1]
  if (host !== undefined && !/(^|[.@])generativelanguage\./i.test(host)) return ""
  // `uri` alone is anybody's word: only an address says that Google is meant.
  if (host === undefined && name === "uri") return ""
  const path = host === undefined ? /^\/*(?:v\d\w*\/+)?files\/+([^/?#:\s]+)/i : /\/files\/+([^/?#:\s]+)/i
  const file = path.exec(uri)?.[1]
  if (file !== undefined) return `files/${file}`
  return host === undefined ? "" : text
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The name between these quotes; '' for one that is longer than all that are looked for. */
function nameAt(bytes: Buffer, start: number, end: number): string {
  // In escapes a letter takes six bytes.
  return end - start - 2 > NAME_LENGTH_MAX * 6 ? "" : textAt(bytes, start, end)
}

function textAt(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString("utf8", start + 1, end - 1)
  if (!text.includes("\\")) return text
  try {
    return String(JSON.parse(`"${text}"`))
  } catch {
    return text
  }
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from
  while (bytes[at] === 0x20 || bytes[at] === 0x09 || bytes[at] === 0x0a || bytes[at] === 0x0d) at++
  return at
}

/** The offset after the closing quote of the string that begins at `from`. */
function stringEnd(bytes: Buffer, from: number): number {
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
