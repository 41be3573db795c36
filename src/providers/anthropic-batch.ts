/**
 * The results of an Anthropic message batch (`GET /v1/messages/batches/{id}/results`): JSON lines, one per request of the
 * batch, each with the whole message where the request succeeded. The call itself is free; the usage that it brings is
 * that of the batch. (Anthropic API reference, Message Batches, `MessageBatchIndividualResponse`.)
 */
import { anthropicStreamError } from "./anthropic-messages.ts"
import { advisorUsage, anthropicRegion, readAnthropicUsage } from "./anthropic-usage.ts"
import { addBatchedUsage, RESULTS_FACTS } from "./batch-usage.ts"
import type { Dialect, Reading, ReadRequest } from "./dialect.ts"
import { asObject, asText, parsedObject } from "./json-values.ts"
import { mergedOthers } from "./other-usage.ts"
import { boundedInput } from "./request-bound.ts"

export const anthropicBatchResults: Dialect = {
  name: "anthropic-batch-results",

  readRequest(): ReadRequest {
    return { kind: "read", facts: RESULTS_FACTS }
  },

  rewriteRequest: (body) => body,

  /** Results come as lines, so a whole object can only say why there are none. */
  bound: () => boundedInput(0),

  readAnswer(body: Buffer, reading: Reading): void {
    const answer = parsedObject(body.toString("utf8"))
    if (answer === null) return
    if (answer.type === "error") reading.hasError = true
    reading.isFinished = true
  },

  readLine(line: string, reading: Reading): void {
    if (line.trim() === "") return
    const parsed = parsedObject(line)
    // Nothing closes the file: it is whole when its last line is.
    reading.isFinished = parsed !== null
    const result = asObject(parsed?.result)
    // Requests that errored, expired or were canceled are not billed.
    if (result?.type !== "succeeded") return
    readMessage(asObject(result.message) ?? {}, reading)
  },

  readEvent: () => ({ isInjectedUsage: false }),

  streamError: anthropicStreamError,
}

/** Adds one message of the batch to the sum. */
function readMessage(message: Record<string, unknown>, reading: Reading): void {
  if (reading.model === "") reading.model = asText(message.model)
  const read = readAnthropicUsage(message.usage)
  if (read === null) return
  addBatchedUsage(read, message.usage, reading)
  reading.region = anthropicRegion(message.usage) || reading.region
  reading.others = mergedOthers(reading.others, advisorUsage(message.usage))
}
