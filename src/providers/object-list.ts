/**
 * A provider's list of objects, shown to a caller with its own ones only: what is kept stays as the provider wrote it,
 * byte for byte. Lists are OpenAI's and Anthropic's (`data`, `first_id`, `last_id`) or Google's (`files`, `cachedContents`).
 */
import { jsonMembers } from "./json-members.ts"
import { asArray, asObject, asText, parsedObject } from "./json-values.ts"

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const COMMA = 0x2c

export type FilteredList = {
  readonly body: Buffer
  /** How many items are left. */
  readonly shown: number
  /**
   * For asking the provider for its next page: the id of its last item, own or not, or Google's page token. Null where
   * it gave none. Not for the caller, who is shown its own last id.
   */
  readonly lastId: string | null
  readonly hasMore: boolean
}

type ListShape = {
  /** The member that holds the items. */
  readonly items: "data" | "files" | "cachedContents"
  /** The member of an item that names it. */
  readonly id: "id" | "name"
}

type Edit = { readonly start: number; readonly end: number; readonly text: Buffer }

/** The list without the items that are not the caller's; null where the body is no list of objects. Never throws. */
export function filterList(body: Buffer, isOwn: (id: string) => boolean): FilteredList | null {
  const list = parsedObject(body.toString("utf8"))
  const shape = shapeOf(list)
  if (list === null || shape === null) return null
  const all = idsOf(list, shape)
  const own = all.filter((id) => id !== "" && isOwn(id))
  const more = moreOf(list, shape, all)
  if (own.length === all.length) return { body, shown: own.length, ...more }
  const kept = new Set(own)
  const edits: Edit[] = []
  for (const { name, valueStart: start, valueEnd: end } of jsonMembers(body)) {
    if (name === shape.items) edits.push({ start, end, text: keptItems(body, start, end, shape, kept) })
    if (shape.id === "name") continue
    if (name === "first_id") edits.push({ start, end, text: jsonOf(own[0]) })
    if (name === "last_id") edits.push({ start, end, text: jsonOf(own.at(-1)) })
  }
  return { body: edited(body, edits), shown: own.length, ...more }
}

/** The ids of the items of a list, in order; none where the body is no list of objects. Never throws. */
export function idsInList(body: Buffer): string[] {
  const list = parsedObject(body.toString("utf8"))
  const shape = shapeOf(list)
  return list === null || shape === null ? [] : idsOf(list, shape).filter((id) => id !== "")
}

function shapeOf(list: Record<string, unknown> | null): ListShape | null {
  if (list === null) return null
  if (Array.isArray(list.data)) {
    return list.object === undefined || list.object === "list" ? { items: "data", id: "id" } : null
  }
  if (Array.isArray(list.files)) return { items: "files", id: "name" }
  if (Array.isArray(list.cachedContents)) return { items: "cachedContents", id: "name" }
  return null
}

/** '' for an item without an id: it is nobody's. */
function idsOf(list: Record<string, unknown>, shape: ListShape): string[] {
  return asArray(list[shape.items]).map((item) => asText(asObject(item)?.[shape.id]))
}

function moreOf(list: Record<string, unknown>, shape: ListShape, ids: readonly string[]) {
  if (shape.id === "id") return { lastId: ids.at(-1) || asText(list.last_id) || null, hasMore: list.has_more === true }
  const token = asText(list.nextPageToken)
  return { lastId: token || null, hasMore: token !== "" }
}

/** The array that stands at `[start, end)`, with those of its items that have one of the ids. */
function keptItems(body: Buffer, start: number, end: number, shape: ListShape, kept: ReadonlySet<string>): Buffer {
  const parts: Buffer[] = []
  for (const item of itemsOf(body, start, end)) {
    const id = asText(parsedObject(item.toString("utf8"))?.[shape.id])
    if (kept.has(id)) parts.push(Buffer.from(parts.length === 0 ? "" : ","), item)
  }
  return Buffer.concat([Buffer.from("["), ...parts, Buffer.from("]")])
}

/** The bytes of each item, with the white space around it. The text is valid: it has been parsed. */
function itemsOf(body: Buffer, start: number, end: number): Buffer[] {
  // Where the member stands twice, the one that was not parsed may be anything; it is left empty.
  if (body[start] !== OPEN_BRACKET) return []
  const items: Buffer[] = []
  let depth = 0
  let from = start + 1
  for (let at = start; at < end; at++) {
    const byte = body[at]
    if (byte === QUOTE) at = closingQuote(body, at)
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth--
    if ((byte === COMMA && depth === 1) || (byte === CLOSE_BRACKET && depth === 0)) {
      items.push(body.subarray(from, at))
      from = at + 1
    }
  }
  return items
}

function closingQuote(body: Buffer, from: number): number {
  for (let at = from + 1; at < body.length; at++) {
    if (body[at] === BACKSLASH) at++
    else if (body[at] === QUOTE) return at
  }
  return body.length
}

function edited(body: Buffer, edits: readonly Edit[]): Buffer {
  const parts: Buffer[] = []
  let from = 0
  for (const { start, end, text } of edits) {
    parts.push(body.subarray(from, start), text)
    from = end
  }
  return Buffer.concat([...parts, body.subarray(from)])
}

function jsonOf(id: string | undefined): Buffer {
  return Buffer.from(JSON.stringify(id ?? null))
}
