/**
 * The requests inside a batch, as it is made: a list in Anthropic's API (`POST /v1/messages/batches`), the lines of a
 * file that is uploaded for one in OpenAI's (`POST /v1/files` with `purpose: batch`). (OpenAI API reference, Batch;
 * Anthropic API reference, Message Batches.)
 */
import type { ReadRequest, RequestFacts, RequestForm } from "./dialect.ts"
import { type Endpoint, matchEndpoint } from "./endpoint.ts"
import { invalid } from "./json-request.ts"
import { asArray, asObject, asText, parsedObject } from "./json-values.ts"
import { readMultipart } from "./multipart-form.ts"

type Invalid = Extract<ReadRequest, { kind: "invalid" }>

export type BatchedRequest = {
  readonly kind: "request"
  readonly endpoint: Endpoint
  readonly body: Buffer
  readonly facts: RequestFacts
}

const JSON_FORM: RequestForm = { model: null, isStream: null, contentType: "application/json" }
const LINE_FEED = 0x0a

/** The batched requests one by one, each as it would stand alone, or why one cannot be read. None where this makes no batch. */
export function* batchedRequests(
  { name, api }: Endpoint,
  body: Buffer,
  form: RequestForm,
): Generator<BatchedRequest | Invalid> {
  if (api === "anthropic" && name === "messages.batches.create") {
    const batch = parsedObject(body.toString("utf8"))
    if (batch === null) yield invalid("The request body must be a JSON object.")
    for (const request of asArray(batch?.requests)) yield requestAt("anthropic", "/messages", asObject(request)?.params)
  }
  if (api !== "openai") return
  // An upload in parts cuts lines anywhere.
  if (name === "uploads.create" && parsedObject(body.toString("utf8"))?.purpose === "batch") {
    yield invalid("Files for batches are uploaded whole, to /v1/files, by keys whose calls are restricted.", "purpose")
  }
  if (name !== "files.create") return
  const parts = readMultipart(body, form.contentType)
  if (parts?.fields.some((field) => field.name === "purpose" && field.value === "batch") !== true) return
  for (const file of parts.files)
    for (const line of linesOf(body.subarray(file.start, file.end))) yield requestOfLine(line)
}

function requestOfLine(line: Buffer): BatchedRequest | Invalid {
  const request = parsedObject(line.toString("utf8"))
  if (request === null) return invalid("A line of the batch's file is not a JSON object.", "file")
  return requestAt("openai", asText(request.url).replace(/^\/v1(?=\/)/, ""), request.body)
}

function requestAt(api: "openai" | "anthropic", path: string, value: unknown): BatchedRequest | Invalid {
  const endpoint = matchEndpoint(api, "POST", path)?.endpoint
  const request = asObject(value)
  if (endpoint?.routedBy !== "model" || request === null) {
    return invalid("A request of the batch has no endpoint and body that are known here.")
  }
  const body = Buffer.from(JSON.stringify(request))
  const read = endpoint.dialect.readRequest(body, JSON_FORM)
  return read.kind === "read" ? { kind: "request", endpoint, body, facts: read.facts } : read
}

function* linesOf(bytes: Buffer): Generator<Buffer> {
  let from = 0
  while (from < bytes.length) {
    const found = bytes.indexOf(LINE_FEED, from)
    const end = found < 0 ? bytes.length : found
    const line = bytes.subarray(from, end)
    if (line.toString("latin1").trim() !== "") yield line
    from = end + 1
  }
}
