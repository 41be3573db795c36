/** One call on its way through the data plane: what is known of it so far. Created on arrival, read by every step. */
import type { IncomingMessage, ServerResponse } from "node:http"
import type { HeldCall } from "../admission/admit.ts"
import type { CounterState } from "../admission/limit-store.ts"
import type { CallEstimate } from "../admission/limits.ts"
import type { LimitWarning } from "../admission/passed-limits.ts"
import type { ProviderObject } from "../identity/provider-object.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import type { UsageRecord } from "../ledger/usage-record.ts"
import type { Usage } from "../metering/usage.ts"
import type { ApiError } from "../platform/error-table.ts"
import type { EffectiveCost } from "../pricing/effective-price.ts"
import type { Reading, RequestFacts, RequestForm } from "../providers/dialect.ts"
import { type Endpoint, unmetered } from "../providers/endpoint.ts"
import type { ProviderAccount, Route } from "../providers/router.ts"
import type { CallerCredential } from "./credential.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Door } from "./open-door.ts"
import type { OutputSlices } from "./output-slices.ts"

export type Call = {
  /** UUIDv7: the record's id, the hold's id and the answer's `x-request-id`. */
  readonly id: string
  readonly door: Door
  /** The door's endpoint, or what stands for one where nobody here can meter the call. */
  readonly endpoint: Endpoint
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Epoch milliseconds of the arrival. */
  readonly arrivedMs: number
  /** The same instant on the monotonic clock, for durations. */
  readonly startedMs: number
  key: VirtualKey | null
  /** The caller's own provider credential, beside its virtual key. Never stored, never logged. */
  callerCredential: CallerCredential | null
  admitted: Admitted | null
  /** What this call has made and whose usage is booked apart from it, since it may come later; null for nearly all. */
  awaited: ProviderObject | null
  /** Objects that nobody made here and that this call names: its key's, if the provider answers for them. */
  readonly unowned: ProviderObject[]
  /** What the answer's header said it cost, so that the record need not work it out again; null where none said so. */
  quote: Quote | null
}

export type Quote = { readonly usage: Usage; readonly priced: EffectiveCost }

/** What admission gave the call; from here on the exit must settle. */
export type Admitted = {
  readonly held: HeldCall
  readonly counters: readonly CounterState[]
  /** Soft limits that the call has brought to their first threshold, or beyond it. */
  readonly warnings: readonly LimitWarning[]
  readonly route: Route
  /** The account at the provider that pays. */
  readonly account: ProviderAccount
  readonly facts: RequestFacts
  readonly body: Buffer
  readonly form: RequestForm
  /** The most output that the provider is asked for, where a cap or a limit says less than the caller; null elsewhere. */
  readonly outputTokensMax: number | null
  /** It is what a limit has room for, or what is held for a call that left its output open. */
  readonly isShortened: boolean
  /** What is held, where the call cannot use more; null where it might. */
  readonly most: CallEstimate | null
  /** The provider object that the call names; null where it names none, or one that no key made. */
  readonly object: ProviderObject | null
  /** The record this call becomes if the process dies now; completed on the way out. */
  readonly record: UsageRecord
  /** Of a stream whose output is held in slices; null for all others. */
  readonly slices: OutputSlices | null
  /** The part of the record's text that does not change any more. */
  readonly subject: string
}

/** How a call's way through the data plane ended. */
export type Ending =
  | { readonly kind: "refused"; readonly error: ApiError; readonly reason: string }
  | { readonly kind: "left" }
  | { readonly kind: "answered"; readonly answer: Answer }

export type Refused = Extract<Ending, { readonly kind: "refused" }>

/** What came of forwarding. */
export type Answer = {
  readonly reading: Reading
  /** The upstream's status; 0 where it gave none. */
  readonly upstreamStatus: number
  /** Refusal to send in place of an answer; null where the upstream's own was relayed. */
  readonly error: ApiError | null
  readonly endState: "complete" | "client_abort" | "upstream_error" | "timeout" | "cut"
  /** Why Tallygate itself ended the stream; '' where it did not. */
  readonly cutBy: "" | "budget"
  /** The caller left, and the answer was read to its usage. */
  readonly isDrained: boolean
  /** The request may have reached the provider's meter although nothing was reported. */
  readonly mayBeBilled: boolean
  readonly errorCode: string
  readonly providerRequestId: string
  readonly forwardedMs: number
  readonly headMs: number | null
  readonly firstContentMs: number | null
  readonly endedMs: number
  readonly responseBytes: number
}

export function openCall(plane: DataPlane, door: Door, request: IncomingMessage, response: ServerResponse): Call {
  const arrivedMs = plane.clock.nowMs()
  return {
    id: plane.mintId(arrivedMs),
    door,
    endpoint: door.match?.endpoint ?? unmetered(door.api),
    request,
    response,
    arrivedMs,
    startedMs: performance.now(),
    key: null,
    callerCredential: null,
    admitted: null,
    awaited: null,
    unowned: [],
    quote: null,
  }
}
