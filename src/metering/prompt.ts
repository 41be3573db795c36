/**
 * What a request's body holds that a model reads as its prompt: texts, tools, pictures, sounds and documents. One walk
 * serves every API, since they differ in what their members are called and hardly in what these hold: a text is a
 * string, media are base64 or a URL beside a word that says their kind. What is no prompt (sampling, ids, formats) is
 * not read. A body that has none of the known members counts as its own text.
 */

export type MediaKind = "image" | "audio" | "video" | "document"

export type Medium = {
  readonly kind: MediaKind
  /** Null where the body names a place to fetch it from. */
  readonly base64: string | null
  readonly isLowDetail: boolean
}

export type Prompt = {
  readonly texts: string[]
  readonly media: Medium[]
  readonly tools: unknown[]
  /** Messages that have a role. */
  messages: number
  names: number
  toolCalls: number
  hasSystem: boolean
  /** Prompts that came as token ids are counted already. */
  tokenIds: number
}

/** Where a prompt stands in a body, over all APIs. */
const ROOTS = [
  ...["system", "instructions", "systemInstruction", "system_instruction", "preamble", "messages", "chat_history"],
  ...[
    "message",
    "input",
    "inputText",
    "contents",
    "content",
    "prompt",
    "suffix",
    "query",
    "documents",
    "texts",
    "text",
  ],
]
const TOOLS = ["tools", "functions", "toolConfig"]
/** Members of a message that no model reads. */
const UNREAD = new Set([
  ...[
    "role",
    "type",
    "id",
    "call_id",
    "tool_call_id",
    "tool_use_id",
    "toolUseId",
    "cache_control",
    "cachePoint",
    "status",
  ],
  ...["signature", "thoughtSignature", "encrypted_content", "detail", "format", "filename", "index", "image_detail"],
  ...["mimeType", "mime_type", "media_type", "media_resolution", "displayName", "annotations", "logprobs", "phase"],
])
/** Members whose value is handed to a tool or comes from one: their JSON is what is read. */
const STRUCTURED = new Set(["arguments", "args", "input", "response", "json", "parameters"])
const PLACES = new Set([
  "url",
  "uri",
  "image_url",
  "audio_url",
  "video_url",
  "file_url",
  "fileUri",
  "file_uri",
  "file_id",
])
const BINARY = new Set(["data", "bytes", "file_data", "images"])
const DATA_URL = /^data:([^,;]*)[^,]{0,256};base64,/
/** Long enough to tell base64 from a word. */
const BASE64_HEAD = /^[A-Za-z0-9+/_-]{64}/
const NESTING_MAX = 256

export function readPrompt(body: unknown): Prompt {
  const prompt: Prompt = {
    ...{ texts: [], media: [], tools: [], messages: 0, names: 0, toolCalls: 0, hasSystem: false, tokenIds: 0 },
  }
  const roots = isObject(body) ? ROOTS.filter((name) => isRoot(name, body[name])) : []
  if (!isObject(body) || roots.length === 0) {
    if (body !== null && body !== undefined) prompt.texts.push(typeof body === "string" ? body : JSON.stringify(body))
    return prompt
  }
  prompt.hasSystem = roots.some((name) => name.startsWith("system"))
  for (const name of roots) walk(body[name], { name, kind: null, isLowDetail: false, depth: 0 }, prompt)
  for (const name of TOOLS) prompt.tools.push(...toolsIn(body[name]))
  return prompt
}

/** In the Responses API `text` is how to write, and only elsewhere what was written. */
function isRoot(name: string, value: unknown): boolean {
  return name === "text" ? typeof value === "string" : value !== undefined && value !== null
}

type Place = {
  /** The member that holds the value. */
  readonly name: string
  readonly kind: MediaKind | "text" | null
  readonly isLowDetail: boolean
  readonly depth: number
}

function walk(value: unknown, place: Place, prompt: Prompt): void {
  if (place.depth > NESTING_MAX) return
  if (typeof value === "string") addText(value, place, prompt)
  else if (typeof value === "number" && (place.name === "prompt" || place.name === "input")) prompt.tokenIds++
  else if (Array.isArray(value)) for (const item of value) walk(item, { ...place, depth: place.depth + 1 }, prompt)
  else if (isObject(value)) walkMembers(value, place, prompt)
}

function walkMembers(value: Record<string, unknown>, place: Place, prompt: Prompt): void {
  if (typeof value.role === "string") {
    prompt.messages++
    if (value.role === "system" || value.role === "developer") prompt.hasSystem = true
    if (typeof value.name === "string") prompt.names++
  }
  const kind = kindOf(value) ?? place.kind
  const isLowDetail = place.isLowDetail || value.detail === "low"
  for (const [name, member] of Object.entries(value)) {
    if (UNREAD.has(name) || member === null) continue
    if (name === "arguments" || name === "args" || (name === "input" && value.name !== undefined)) prompt.toolCalls++
    if (STRUCTURED.has(name) && isObject(member)) addText(jsonOf(member), place, prompt)
    else walk(member, { name, kind: kind ?? kindNamed(name), isLowDetail, depth: place.depth + 1 }, prompt)
  }
}

function addText(text: string, { name, kind, isLowDetail }: Place, prompt: Prompt): void {
  const dataUrl = text.startsWith("data:") ? DATA_URL.exec(text.slice(0, 512)) : null
  if (dataUrl !== null) {
    const base64 = text.slice(dataUrl[0].length)
    prompt.media.push({ kind: kindNamed(dataUrl[1] ?? "") ?? mediaKind(kind), base64, isLowDetail })
  } else if (BINARY.has(name) && kind !== "text" && BASE64_HEAD.test(text)) {
    prompt.media.push({ kind: mediaKind(kind), base64: text, isLowDetail })
  } else if (PLACES.has(name)) prompt.media.push({ kind: mediaKind(kind), base64: null, isLowDetail })
  else prompt.texts.push(text)
}

/** A type or a content type beside a medium says what it is. */
function kindOf(value: Record<string, unknown>): MediaKind | "text" | null {
  for (const name of ["mimeType", "mime_type", "media_type", "type"]) {
    const said = value[name]
    if (typeof said !== "string") continue
    if (said.startsWith("text/")) return "text"
    const kind = kindNamed(said)
    if (kind !== null) return kind
  }
  return null
}

function kindNamed(name: string): MediaKind | null {
  if (name.includes("image")) return "image"
  if (name.includes("audio")) return "audio"
  if (name.includes("video")) return "video"
  return /^(?:application\/|document$|(?:input_)?file$|file_)/.test(name) ? "document" : null
}

/** What nobody names is most likely a document. */
function mediaKind(kind: Place["kind"]): MediaKind {
  return kind === null || kind === "text" ? "document" : kind
}

/** A list of tools, Google's with its lists of declarations inside, or Bedrock's with a list in a member. */
function toolsIn(value: unknown): unknown[] {
  if (isObject(value)) return toolsIn(value.tools)
  if (!Array.isArray(value)) return []
  return value.flatMap((tool: unknown) => {
    const declared = isObject(tool) ? (tool.functionDeclarations ?? tool.function_declarations) : null
    return Array.isArray(declared) ? declared : [tool]
  })
}

function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value)
  } catch {
    // Nested deeper than the stack: JSON.parse reads such a thing, JSON.stringify does not write it.
    return ""
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
