/**
 * OpenAI's batches: their output (`GET /v1/files/{id}/content`), JSON lines with one whole answer each, whose usage is
 * the batch's bill; and which files their other answers name. (OpenAI API reference, Batch, "the request output object";
 * Uploads, "the upload object".)
 */
import { addBatchedUsage, RESULTS_FACTS } from "./batch-usage.ts"
import type { Dialect, Reading, ReadRequest } from "./dialect.ts"
import { asArray, asObject, asText, parsedObject } from "./json-values.ts"
import { openAiChat } from "./openai-chat.ts"
import { readImageUsage } from "./openai-images.ts"
import { readResponsesUsage, webSearchesIn } from "./openai-responses-usage.ts"
import { type ReadUsage, readOpenAiUsage } from "./openai-usage.ts"
import { boundedInput } from "./request-bound.ts"

const STATUS_OK = 200

/** The call itself is free; the usage that it brings is that of the batch. */
export const openAiBatchOutput: Dialect = {
  name: "openai-batch-output",

  readRequest: (): ReadRequest => ({ kind: "read", facts: RESULTS_FACTS }),

  bound: () => boundedInput(0),

  rewriteRequest: (body) => body,

  /** An answer that came compressed is read when it is whole. */
  readAnswer(body: Buffer, reading: Reading): void {
    const text = body.toString("utf8")
    const answer = parsedObject(text)
    if (asObject(answer?.error) !== null) reading.hasError = true
    if (answer === null) for (const line of text.split("\n")) readOutputLine(line, reading)
    else readOutputLine(text, reading)
  },

  readLine: readOutputLine,

  readEvent: () => ({ isInjectedUsage: false }),

  streamError: openAiChat.streamError,
}

export type BornFiles = {
  readonly batchId: string
  /** Null until the batch has one. */
  readonly outputFileId: string | null
  readonly errorFileId: string | null
}

/** The files that an answer about a batch, or about a list of them, names. Never throws. */
export function bornFiles(body: Buffer): BornFiles[] {
  const answer = parsedObject(body.toString("utf8"))
  if (answer === null) return []
  const batches = Array.isArray(answer.data) ? answer.data.map(asObject) : [answer]
  return batches.flatMap((batch) => {
    const batchId = asText(batch?.id)
    if (batchId === "") return []
    const outputFileId = asText(batch?.output_file_id) || null
    return [{ batchId, outputFileId, errorFileId: asText(batch?.error_file_id) || null }]
  })
}

/** The file that a completed upload has become; null where the answer names none. Never throws. */
export function uploadedFile(body: Buffer): string | null {
  return asText(asObject(parsedObject(body.toString("utf8"))?.file)?.id) || null
}

function readOutputLine(line: string, reading: Reading): void {
  if (line.trim() === "") return
  const output = parsedObject(line)
  // Nothing closes the file: it is whole when its last line is.
  reading.isFinished = output !== null
  const response = asObject(output?.response)
  const answer = asObject(response?.body)
  // Requests that failed or expired are not billed.
  if (answer === null || response?.status_code !== STATUS_OK) return
  const read = readAnyUsage(answer)
  if (read === null) return
  if (reading.model === "") reading.model = asText(answer.model)
  addBatchedUsage(read, answer.usage, reading)
}

/** A batch runs one endpoint, which only the shape of its answers tells. */
function readAnyUsage(answer: Record<string, unknown>): ReadUsage | null {
  const read = readOpenAiUsage(answer.usage, asText(answer.model))
  if (read !== null) return read
  const isImages = asArray(answer.data).length > 0
  return isImages ? readImageUsage(answer.usage) : readResponsesUsage(answer.usage, webSearchesIn(answer))
}
