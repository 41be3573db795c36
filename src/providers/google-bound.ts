/**
 * What Google's calls can use at most. (Gemini API reference, `models.generateContent`; guides "Media resolution" and
 * "Thinking": thoughts count under `maxOutputTokens`.) Nothing in a part says of what kind it is but the name of its
 * member, so every body is parsed, without the data of its media.
 */
import type { TokenClass } from "../pricing/price-row.ts"
import { parsedWithoutBulk, textBytes } from "./body-signs.ts"
import { asArray, asObject, asText } from "./json-values.ts"
import { googleImageTokensMax, outputTokensMaxOf, unboundedModel } from "./model-bounds.ts"
import {
  addImage,
  addUnknownMedia,
  type BoundQuestion,
  boundedInput,
  boundOf,
  type Findings,
  newFindings,
  type RequestBound,
  TEXT_OUTPUT,
  unboundedBy,
  unboundedFor,
} from "./request-bound.ts"

/** Members of a request that bring nothing in but their own text. Protobuf's JSON takes each in two spellings. */
const PLAIN_MEMBERS = spellings(
  "contents",
  "systemInstruction",
  "tools",
  "toolConfig",
  "safetySettings",
  "generationConfig",
  "labels",
  "modelArmorConfig",
)
const CACHED = spellings("cachedContent")
/** What a part may be made of that is text, or says how to read it. */
const PLAIN_PARTS = spellings(
  ...[
    "text",
    "thought",
    "thoughtSignature",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
  ],
  ...["videoMetadata", "mediaResolution", "partMetadata"],
)
const INLINE = spellings("inlineData")
const FILE = spellings("fileData")
const FUNCTIONS = spellings("functionDeclarations")
/** Models that answer with pictures or sound, whether or not they are asked to. */
const MEDIA_MODEL = /image|tts|audio|live|omni|music|lyria|veo/

const INPUT: readonly TokenClass[] = ["input", "cache_read"]
const INPUT_WITH_MEDIA: readonly TokenClass[] = [...INPUT, "input_image", "input_audio"]
/** What is added to the functions that a request declares. */
const TOOLS_TOKENS = 256

export function boundGenerate(question: BoundQuestion): RequestBound {
  const { body, facts, model } = question
  const findings = newFindings()
  findings.reason = unboundedModel(model)
  const request = asObject(parsedWithoutBulk(body))
  if (request === null) unboundedBy(findings, "unknown_content")
  else readRequest(request, model, findings)
  if (MEDIA_MODEL.test(model)) unboundedBy(findings, "generated_media")
  const choices = facts.choices ?? 1
  return boundOf(findings, {
    textBytes: body.length,
    outputTokens: facts.outputTokensMax ?? outputTokensMaxOf(model) * choices,
    asksForOutput: facts.outputTokensMax === null,
    outputTokensMin: choices,
    inputClasses: findings.hasImages || findings.hasAudio ? INPUT_WITH_MEDIA : INPUT,
    outputClasses: TEXT_OUTPUT,
    mayBePriority: facts.tier !== "standard" && facts.tier !== "flex",
  })
}

/** Embeddings: texts, or media of models that take it. */
export function boundEmbedding({ body, model }: BoundQuestion): RequestBound {
  const findings = newFindings()
  const request = asObject(parsedWithoutBulk(body))
  for (const one of request === null ? [] : [request, ...asArray(request.requests).map(asObject)]) {
    readContent(one?.content, model, findings)
  }
  if (request === null) unboundedBy(findings, "unknown_content")
  const bounded = boundedInput(Math.max(0, body.length - findings.mediaBytes) + findings.extraTokens)
  return findings.reason === null ? bounded : unboundedFor(findings.reason, bounded)
}

function readRequest(request: Record<string, unknown>, model: string, findings: Findings): void {
  for (const [name, value] of Object.entries(request)) {
    if (value === null) continue
    if (CACHED.has(name)) unboundedBy(findings, "cached_context")
    else if (typeof value === "object" && !PLAIN_MEMBERS.has(name)) unboundedBy(findings, "unknown_member")
  }
  const contents = request.contents
  for (const content of Array.isArray(contents) ? contents : [contents]) readContent(content, model, findings)
  readContent(request.systemInstruction ?? request.system_instruction, model, findings)
  const tools = asArray(request.tools)
  if (tools.length > 0) findings.extraTokens += TOOLS_TOKENS
  for (const tool of tools) {
    if (Object.keys(asObject(tool) ?? {}).some((name) => !FUNCTIONS.has(name))) unboundedBy(findings, "server_tool")
  }
  const config = asObject(request.generationConfig ?? request.generation_config)
  const modalities = asArray(config?.responseModalities ?? config?.response_modalities)
  if (modalities.some((modality) => asText(modality).toUpperCase() !== "TEXT")) unboundedBy(findings, "generated_media")
}

function readContent(value: unknown, model: string, findings: Findings): void {
  if (value === undefined || value === null) return
  const parts = asObject(value)?.parts
  for (const part of Array.isArray(parts) ? parts : [parts]) readPart(asObject(part), model, findings)
}

function readPart(part: Record<string, unknown> | null, model: string, findings: Findings): void {
  if (part === null) {
    unboundedBy(findings, "unknown_content")
    return
  }
  for (const [name, value] of Object.entries(part)) {
    if (value === null) continue
    if (INLINE.has(name)) readData(asObject(value), model, findings)
    else if (FILE.has(name)) readFile(asObject(value), findings)
    else if (!PLAIN_PARTS.has(name)) unboundedBy(findings, "unknown_content")
    // What a function answered may have media of its own.
    else if (name.startsWith("function"))
      for (const own of asArray(asObject(value)?.parts)) readPart(asObject(own), model, findings)
  }
}

function readData(data: Record<string, unknown> | null, model: string, findings: Findings): void {
  const type = asText(data?.mimeType ?? data?.mime_type)
  const bytes = textBytes(data?.data)
  if (type.startsWith("image/")) {
    addImage(findings, googleImageTokensMax(model), bytes)
    return
  }
  if (type.startsWith("audio/")) findings.hasAudio = true
  addUnknownMedia(findings, /^(?:audio|video)\//.test(type) ? "audio" : "document", bytes)
}

function readFile(file: Record<string, unknown> | null, findings: Findings): void {
  const uri = asText(file?.fileUri ?? file?.file_uri)
  const isOwn = /^(?:https?:\/\/generativelanguage\.|files\/|gs:)/i.test(uri)
  addUnknownMedia(findings, isOwn ? "file_content" : "remote_content", 0)
}

/** Each name as JSON writes it, and as protobuf does. */
function spellings(...names: string[]): ReadonlySet<string> {
  return new Set(names.flatMap((name) => [name, name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)]))
}
