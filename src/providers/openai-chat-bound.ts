/**
 * What a chat completion can use at most. (OpenAI API reference, Chat Completions; the members of other servers with the
 * same API are those that their references name.)
 */
import type { TokenClass } from "../pricing/price-row.ts"
import { isPlainText, parsedWithoutBulk, signOfMore, textBytes } from "./body-signs.ts"
import { outline } from "./json-members.ts"
import { asArray, asObject, asText, count, parsedObject } from "./json-values.ts"
import {
  isOpenAiModel,
  openAiImageTokensMax,
  outputTokensMaxOf,
  takesOlderBound,
  unboundedModel,
} from "./model-bounds.ts"
import {
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
  ...["text", "refusal", "function", "custom", "grammar", "allowed_tools", "json_object"],
  ...["enabled", "disabled", "adaptive", "ephemeral"],
])
const MEMBERS: KnownMembers = {
  plain: new Set([
    ...["messages", "tools", "functions", "tool_choice", "function_call", "response_format", "stream_options"],
    ...["stop", "logit_bias", "metadata", "modalities", "audio", "reasoning", "thinking", "cache_control"],
    ...[
      "chat_template_kwargs",
      "guided_choice",
      "guided_json",
      "structured_outputs",
      "prompt_cache_options",
      "stop_token_ids",
    ],
  ]),
  telling: new Map([
    ["prediction", "predicted_output"],
    ["web_search_options", "server_tool"],
    ["search_parameters", "server_tool"],
    ["plugins", "server_tool"],
    ["models", "routed_model"],
    ["route", "routed_model"],
  ]),
}

/** What the input of OpenAI's calls can be billed as, without and with pictures or sound. */
const INPUT: readonly TokenClass[] = ["input", "cache_read", "cache_write_5m", "cache_write_1h"]
const INPUT_WITH_MEDIA: readonly TokenClass[] = [...INPUT, "input_image", "input_audio"]
const OUTPUT_WITH_SOUND: readonly TokenClass[] = [...TEXT_OUTPUT, "output_audio"]

/** What servers of other models put before the first message: gpt-oss some 70 tokens, Llama up to 40. */
export const TEMPLATE_TOKENS = 128
/** What reasoning models of OpenAI's add to the tools that a request names: some 90 tokens. */
export const TOOLS_TOKENS = 256
/** A bound below this is hardly an answer. */
const OUTPUT_TOKENS_MIN = 16

export function boundChat(question: BoundQuestion): RequestBound {
  const { body, facts, model } = question
  const request = question.outline ?? parsedObject(outline(body)) ?? {}
  const findings = newFindings()
  findings.reason = unboundedModel(model)
  readMembers(request, MEMBERS, findings)
  if (!isPlainText(MORE, body)) readContents(body, model, findings)
  if (!isOpenAiModel(model)) findings.extraTokens += TEMPLATE_TOKENS
  if (request.tools !== undefined || request.functions !== undefined) findings.extraTokens += TOOLS_TOKENS
  const asksSound = request.audio != null
  return boundOf(findings, {
    textBytes: body.length,
    ...outputOf(request, question),
    inputClasses: openAiInputClasses(findings),
    outputClasses: asksSound ? OUTPUT_WITH_SOUND : TEXT_OUTPUT,
    mayBePriority: facts.tier !== "default" && facts.tier !== "flex",
  })
}

export function openAiInputClasses({ hasImages, hasAudio }: Findings): readonly TokenClass[] {
  return hasImages || hasAudio ? INPUT_WITH_MEDIA : INPUT
}

/** The larger of the two names that a caller may use for one bound, since servers differ in which of them they heed. */
function outputOf(request: Readonly<Record<string, unknown>>, { facts, model }: BoundQuestion) {
  const newer = count(request.max_completion_tokens)
  const older = count(request.max_tokens)
  const each = Math.max(newer ?? 0, older ?? 0)
  const choices = facts.choices ?? 1
  const isSaid = newer !== null || older !== null
  const isHeeded = newer === older || newer === null || (older === null && !takesOlderBound(model))
  // Where an answer is predicted the provider takes no bound.
  const takesBound = request.prediction == null
  return {
    outputTokens: Math.min((isSaid ? each : outputTokensMaxOf(model)) * choices, Number.MAX_SAFE_INTEGER),
    asksForOutput: takesBound && !(isSaid && isHeeded),
    outputTokensMin: takesBound ? OUTPUT_TOKENS_MIN * choices : null,
  }
}

function readContents(body: Buffer, model: string, findings: Findings): void {
  const request = asObject(parsedWithoutBulk(body))
  if (request === null) {
    unboundedBy(findings, "unknown_content")
    return
  }
  for (const message of asArray(request.messages)) readMessage(asObject(message), model, findings)
  for (const tool of asArray(request.tools)) {
    const { type } = asObject(tool) ?? {}
    if (type !== "function" && type !== "custom") unboundedBy(findings, "server_tool")
  }
}

function readMessage(message: Record<string, unknown> | null, model: string, findings: Findings): void {
  const content = message?.content
  if (message === null) unboundedBy(findings, "unknown_content")
  // An earlier spoken answer, by its id.
  else if (asObject(message.audio) !== null) unboundedBy(findings, "server_context")
  if (Array.isArray(content)) for (const part of content) readPart(asObject(part), model, findings)
  else if (asObject(content) !== null) unboundedBy(findings, "unknown_content")
}

function readPart(part: Record<string, unknown> | null, model: string, findings: Findings): void {
  switch (part?.type) {
    case "text":
    case "refusal":
    case "thinking":
      return
    case "image_url":
      readImageUrl(asObject(part.image_url)?.url ?? part.image_url, model, findings)
      return
    case "input_audio":
      findings.hasAudio = true
      addUnknownMedia(findings, "audio", textBytes(asObject(part.input_audio)?.data))
      return
    case "file": {
      const data = textBytes(asObject(part.file)?.file_data)
      addUnknownMedia(findings, data > 0 ? "document" : "file_content", data)
      return
    }
    default:
      unboundedBy(findings, "unknown_content")
  }
}

/** A picture as `data:` or under an address: where its most is known, its size does not matter. */
export function readImageUrl(url: unknown, model: string, findings: Findings): void {
  const isInline = /^data:/i.test(asText(url))
  const tokensMax = openAiImageTokensMax(model)
  if (tokensMax === null && !isInline) unboundedBy(findings, "remote_content")
  addImage(findings, tokensMax, isInline ? textBytes(url) : 0)
}
