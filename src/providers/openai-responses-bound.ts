/** What a response can use at most. (OpenAI API reference, Responses.) */
import { isPlainText, parsedWithoutBulk, signOfMore, textBytes } from "./body-signs.ts"
import { outline } from "./json-members.ts"
import { asArray, asObject, asText, count, parsedObject } from "./json-values.ts"
import { isOpenAiModel, openAiImageTokensMax, outputTokensMaxOf, unboundedModel } from "./model-bounds.ts"
import { openAiInputClasses, readImageUrl, TEMPLATE_TOKENS, TOOLS_TOKENS } from "./openai-chat-bound.ts"
import {
  addFee,
  addImage,
  addUnknownMedia,
  type BoundQuestion,
  boundOf,
  type Findings,
  type KnownMembers,
  newFindings,
  type RequestBound,
  readMembers,
  TEXT_OUTPUT,
  unboundedBy,
} from "./request-bound.ts"

/** Kinds that are text, or the caller's own to carry out. */
const MORE = signOfMore([
  ...["message", "input_text", "output_text", "refusal", "text", "summary_text", "reasoning_text", "json_object"],
  ...["function", "custom", "grammar", "allowed_tools", "function_call", "function_call_output"],
  ...["custom_tool_call", "custom_tool_call_output", "local_shell", "local_shell_call", "local_shell_call_output"],
  ...["exec", "apply_patch", "apply_patch_call", "apply_patch_call_output"],
])
/** Items that are their own text; what a provider has encrypted is longer than what it hides. */
const TEXT_ITEMS: ReadonlySet<unknown> = new Set([
  ...["function_call", "custom_tool_call", "local_shell_call", "local_shell_call_output", "apply_patch_call"],
  ...["apply_patch_call_output", "compaction"],
])
const OWN_TOOLS: ReadonlySet<unknown> = new Set(["function", "custom", "local_shell", "apply_patch"])
const MEMBERS: KnownMembers = {
  plain: new Set([
    ...[
      "input",
      "tools",
      "tool_choice",
      "text",
      "reasoning",
      "include",
      "metadata",
      "stream_options",
      "client_metadata",
    ],
    "prompt_cache_options",
  ]),
  telling: new Map([
    ["previous_response_id", "server_context"],
    ["conversation", "server_context"],
    ["prompt", "server_context"],
    ["context_management", "server_tool"],
  ]),
}

/** The API takes no less. */
const OUTPUT_TOKENS_MIN = 16

export function boundResponse(question: BoundQuestion): RequestBound {
  const { body, facts, model } = question
  const request = question.outline ?? parsedObject(outline(body)) ?? {}
  const findings = newFindings()
  findings.reason = unboundedModel(model)
  // Answered before it is worked on: what is held is given back long before the usage comes.
  if (request.background === true) unboundedBy(findings, "later_usage")
  readMembers(request, MEMBERS, findings)
  if (!isPlainText(MORE, body)) readContents(body, model, findings)
  if (!isOpenAiModel(model)) findings.extraTokens += TEMPLATE_TOKENS
  if (request.tools !== undefined) findings.extraTokens += TOOLS_TOKENS
  return boundOf(findings, {
    textBytes: body.length,
    outputTokens: facts.outputTokensMax ?? outputTokensMaxOf(model),
    asksForOutput: facts.outputTokensMax === null,
    outputTokensMin: OUTPUT_TOKENS_MIN,
    inputClasses: openAiInputClasses(findings),
    outputClasses: TEXT_OUTPUT,
    mayBePriority: facts.tier !== "default" && facts.tier !== "flex",
  })
}

/** Compacting writes as much as it likes. */
export function boundCompaction(question: BoundQuestion): RequestBound {
  const { most } = boundResponse(question)
  return { kind: "unbounded", reason: "open_output", most: { ...most, asksForOutput: false, outputTokensMin: null } }
}

function readContents(body: Buffer, model: string, findings: Findings): void {
  const request = asObject(parsedWithoutBulk(body))
  if (request === null) {
    unboundedBy(findings, "unknown_content")
    return
  }
  for (const item of asArray(request.input)) readItem(asObject(item) ?? {}, model, findings)
  for (const tool of asArray(request.tools)) {
    const type = asText(asObject(tool)?.type)
    if (OWN_TOOLS.has(type)) continue
    unboundedBy(findings, "server_tool")
    if (type.startsWith("web_search")) addFee(findings, "web_search", count(request.max_tool_calls))
    if (type === "file_search") addFee(findings, "file_search", count(request.max_tool_calls))
  }
}

function readItem(item: Record<string, unknown>, model: string, findings: Findings): void {
  const type = item.type ?? (item.role === undefined ? undefined : "message")
  if (TEXT_ITEMS.has(type)) return
  switch (type) {
    case "message":
      readParts(item.content, model, findings)
      return
    case "function_call_output":
    case "custom_tool_call_output":
      readParts(item.output, model, findings)
      return
    case "computer_call":
      unboundedBy(findings, "server_tool")
      return
    case "computer_call_output":
      readParts([item.output], model, findings)
      return
    case "reasoning":
      // Only its id: the provider has the rest.
      if (asText(item.encrypted_content) === "") unboundedBy(findings, "server_context")
      return
    case "item_reference":
      unboundedBy(findings, "server_context")
      return
    default:
      // Calls of the provider's own tools, with what they brought in.
      unboundedBy(findings, /_call$|^mcp_/.test(asText(type)) ? "server_tool" : "unknown_content")
  }
}

function readParts(content: unknown, model: string, findings: Findings): void {
  if (Array.isArray(content)) for (const part of content) readPart(asObject(part) ?? {}, model, findings)
  else if (typeof content !== "string" && content !== null && content !== undefined) {
    unboundedBy(findings, "unknown_content")
  }
}

function readPart(part: Record<string, unknown>, model: string, findings: Findings): void {
  switch (part.type) {
    case "input_text":
    case "output_text":
    case "text":
    case "refusal":
    case "summary_text":
      return
    case "input_image":
    case "computer_screenshot":
      if (asText(part.image_url) !== "") {
        readImageUrl(part.image_url, model, findings)
        return
      }
      if (openAiImageTokensMax(model) === null) unboundedBy(findings, "file_content")
      addImage(findings, openAiImageTokensMax(model), 0)
      return
    case "input_audio":
      findings.hasAudio = true
      addUnknownMedia(findings, "audio", textBytes(asObject(part.input_audio)?.data))
      return
    case "input_file": {
      const data = textBytes(part.file_data)
      const elsewhere = asText(part.file_url) === "" ? "file_content" : "remote_content"
      addUnknownMedia(findings, data > 0 ? "document" : elsewhere, data)
      return
    }
    default:
      unboundedBy(findings, "unknown_content")
  }
}
