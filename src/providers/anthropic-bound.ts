/**
 * What a message can use at most. (Anthropic API reference, Messages; guides "Vision", "Prompt caching", and "Tool use",
 * whose table of system prompts for tools tells what they add.)
 *
 * The tokenizer that Anthropic has published normalizes text before it counts, so that some characters become several.
 */
import type { TokenClass } from "../pricing/price-row.ts"
import { isPlainText, normalizedBytes, parsedWithoutBulk, signOfMore, textBytes } from "./body-signs.ts"
import { outline } from "./json-members.ts"
import { asArray, asObject, asText, count, parsedObject } from "./json-values.ts"
import { anthropicImageTokensMax, outputTokensMaxOf, unboundedModel } from "./model-bounds.ts"
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
  ...["text", "thinking", "redacted_thinking", "tool_use", "tool_result", "compaction", "custom"],
  ...["auto", "any", "tool", "none", "enabled", "disabled", "adaptive", "ephemeral"],
])
/** What a provider has encrypted (a signature, redacted thinking) is longer than what it hides. */
const TEXT_BLOCKS: ReadonlySet<unknown> = new Set(["text", "thinking", "redacted_thinking", "tool_use", "compaction"])
/** Tools that Anthropic defines and the caller carries out. */
const OWN_TOOL = /^(?:custom|(?:bash|text_editor|computer|memory)_\d+)$/
const MEMBERS: KnownMembers = {
  plain: new Set([
    ...["messages", "system", "tools", "tool_choice", "metadata", "stop_sequences", "thinking", "cache_control"],
    ...["output_config", "output_format", "betas"],
  ]),
  telling: new Map([
    ["container", "server_context"],
    ["mcp_servers", "server_tool"],
    ["context_management", "server_tool"],
    ["fallbacks", "routed_model"],
  ]),
}

const UNCACHED: readonly TokenClass[] = ["input"]
const CACHED: readonly TokenClass[] = ["input", "cache_read", "cache_write_5m"]
const CACHED_LONG: readonly TokenClass[] = [...CACHED, "cache_write_1h"]
const IMAGE: TokenClass = "input_image"
const CACHE_MARK = Buffer.from("cache_control")
const ESCAPE = Buffer.from("\\u00")

/** The system prompt that comes with tools: up to 804 tokens. */
const TOOLS_TOKENS = 1_024
/** A tool of Anthropic's own definition: up to some 1,300 tokens. */
const DEFINED_TOOL_TOKENS = 2_048

export function boundMessage(question: BoundQuestion): RequestBound {
  const { body, facts, model } = question
  const request = question.outline ?? parsedObject(outline(body)) ?? {}
  const findings = newFindings()
  findings.reason = unboundedModel(model)
  readMembers(request, MEMBERS, findings)
  if (!isPlainText(MORE, body)) readContents(body, model, findings)
  if (request.tools !== undefined) findings.extraTokens += TOOLS_TOKENS
  const inputClasses = cacheClasses(body)
  return boundOf(findings, {
    textBytes: normalizedBytes(body),
    outputTokens: facts.outputTokensMax ?? outputTokensMaxOf(model),
    asksForOutput: facts.outputTokensMax === null,
    // Thinking that is promised so much must fit in.
    outputTokensMin: Math.max(1, (count(asObject(request.thinking)?.budget_tokens) ?? 0) + 1),
    inputClasses: findings.hasImages ? [...inputClasses, IMAGE] : inputClasses,
    outputClasses: TEXT_OUTPUT,
    mayBePriority: facts.tier !== "standard_only" || request.speed !== undefined,
  })
}

/** Nothing is written to a cache, or read from one, that the request does not mark; and for an hour only where it says so. */
function cacheClasses(body: Buffer): readonly TokenClass[] {
  if (body.indexOf(CACHE_MARK) < 0 && body.indexOf(ESCAPE) < 0) return UNCACHED
  return body.indexOf('"ttl"') < 0 && body.indexOf(ESCAPE) < 0 ? CACHED : CACHED_LONG
}

function readContents(body: Buffer, model: string, findings: Findings): void {
  const request = asObject(parsedWithoutBulk(body))
  if (request === null) {
    unboundedBy(findings, "unknown_content")
    return
  }
  for (const message of asArray(request.messages)) readBlocks(asObject(message)?.content, model, findings)
  readBlocks(request.system, model, findings)
  for (const tool of asArray(request.tools).map(asObject)) readTool(tool, findings)
}

function readTool(tool: Record<string, unknown> | null, findings: Findings): void {
  const type = asText(tool?.type) || "custom"
  if (type !== "custom") findings.extraTokens += DEFINED_TOOL_TOKENS
  if (OWN_TOOL.test(type)) return
  unboundedBy(findings, "server_tool")
  if (type.startsWith("web_search")) addFee(findings, "web_search", count(tool?.max_uses))
}

function readBlocks(content: unknown, model: string, findings: Findings): void {
  if (Array.isArray(content)) for (const block of content) readBlock(asObject(block) ?? {}, model, findings)
  else if (typeof content !== "string" && content !== undefined) unboundedBy(findings, "unknown_content")
}

function readBlock(block: Record<string, unknown>, model: string, findings: Findings): void {
  if (TEXT_BLOCKS.has(block.type)) return
  switch (block.type) {
    case "tool_result":
      readBlocks(block.content, model, findings)
      return
    case "image":
      readImage(asObject(block.source), model, findings)
      return
    case "document":
      readDocument(block, model, findings)
      return
    case "search_result":
      readCited(block, findings)
      return
    case "container_upload":
      unboundedBy(findings, "file_content")
      return
    default:
      unboundedBy(
        findings,
        /_tool_use$|_tool_result$|^tool_reference$/.test(asText(block.type)) ? "server_tool" : "unknown_content",
      )
  }
}

function readImage(source: Record<string, unknown> | null, model: string, findings: Findings): void {
  const tokensMax = anthropicImageTokensMax(model)
  if (tokensMax === null) {
    if (source?.type === "url") unboundedBy(findings, "remote_content")
    if (source?.type === "file") unboundedBy(findings, "file_content")
  }
  addImage(findings, tokensMax, textBytes(source?.data))
}

function readDocument(block: Record<string, unknown>, model: string, findings: Findings): void {
  const source = asObject(block.source)
  switch (source?.type) {
    case "text":
      readCited(block, findings)
      return
    case "content":
      readCited(block, findings)
      readBlocks(source.content, model, findings)
      return
    case "base64":
      addUnknownMedia(findings, "document", textBytes(source.data))
      return
    case "url":
      addUnknownMedia(findings, "remote_content", 0)
      return
    default:
      addUnknownMedia(findings, "file_content", 0)
  }
}

/** To be cited a text is cut into sentences, each with a mark whose length nobody tells. */
function readCited(block: Record<string, unknown>, findings: Findings): void {
  if (asObject(block.citations)?.enabled === true) unboundedBy(findings, "document")
}
