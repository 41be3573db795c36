/**
 * Google's calls that generate no text: embeddings (`:embedContent`, `:batchEmbedContents`), counting tokens
 * (`:countTokens`) and Imagen (`:predict`). The path names the model; where the format repeats it in the body it must be
 * the same. Source: Gemini API reference, `models.embedContent`, `models.countTokens`; Imagen API reference, `predict`;
 * Vertex AI, "Text embeddings API".
 */
import { addedTokens, ZERO_USAGE } from "../metering/usage.ts"
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
import { boundEmbedding } from "./google-bound.ts"
import {
  bodyModelProblem,
  googleStreamError,
  modelMembers,
  pathModel,
  readGoogleCommon,
  renameModels,
  SHOWN,
} from "./google-generate.ts"
import { type JsonMember, jsonMembers, outline } from "./json-members.ts"
import { invalid, readOutline } from "./json-request.ts"
import { asArray, asObject, asText, count, parsedObject, parseJson } from "./json-values.ts"
import { type BoundQuestion, boundedInput, type RequestBound, unboundedFor } from "./request-bound.ts"

const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const DECISIVE = ["model", "requests", "parameters"]
/** Images that Imagen makes where a request does not say how many. */
const SAMPLES_DEFAULT = 4

/** What these dialects have in common: a whole JSON answer, no stream, the model in the path. */
const whole = {
  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer {
    if (rewrite.model === facts.model) return body
    return renameModels(body, repeatedModels(body), facts.model, rewrite.model)
  },
  readAnswer(body: Buffer, reading: Reading): void {
    const answer = parsedObject(outline(body))
    if (answer === null) return
    readGoogleCommon(answer, reading)
    reading.isFinished = true
  },
  readEvent: (): StreamEvent => SHOWN,
  streamError: googleStreamError,
}

/** Embeddings. Older models report no usage; then it is estimated from the request. */
export const googleEmbed: Dialect = {
  name: "google-embed",
  ...whole,
  readRequest(body: Buffer, form: RequestForm): ReadRequest {
    return readNamed(body, form, (model) => ({ ...factsOf(model), outputTokensMax: 0 }))
  },
  bound: boundEmbedding,
}

/** Counting the tokens of a prompt, which costs nothing. */
export const googleCountTokens: Dialect = {
  name: "google-count-tokens",
  ...whole,
  readRequest(body: Buffer, form: RequestForm): ReadRequest {
    return readNamed(body, form, (model) => ({ ...factsOf(model), outputTokensMax: 0, isFree: true }))
  },
  bound: () => boundedInput(0),
}

/** Imagen, billed by the image, and Vertex AI's embeddings. What else is asked of `:predict` is forwarded and has no units. */
export const googlePredict: Dialect = {
  name: "google-predict",
  ...whole,
  readRequest(body: Buffer, form: RequestForm): ReadRequest {
    const read = readNamed(body, form, (model, request) => {
      if (!model.startsWith("imagen")) return factsOf(model)
      return { ...factsOf(model), outputTokensMax: 0, units: imagesAsked(request) }
    })
    if (read.kind === "invalid" || !repeatsSampleCount(body)) return read
    return invalid("`parameters.sampleCount` stands more than once in the request body.", "parameters.sampleCount")
  },
  bound({ body, facts }: BoundQuestion): RequestBound {
    const bounded = boundedInput(body.length)
    return facts.units === null ? unboundedFor("generated_media", bounded) : bounded
  },
  readAnswer(body: Buffer, reading: Reading): void {
    whole.readAnswer(body, reading)
    if (reading.usage !== null) return
    const predictions = asArray(parsedObject(body.toString("utf8"))?.predictions).map(asObject)
    const tokens = tokensEmbedded(predictions)
    if (tokens !== null) {
      reading.usage = { ...ZERO_USAGE, inputUncachedTokens: tokens }
      reading.usageRaw = { token_count: tokens }
      return
    }
    const images = imagesMade(predictions)
    if (images === null) return
    reading.usage = { ...ZERO_USAGE, units: images, unitType: "images" }
    if (images > 0) reading.hasContent = true
  },
}

function readNamed(
  body: Buffer,
  form: RequestForm,
  facts: (model: string, request: Record<string, unknown>) => RequestFacts,
): ReadRequest {
  const outlined = readOutline(body, DECISIVE)
  if (outlined.kind === "invalid") return outlined
  const model = pathModel(form)
  if (typeof model !== "string") return model
  if (Array.isArray(outlined.request.requests)) {
    // The outline leaves out what stands in arrays, and the models of a batch stand in one.
    const parsed = parseJson(body.toString("utf8"))
    if (parsed.kind === "broken") {
      return {
        kind: "invalid",
        code: "invalid_json",
        message: `The request body is not valid JSON: ${parsed.message}.`,
      }
    }
    const isBatch = asArray(asObject(parsed.value)?.requests).every((request) => asObject(request) !== null)
    if (!isBatch) return invalid("`requests` must be an array of objects.", "requests")
  }
  const problem = bodyModelProblem(body, repeatedModels(body), model)
  return problem ?? { kind: "read", facts: facts(model, outlined.request) }
}

function factsOf(model: string): RequestFacts {
  return {
    model,
    isStream: false,
    asksUsage: true,
    outputTokensMax: null,
    tier: "",
    endCustomer: "",
    conversation: "",
    units: null,
    isFree: false,
  }
}

/** Wherever a body repeats the model of the path: at its top, in each request of a batch, in a request to be counted. */
function repeatedModels(body: Buffer): JsonMember[] {
  return jsonMembers(body).flatMap((member) => {
    const first = body[member.valueStart]
    if (member.name === "model") return [member]
    if (member.name === "requests" && first === OPEN_BRACKET) return modelsInArray(body, member)
    const isCounted = member.name === "generateContentRequest" || member.name === "generate_content_request"
    return isCounted && first === OPEN_BRACE ? modelMembers(body, member.valueStart) : []
  })
}

/** The array is known to hold objects only. */
function modelsInArray(body: Buffer, array: JsonMember): JsonMember[] {
  const models: JsonMember[] = []
  let open = body.indexOf(OPEN_BRACE, array.valueStart)
  while (open >= 0 && open < array.valueEnd) {
    const members = jsonMembers(body, open)
    models.push(...members.filter(({ name }) => name === "model"))
    const close = body.indexOf(CLOSE_BRACE, members.at(-1)?.valueEnd ?? open)
    open = close < 0 ? close : body.indexOf(OPEN_BRACE, close)
  }
  return models
}

/** How many images a request asks for. It holds one prompt, and each of its samples is billed. */
function imagesAsked(request: Record<string, unknown>): Units {
  return { quantity: count(asObject(request.parameters)?.sampleCount) || SAMPLES_DEFAULT, unitType: "images" }
}

function repeatsSampleCount(body: Buffer): boolean {
  const parameters = jsonMembers(body).find(({ name }) => name === "parameters")
  if (parameters === undefined || body[parameters.valueStart] !== OPEN_BRACE) return false
  return jsonMembers(body, parameters.valueStart).filter(({ name }) => name === "sampleCount").length > 1
}

type Predictions = readonly (Record<string, unknown> | null)[]

/** The tokens of what Vertex AI has embedded, which each prediction counts for itself. Null where none was. */
function tokensEmbedded(predictions: Predictions): number | null {
  const counts = predictions.map((prediction) =>
    count(asObject(asObject(prediction?.embeddings)?.statistics)?.token_count),
  )
  if (!counts.some((tokens) => tokens !== null)) return null
  return counts.reduce<number>((sum, tokens) => addedTokens(sum, tokens ?? 0), 0)
}

/** The images in an answer: one that a filter held back is not billed. Null where the answer is about something else. */
function imagesMade(predictions: Predictions): number | null {
  const images = predictions.filter((prediction) => asText(prediction?.mimeType).startsWith("image/")).length
  const isFiltered = predictions.some((prediction) => asText(prediction?.raiFilteredReason) !== "")
  return images > 0 || isFiltered ? images : null
}
