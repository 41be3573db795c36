/**
 * What a call to Bedrock's runtime can use at most. Converse's blocks have no `type`: their one member tells what they
 * are. An InvokeModel body is bounded where it is Anthropic's; other makers' are not looked into. (Amazon Bedrock API
 * reference, `ContentBlock`, `SystemContentBlock`, `Tool`.)
 */
import { boundMessage } from "./anthropic-bound.ts"
import { normalizedBytes, parsedWithoutBulk } from "./body-signs.ts"
import { asArray, asObject, asText } from "./json-values.ts"
import { outputTokensMaxOf } from "./model-bounds.ts"
import {
  addUnknownMedia,
  type BoundQuestion,
  boundedInput,
  boundOf,
  type Findings,
  type KnownMembers,
  newFindings,
  type RequestBound,
  readMembers,
  TEXT_OUTPUT,
  type UnboundedReason,
  unboundedBy,
  unboundedFor,
} from "./request-bound.ts"

const MEMBERS: KnownMembers = {
  plain: new Set([
    ...["messages", "system", "inferenceConfig", "toolConfig", "requestMetadata", "performanceConfig", "serviceTier"],
    ...["additionalModelResponseFieldPaths"],
  ]),
  telling: new Map(),
}
const TEXT_BLOCKS: ReadonlySet<string> = new Set(["text", "toolUse", "cachePoint", "reasoningContent", "json"])
const MEDIA_BLOCKS: ReadonlyMap<string, UnboundedReason> = new Map([
  ["image", "image"],
  ["document", "document"],
  ["audio", "audio"],
  ["video", "image"],
])
/** What is put before the first message, and before tools: as much as Anthropic's own API adds, which adds most. */
const TEMPLATE_TOKENS = 128
const TOOLS_TOKENS = 1_024

export function boundConverse({ body, facts, model }: BoundQuestion): RequestBound {
  const findings = newFindings()
  const request = asObject(parsedWithoutBulk(body))
  if (isChosenThere(model)) unboundedBy(findings, "routed_model")
  if (request === null) unboundedBy(findings, "unknown_content")
  else readRequest(request, findings)
  findings.extraTokens += TEMPLATE_TOKENS + (request?.toolConfig === undefined ? 0 : TOOLS_TOKENS)
  return boundOf(findings, {
    textBytes: normalizedBytes(body),
    outputTokens: facts.outputTokensMax ?? outputTokensMaxOf(makersName(model)),
    asksForOutput: facts.outputTokensMax === null,
    outputTokensMin: 1,
    inputClasses: ["input", "cache_read", "cache_write_5m", "cache_write_1h"],
    outputClasses: TEXT_OUTPUT,
    mayBePriority: facts.tier !== "default" && facts.tier !== "flex",
  })
}

export function boundInvoke(question: BoundQuestion): RequestBound {
  const version = asText(question.outline?.anthropic_version)
  if (version.startsWith("bedrock-")) return boundMessage({ ...question, model: makersName(question.model) })
  return unboundedFor("unknown_content", boundedInput(question.body.length))
}

/** A prompt router, a stored prompt or a profile, whose model Bedrock knows. */
function isChosenThere(model: string): boolean {
  return model.startsWith("arn:") || model.includes("/")
}

/** `us.anthropic.claude-sonnet-4-5-20250929-v1:0` as its maker calls it. */
function makersName(model: string): string {
  return model.replace(/^(?:[a-z-]{2,6}\.)?(?:anthropic|amazon|meta|mistral|cohere|openai|deepseek|qwen)\./, "")
}

function readRequest(request: Record<string, unknown>, findings: Findings): void {
  readMembers(request, MEMBERS, findings)
  for (const message of asArray(request.messages)) readBlocks(asObject(message)?.content, findings)
  readBlocks(request.system, findings)
  for (const tool of asArray(asObject(request.toolConfig)?.tools)) {
    const { toolSpec, cachePoint } = asObject(tool) ?? {}
    if (toolSpec === undefined && cachePoint === undefined) unboundedBy(findings, "server_tool")
  }
}

function readBlocks(content: unknown, findings: Findings): void {
  for (const block of asArray(content)) {
    for (const [kind, value] of Object.entries(asObject(block) ?? { unknown: null })) {
      const media = MEDIA_BLOCKS.get(kind)
      if (media !== undefined) addUnknownMedia(findings, media, 0)
      else if (kind === "toolResult") readBlocks(asObject(value)?.content, findings)
      else if (!TEXT_BLOCKS.has(kind)) unboundedBy(findings, "unknown_content")
    }
  }
}
