/**
 * Google's Interactions API (`POST /v1beta/interactions`, `GET /v1beta/interactions/{id}`), JSON and SSE. The body names a
 * model, or an agent that runs models of its own; usage stands in the interaction, which a stream repeats in its last
 * event. One that runs in the background is answered before it is worked on, and counts when it is asked for later.
 * (Gemini API reference, `interactions`; guide "Streaming interactions".)
 */
import {
  addOutput,
  type Dialect,
  FREE_FACTS,
  type Reading,
  type ReadRequest,
  type RequestFacts,
  type Rewrite,
  type StreamEvent,
} from "./dialect.ts"
import { SHOWN } from "./google-generate.ts"
import { googleTier, readInteractionUsage } from "./google-usage.ts"
import { outline, withMember, withMemberWithin } from "./json-members.ts"
import { modelOf, readOutline } from "./json-request.ts"
import { asArray, asObject, asText, count, parsedObject } from "./json-values.ts"
import { outputTokensMaxOf } from "./model-bounds.ts"
import { type BoundQuestion, boundedInput, type RequestBound, unboundedFor } from "./request-bound.ts"

const DECISIVE = [
  ...["model", "agent", "stream", "background", "generation_config", "previous_interaction_id", "input", "tools"],
]
/** Of an interaction that will be heard of again. */
const UNDER_WAY: ReadonlySet<unknown> = new Set(["queued", "in_progress"])

export const googleInteractions: Dialect = {
  name: "google-interactions",

  readRequest(body: Buffer): ReadRequest {
    // Asking for one that was made before: no model is named, and asking costs nothing.
    if (body.length === 0) return { kind: "read", facts: FREE_FACTS }
    const outlined = readOutline(body, DECISIVE)
    if (outlined.kind === "invalid") return outlined
    const { request } = outlined
    const agent = asText(request.agent)
    const model = request.model === undefined && agent !== "" ? agent : modelOf(request)
    if (typeof model !== "string") return model
    return { kind: "read", facts: factsOf(request, model), outline: request }
  },

  bound: boundInteraction,

  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer {
    if (body.length === 0) return body
    const isAgent = parsedObject(outline(body))?.model === undefined
    const named = isAgent ? "agent" : "model"
    const bytes = rewrite.model === facts.model ? body : withMember(body, named, JSON.stringify(rewrite.model))
    // Agents take no configuration of what they generate.
    if (rewrite.outputTokensMax === null || isAgent) return bytes
    const max = String(Math.max(1, Math.floor(rewrite.outputTokensMax)))
    return withMemberWithin(bytes, "generation_config", "max_output_tokens", max)
  },

  readAnswer(body: Buffer, reading: Reading): void {
    const outlined = parsedObject(outline(body))
    if (outlined === null) return
    readInteraction(outlined, reading)
    if (reading.usage === null) addOutputs(parsedObject(body.toString("utf8")), reading)
    reading.isPending = isUnderWay(outlined)
    reading.isFinished = !reading.isPending
  },

  readEvent(data: string, reading: Reading): StreamEvent {
    const event = parsedObject(data)
    if (event === null) return SHOWN
    if (event.event_type === "error" || asObject(event.error) !== null) reading.hasError = true
    addOutput(textOf(asObject(event.delta)), reading)
    const interaction = asObject(event.interaction)
    if (interaction === null) return SHOWN
    readInteraction(interaction, reading)
    const isUnder = isUnderWay(interaction)
    if (!isUnder) reading.isFinished = true
    // Should the stream be cut from here on, Google finishes the interaction all the same.
    reading.isPending = isUnder && interaction.background === true
    return SHOWN
  },

  streamError(message: string, code: string): string {
    return `event: error\ndata: ${JSON.stringify({ event_type: "error", error: { code, message } })}\n\n`
  },
}

function factsOf(request: Record<string, unknown>, model: string): RequestFacts {
  return {
    model,
    isStream: request.stream === true,
    asksUsage: true,
    outputTokensMax: count(asObject(request.generation_config)?.max_output_tokens) || null,
    tier: googleTier(request.service_tier),
    endCustomer: "",
    conversation: "",
    units: null,
    isFree: false,
  }
}

/** Agents go on as they like, interactions before this one come along, and the rest of the format is in motion. */
function boundInteraction({ body, facts, model, outline: request }: BoundQuestion): RequestBound {
  const { most } = boundedInput(body.length)
  const outputTokens = facts.outputTokensMax ?? outputTokensMaxOf(model)
  const isAgent = request?.model === undefined
  const isFollowing = asText(request?.previous_interaction_id) !== ""
  return unboundedFor(isAgent ? "server_tool" : isFollowing ? "server_context" : "unknown_content", {
    kind: "bounded",
    most: { ...most, outputTokens, asksForOutput: facts.outputTokensMax === null && !isAgent, outputTokensMin: 1 },
  })
}

function readInteraction(interaction: Record<string, unknown>, reading: Reading): void {
  if (reading.model === "") reading.model = asText(interaction.model)
  if (reading.responseId === "") reading.responseId = asText(interaction.id)
  reading.tier = googleTier(interaction.service_tier) || reading.tier
  if (interaction.status === "failed" || asObject(interaction.error) !== null) reading.hasError = true
  const read = readInteractionUsage(interaction.usage)
  if (read === null) return
  reading.usage = read.usage
  reading.usageRaw = interaction.usage
  reading.isMismatch = read.isMismatch
}

function isUnderWay(interaction: Record<string, unknown>): boolean {
  return UNDER_WAY.has(interaction.status) && asObject(interaction.usage) === null
}

/** The outputs, or in newer words the contents of the steps. */
function addOutputs(interaction: Record<string, unknown> | null, reading: Reading): void {
  const steps = asArray(interaction?.steps).flatMap((step) => asArray(asObject(step)?.content))
  for (const part of [...asArray(interaction?.outputs), ...steps]) addOutput(textOf(asObject(part)), reading)
}

function textOf(part: Record<string, unknown> | null): string {
  return asText(part?.text) + asText(asObject(part?.content)?.text)
}
