/**
 * OpenAI's images (`POST /v1/images/generations`, `/edits`, `/variations`): JSON or a form, answered by JSON or a stream.
 * GPT image models report tokens, in a stream at the top of the event that completes an image; DALL·E reports nothing
 * and is billed by the image: by its size and quality, as the request has them. How many images an answer holds stands on
 * its record either way. (OpenAI API reference, Images, `ImagesResponse`, `ImageGenCompletedEvent`.)
 */
import { ZERO_USAGE } from "../metering/usage.ts"
import { parsedWithoutBulk } from "./body-signs.ts"
import type {
  Dialect,
  Reading,
  ReadRequest,
  RequestFacts,
  RequestForm,
  Rewrite,
  StreamEvent,
  Units,
} from "./dialect.ts"
import { outline, withMember } from "./json-members.ts"
import { invalid, modelOf, readOutline } from "./json-request.ts"
import { asArray, asObject, asText, count, parsedObject } from "./json-values.ts"
import { isMultipart, readFormFields, withField } from "./multipart-form.ts"
import { openAiChat } from "./openai-chat.ts"
import type { ReadUsage } from "./openai-usage.ts"
import { readProviderCost } from "./provider-cost.ts"
import { type BoundQuestion, boundedInput, type RequestBound, unboundedFor } from "./request-bound.ts"

const SHOWN: StreamEvent = { isInjectedUsage: false }
const DECISIVE = ["model", "n", "size", "quality", "stream"]
/** The model that is asked where a request names none. */
const MODEL_DEFAULT = "dall-e-2"

export const openAiImages: Dialect = {
  name: "openai-images",
  takesForms: true,

  readRequest(body: Buffer, { contentType }: RequestForm): ReadRequest {
    const read = isMultipart(contentType) ? readFormFields(body, contentType, DECISIVE) : readOutline(body, DECISIVE)
    if (read.kind === "invalid") return read
    const { request } = read
    const isNamed = request.model !== undefined && request.model !== null
    const model = isNamed ? modelOf(request) : MODEL_DEFAULT
    if (typeof model !== "string") return model
    const units = imagesAsked(request)
    if (units === null) return invalid("`n` must be the number of images to make.", "n")
    return { kind: "read", facts: factsOf(request, model, units) }
  },

  bound: boundImages,

  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite, { contentType }: RequestForm): Buffer {
    if (rewrite.model === facts.model) return body
    if (isMultipart(contentType)) return withField(body, contentType, "model", rewrite.model)
    return withMember(body, "model", JSON.stringify(rewrite.model))
  },

  readAnswer(body: Buffer, reading: Reading): void {
    const answer = parsedObject(outline(body))
    if (answer === null) return
    readCommon(answer, reading)
    if (Array.isArray(answer.data)) {
      reading.hasContent = true
      countImages(asArray(asObject(parsedWithoutBulk(body))?.data).length, answer, reading)
    }
    reading.isFinished = true
  },

  readEvent(data: string, reading: Reading): StreamEvent {
    const event = parsedObject(data)
    if (event === null) return SHOWN
    readCommon(event, reading)
    if (event.type === "error") reading.hasError = true
    if (typeof event.b64_json === "string") reading.hasContent = true
    if (event.type === "image_generation.completed" || event.type === "image_edit.completed") {
      countImages(1, event, reading)
      reading.isFinished = true
    }
    return SHOWN
  },

  streamError: openAiChat.streamError,
}

/**
 * The usage of an image as disjoint classes: input is text and images, output is the image, but for the text that newer
 * models report beside it. Null where the value is not a usage object that counts anything.
 */
export function readImageUsage(value: unknown): ReadUsage | null {
  const usage = asObject(value)
  if (usage === null) return null
  const input = count(usage.input_tokens)
  const output = count(usage.output_tokens)
  if (input === null && output === null) return null
  const inputDetails = asObject(usage.input_tokens_details)
  const outputDetails = asObject(usage.output_tokens_details)
  const inputTokens = input ?? 0
  const outputTokens = output ?? 0
  const cacheRead = Math.min(count(inputDetails?.cached_tokens) ?? 0, inputTokens)
  const uncached = inputTokens - cacheRead
  const total = count(usage.total_tokens)
  return {
    usage: {
      ...ZERO_USAGE,
      inputUncachedTokens: uncached,
      cacheReadTokens: cacheRead,
      outputTokens,
      imageInputTokens: Math.min(count(inputDetails?.image_tokens) ?? 0, uncached),
      imageOutputTokens: Math.min(count(outputDetails?.image_tokens) ?? outputTokens, outputTokens),
    },
    isMismatch: total !== null && total !== inputTokens + outputTokens,
  }
}

function factsOf(request: Record<string, unknown>, model: string, units: Units): RequestFacts {
  return {
    model,
    // A form has no other way to say it than as a text.
    isStream: request.stream === true || request.stream === "true",
    asksUsage: true,
    outputTokensMax: null,
    tier: "",
    endCustomer: asText(request.safety_identifier) || asText(request.user),
    conversation: "",
    units,
    isFree: false,
  }
}

/** The dearest picture of the GPT image models (high quality, 1024x1536), and what its previews may add: three of 100. */
const IMAGE_OUTPUT_TOKENS = 6_240 + 3 * 100
const GPT_IMAGE = /^gpt-image-1(?:$|-mini|\.5)/

/**
 * Pictures that are sold by the piece are as many as were asked for. Of the models that count tokens a picture has a
 * most where the guide ("Image generation") gives one; pictures that come in are none of the text.
 */
function boundImages({ body, form, facts, model }: BoundQuestion): RequestBound {
  const hasPictures = isMultipart(form.contentType)
  const { most } = boundedInput(hasPictures ? 0 : body.length)
  const isByThePiece = /^dall-e/.test(model)
  const outputTokens = isByThePiece ? 0 : IMAGE_OUTPUT_TOKENS * (facts.units?.quantity ?? 1)
  const bounded: RequestBound = {
    kind: "bounded",
    most: { ...most, outputTokens, inputClasses: ["input", "cache_read"], outputClasses: ["output", "output_image"] },
  }
  if (isByThePiece) return bounded
  if (hasPictures || body.includes('"image')) return unboundedFor("image", bounded)
  return GPT_IMAGE.test(model) ? bounded : unboundedFor("generated_media", bounded)
}

/** Null where the number cannot be told, and with it what the images cost. */
function imagesAsked({ n, quality, size }: Record<string, unknown>): Units | null {
  const quantity = n === undefined || n === null ? 1 : count(n)
  if (quantity === null) return null
  return { quantity: Math.max(1, quantity), unitType: `images${qualifier(quality)}${qualifier(size)}` }
}

/** Nothing where the request leaves it to the provider. */
function qualifier(value: unknown): "" | `:${string}` {
  const word = asText(value).toLowerCase()
  return word === "auto" || !/^[a-z0-9]{1,32}$/.test(word) ? "" : `:${word}`
}

/** Beside tokens, which are the bill, they say how many images it was for; else they are the bill. */
function countImages(images: number, { quality, size }: Record<string, unknown>, reading: Reading): void {
  if (images === 0) return
  if (reading.usage === null) {
    reading.made = { quantity: images, unitType: `images${qualifier(quality)}${qualifier(size)}` }
  } else reading.usage = { ...reading.usage, units: images, unitType: "images" }
}

function readCommon(answer: Record<string, unknown>, reading: Reading): void {
  if (reading.model === "") reading.model = asText(answer.model)
  if (asObject(answer.error) !== null) reading.hasError = true
  readProviderCost(answer.usage, reading)
  const read = readImageUsage(answer.usage)
  if (read === null) return
  reading.usage = read.usage
  reading.usageRaw = answer.usage
  reading.isMismatch = read.isMismatch
}
