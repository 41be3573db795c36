/**
 * A wire dialect: where the model, the bounds, the usage and the errors stand in one provider API, and what must be
 * added to a request so that usage is reported. One file per dialect implements it; nothing outside knows a wire shape.
 */
import type { DIALECTS } from "../identity/provider-account.ts"
import type { EventMessage } from "../metering/event-stream.ts"
import type { Usage } from "../metering/usage.ts"
import type { EventShape } from "./openai-event-shape.ts"
import type { BoundQuestion, RequestBound } from "./request-bound.ts"
import type { StreamEnd } from "./stream-end.ts"

/** Whose API is spoken: decides how errors look, how a credential travels, and which providers can serve a call. */
export type Api = (typeof DIALECTS)[number]
/** Spoken at paths without a provider's name, where the model that is asked for decides who that is. */
export type SharedApi = "openai" | "anthropic" | "google"

/** What is known of a request besides its body. */
export type RequestForm = {
  /** The model where the path names it (Google); null where the body does. */
  readonly model: string | null
  /** Whether a stream is asked for, where the path says so (Google); null where the body does. */
  readonly isStream: boolean | null
  /** The request's `content-type`, which holds the boundary of a multipart body. */
  readonly contentType: string
}

/** A quantity that is not tokens: what the request itself says it uses, for answers that report nothing. */
export type Units = {
  readonly quantity: number
  /** With what a price may depend on behind it: `images:hd:1024x1792`. */
  readonly unitType: "characters" | "seconds" | "images" | `images:${string}`
}

/** What Tallygate must know of a request before it is forwarded. */
export type RequestFacts = {
  /** '' where a request names none. */
  readonly model: string
  readonly isStream: boolean
  /** The caller itself asked for the usage event, so it is not hidden from it. */
  readonly asksUsage: boolean
  /** Upper bound of output tokens that the caller set, over all choices; null where it set none. */
  readonly outputTokensMax: number | null
  /** How many answers share that bound; one where it is absent. */
  readonly choices?: number
  readonly tier: string
  /** The caller's own user, from the body; '' where it names none. */
  readonly endCustomer: string
  /** The conversation that the body names; '' where it names none. */
  readonly conversation: string
  /** Null where the call is billed by tokens, or where only the answer can say. */
  readonly units: Units | null
  /** No provider bills such a call (moderations, counting tokens). */
  readonly isFree: boolean
}

/** A call about what a provider has already: it names no model, and nobody bills it. */
export const FREE_FACTS: RequestFacts = Object.freeze({
  model: "",
  isStream: false,
  asksUsage: true,
  outputTokensMax: 0,
  tier: "",
  endCustomer: "",
  conversation: "",
  units: null,
  isFree: true,
})

export type ReadRequest =
  | {
      readonly kind: "read"
      readonly facts: RequestFacts
      /** The body without what stands in its arrays, where it was read. */
      readonly outline?: Readonly<Record<string, unknown>>
    }
  | {
      readonly kind: "invalid"
      readonly code: "invalid_json" | "invalid_request"
      readonly message: string
      readonly param?: string
    }

/** How the request leaves: under which model name, and with what added. */
export type Rewrite = {
  readonly model: string
  readonly injectsUsage: boolean
  /** The most output, over all choices, that the provider is to be asked for; null leaves the caller's own. */
  readonly outputTokensMax: number | null
}

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
  /** Ids of containers that the provider made for the call, or went on using. */
  containers: string[]
  /** The provider is still at work and reports usage later, to whoever asks for the object again. */
  isPending: boolean
  /** The provider's own cost, decimal dollars; null where it reports none. */
  costUsd: string | null
  /** What another bill than the provider's has of the same answer, in its own words; null where it speaks of none. */
  costElsewhereUsd: string | null
  /** What the answer itself says it made of what is billed by the piece; null where it says nothing. */
  made: Units | null
  /** What the answer's headers say was cached of the input; null where they say nothing. */
  cachedInHead: number | null
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
  /** Requests may come as a form in parts; of all others such a body is refused, since it would be read in two ways. */
  readonly takesForms?: true
  /** Usage that is reported before an answer's end counts its input alone. */
  readonly reportsOutputLast?: true
  /** Reads the request's facts. Errors are for the caller: what is wrong and where. */
  readRequest(body: Buffer, form: RequestForm): ReadRequest
  /** What the request can use at most, as far as its bytes tell. Never throws. */
  bound(question: BoundQuestion): RequestBound
  /** The body to send upstream: the caller's own bytes but for the splices that `rewrite` needs. */
  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite, form: RequestForm): Buffer
  /** Reads a whole JSON answer into the reading. Never throws: hostile bodies read as nothing. */
  readAnswer(body: Buffer, reading: Reading): void
  /** Reads one line of an answer in JSON lines; absent where a dialect has no such answers. Never throws. */
  readLine?(line: string, reading: Reading): void
  /** Content types whose answers come in lines, where others of the dialect do not. */
  readonly lineTypes?: RegExp
  /** Reads one message of an answer in Amazon's event stream encoding; absent likewise. Never throws. */
  readMessage?(message: EventMessage, reading: Reading): void
  /** Reads what the answer's headers count; `header` is '' where there is none of the name. Absent where none does. */
  readHead?(header: (name: string) => string, reading: Reading): void
  /** Reads one SSE event into the reading. Never throws. */
  readEvent(data: string, reading: Reading): StreamEvent
  /** What ends a stream of this dialect before its provider does; absent where nothing can. */
  streamEnd?(facts: RequestFacts): StreamEnd
  /** One SSE event, in the dialect's own shape, that tells the caller that the stream failed. */
  streamError(message: string, code: string): string
}

/** Output text kept for an estimate, in characters; beyond it the estimate extrapolates by nothing and says less. */
export const OUTPUT_TEXT_MAX = 512 * 1024

/** How often a stream may change what its events have in common; after that they are parsed. */
const LEARNS_MAX = 8

/** Notes a container that an answer names. */
export function addContainer(id: string, reading: Reading): void {
  if (id !== "" && reading.containers.length < CONTAINERS_MAX && !reading.containers.includes(id)) {
    reading.containers.push(id)
  }
}

/** One call has one container for each of its tools. */
const CONTAINERS_MAX = 32

/** Adds visible output to the reading, up to the bound. */
export function addOutput(text: string, reading: Reading): void {
  if (text === "") return
  reading.hasContent = true
  if (reading.outputText.length < OUTPUT_TEXT_MAX) reading.outputText += text
}

export function newReading(): Reading {
  return {
    usage: null,
    usageRaw: null,
    isMismatch: false,
    model: "",
    tier: "",
    responseId: "",
    containers: [],
    isPending: false,
    costUsd: null,
    costElsewhereUsd: null,
    made: null,
    cachedInHead: null,
    outputText: "",
    hasContent: false,
    isFinished: false,
    hasError: false,
    repeated: { shape: null, tier: "", learnsLeft: LEARNS_MAX },
  }
}
