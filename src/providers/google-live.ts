/**
 * Sessions of Google's Live API (over a WebSocket): every turn is billed for all of the session before it, and reports its
 * usage when it is complete, so that the session's is the sum. (Gemini API reference, Live API, `UsageMetadata`.) The
 * proxy carries no such sessions yet; recordings of them can be read.
 */
import { addedUsage, ZERO_USAGE } from "../metering/usage.ts"
import { type Dialect, FREE_FACTS, type Reading } from "./dialect.ts"
import { googleStreamError } from "./google-generate.ts"
import { readGoogleUsage } from "./google-usage.ts"
import { asObject, parsedObject } from "./json-values.ts"
import { boundedInput, unboundedFor } from "./request-bound.ts"

export const googleLive: Dialect = {
  name: "google-live",
  readRequest: () => ({
    kind: "read",
    facts: { ...FREE_FACTS, isStream: true, outputTokensMax: null, isFree: false },
  }),
  bound: ({ body }) => unboundedFor("open_output", boundedInput(body.length)),
  rewriteRequest: (body) => body,
  readAnswer: (body, reading) => readServerMessage(body.toString("utf8"), reading),
  /** One message. */
  readLine: readServerMessage,
  readEvent: () => ({ isInjectedUsage: false }),
  streamError: googleStreamError,
}

function readServerMessage(data: string, reading: Reading): void {
  const message = parsedObject(data)
  if (message === null) return
  if (asObject(message.error) !== null) reading.hasError = true
  const read = readGoogleUsage(message.usageMetadata)
  if (read?.hasCounts !== true) return
  reading.usage = addedUsage(reading.usage ?? ZERO_USAGE, read.usage)
  reading.usageRaw = message.usageMetadata
  reading.isMismatch ||= read.isMismatch
  reading.tier = read.tier || reading.tier
  reading.hasContent = true
  reading.isFinished = true
}
