/**
 * A wire dialect: where the model, the bounds, the usage and the errors stand in one provider API, and what must be
 * added to a request so that usage is reported. One file per dialect implements it; nothing outside knows a wire shape.
 */
import type { Usage } from "../metering/usage.ts"
import type { EventShape } from "./openai-event-shape.ts"

/** What Tallygate must know of a request before it is forwarded. */
export type RequestFacts = {
  readonly model: string
  readonly isStream: boolean
  /** The caller itself asked for the usage event, so it is not hidden from it. */
  readonly asksUsage: boolean
  /** Upper bound of output tokens that the caller set, over all choices; null where it set none. */
  readonly outputTokensMax: number | null
  readonly tier: string
  /** The caller's own user, from the body; '' where it names none. */
  readonly endCustomer: string
}

export type ReadRequest =
  | { readonly kind: "read"; readonly facts: RequestFacts }
  | {
      readonly kind: "invalid"
      readonly code: "invalid_json" | "invalid_request"
      readonly message: string
      readonly param?: string
    }

/** How the request leaves: under which model name, and with what added. */
export type Rewrite = { readonly model: string; readonly injectsUsage: boolean }

/** What was read off an answer, as it came in. Mutable: one per call, filled event by event. */
export type Reading = {
  /** Null until the provider reported usage. */
  usage: Usage | null
  /** The provider's usage object as it stood on the wire. */
  usageRaw: unknown
  /** The classes do not add up to the provider's own total. */
  isMismatch: boolean
  model: string
  tier: string
  responseId: string
  /** The provider's own cost, decimal dollars; null where it reports none. */
  costUsd: string | null
  /** Visible output so far, kept only for an estimate in case no usage comes. Bounded. */
  outputText: string
  hasContent: boolean
  /** The answer ended in its dialect's own way (a whole JSON body, a stream's last event). */
  isFinished: boolean
  /** An error object stood in an answer whose status said success. */
  hasError: boolean
  /** What nearly all events of the stream have in common, so that they need no parsing. The dialect's own. */
  repeated: { shape: EventShape | null; tier: string; learnsLeft: number }
}

export type StreamEvent = {
  /** The event exists only because we asked for usage: it is not shown to a caller that did not ask. */
  readonly isInjectedUsage: boolean
}

export type Dialect = {
  /** Name on the usage record. */
  readonly name: string
  /** Reads the request's facts. Errors are for the caller: what is wrong and where. */
  readRequest(body: Buffer): ReadRequest
  /** The body to send upstream: the caller's own bytes but for the splices that `rewrite` needs. */
  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer
  /** Reads a whole JSON answer into the reading. Never throws: hostile bodies read as nothing. */
  readAnswer(body: Buffer, reading: Reading): void
  /** Reads one SSE event into the reading. Never throws. */
  readEvent(data: string, reading: Reading): StreamEvent
  /** One SSE event, in the dialect's own shape, that tells the caller that the stream failed. */
  streamError(message: string, code: string): string
}

/** Output text kept for an estimate, in characters; beyond it the estimate extrapolates by nothing and says less. */
export const OUTPUT_TEXT_MAX = 512 * 1024

/** How often a stream may change what its events have in common; after that they are parsed. */
const LEARNS_MAX = 8

export function newReading(): Reading {
  return {
    usage: null,
    usageRaw: null,
    isMismatch: false,
    model: "",
    tier: "",
    responseId: "",
    costUsd: null,
    outputText: "",
    hasContent: false,
    isFinished: false,
    hasError: false,
    repeated: { shape: null, tier: "", learnsLeft: LEARNS_MAX },
  }
}
