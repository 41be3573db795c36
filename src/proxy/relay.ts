/**
 * Carries an upstream's answer to the caller: a handler that writes each chunk on as it comes, pauses the
 * upstream while the caller is slow, and reads usage on the side. When the caller leaves, the answer is read on for a
 * bounded time, since the provider bills it anyway and only its last event says how much.
 */
import type { ServerResponse } from "node:http"
import { ApiError } from "../platform/error-table.ts"
import { type Dialect, newReading, type Reading } from "../providers/dialect.ts"
import type { Http1Call, Http1Handler } from "../providers/http1-call.ts"
import type { StreamEnd } from "../providers/stream-end.ts"
import { type ResponseHead, readResponseHead } from "../providers/upstream-headers.ts"
import { AnswerReader } from "./answer-reader.ts"
import { AnswerWriter } from "./answer-writer.ts"
import type { Answer } from "./call.ts"
import type { DrainGate } from "./drain-gate.ts"
import type { OutputSlices } from "./output-slices.ts"
import { type Failure, failureOf } from "./upstream-failure.ts"

export type RelayOptions = {
  readonly response: ServerResponse
  readonly dialect: Dialect
  /** Our own headers for the answer, a flat list of names and values. */
  readonly ownHeaders: readonly string[]
  /** Where a 401 or 403 speaks of a credential of ours, so that its text is not for the caller. */
  readonly isOurCredential: boolean
  /** What is done with a whole answer before it leaves; null where every answer is relayed as it comes. */
  readonly held: HeldAnswers | null
  /** Changes the provider's headers in place before they leave; null where none of them would be changed. */
  readonly adaptHeaders: ((headers: string[]) => void) | null
  /** Told the id of what the provider makes, as soon as a stream names it; null where nobody asks. */
  readonly onNamed: ((id: string, reading: Reading) => void) | null
  readonly hidesUsage: boolean
  /** Of a stream whose output is held as it flows, what ends it; null where all of it is held. */
  readonly slices: SlicedStream | null
  readonly providerName: string
  readonly drainMs: number
  readonly drains: DrainGate
  readonly onEnd: (answer: Answer) => void
}

export type SlicedStream = { readonly slices: OutputSlices; readonly streamEnd: StreamEnd }

/** An answer that is held until it is whole. */
export type HeldAnswers = {
  /** Most bytes to hold of an answer with this head; 0 relays it as it comes. */
  bytesMax(status: number, head: ResponseHead): number
  /** Whether an answer that grows beyond that fails, since nobody has looked at it; else it goes on its way. */
  readonly isRequired: boolean
  /** What leaves in its place: further headers for it, and the body. */
  finish(status: number, body: Buffer, reading: Reading): Held | Promise<Held>
}

export type Held = { readonly headers: readonly string[]; readonly body: Buffer }

const EVENT_STREAM = /^\s*text\/event-stream\b/i
const LEFT = new Error("The caller left.")
const CUT = new Error("A limit has no room for more of this answer.")

export class Relay implements Http1Handler {
  readonly #options: RelayOptions
  readonly #writer: AnswerWriter
  readonly #reading = newReading()
  readonly #forwardedMs = performance.now()
  #call: Http1Call | null = null
  #reader: AnswerReader | null = null
  #drainTimer: NodeJS.Timeout | null = null
  #isCallerGone = false
  #hadUsageBefore = false
  #isConnected = false
  #isRelayed = false
  #isNamed = false
  /** The head of an answer that waits for its body; null where it has left. */
  #waitingHead: string[] | null = null
  #held: Buffer[] = []
  #heldBytesMax = 0
  #isSse = false
  #isSliced = false
  #isEnded = false
  /** The stream waits until more is held for it. */
  #isStopped = false
  #cutBy: Answer["cutBy"] = ""
  #status = 0
  #requestId = ""
  #headMs: number | null = null
  #firstContentMs: number | null = null
  #bytes = 0

  constructor(options: RelayOptions) {
    this.#options = options
    this.#writer = new AnswerWriter(options.response)
    options.response.once("close", () => this.#onCallerClosed())
    options.slices?.slices.follow({ go: () => this.#goOn(), cut: () => queueMicrotask(() => this.#cut()) })
  }

  /** The call that may still wait for a connection; a caller who leaves takes it along. */
  follow(call: Http1Call): void {
    this.#call = call
  }

  onConnect(call: Http1Call): void {
    this.#isConnected = true
    this.#call = call
  }

  onHead(status: number, raw: string[]): void {
    const head = readResponseHead(raw)
    this.#headMs = performance.now()
    this.#status = status
    this.#requestId = head.requestId
    // Our credential was refused: the provider's text speaks of our account and is not for the caller.
    if ((status === 401 || status === 403) && this.#options.isOurCredential) return
    this.#isRelayed = true
    this.#isSse = EVENT_STREAM.test(head.contentType)
    const { dialect, hidesUsage, ownHeaders, slices } = this.#options
    this.#isSliced = slices !== null && this.#isSse && status < 400 && isPlain(head.contentEncoding)
    this.#reader = new AnswerReader(dialect, this.#reading, {
      isSse: this.#isSse,
      contentType: head.contentType,
      encoding: head.contentEncoding,
      hidesUsage,
      streamEnd: this.#isSliced ? (slices?.streamEnd ?? null) : null,
    })
    if (!this.#isSliced && status < 400) slices?.slices.holdRest()
    dialect.readHead?.((name) => headerIn(raw, name), this.#reading)
    if (this.#isCallerGone) return
    const headers = this.#reader.changesLength ? withoutLength(head.headers) : head.headers
    this.#options.adaptHeaders?.(headers)
    if (status >= 400) headers.push("x-tallygate-error-source", "upstream")
    this.#heldBytesMax = this.#options.held?.bytesMax(status, head) ?? 0
    if (this.#heldBytesMax > 0) this.#waitingHead = ownHeaders.concat(headers)
    else this.#writer.begin(status, ownHeaders.concat(headers), this.#isSse)
  }

  onData(chunk: Buffer): boolean {
    this.#bytes += chunk.length
    if (this.#reader === null) return true
    const shown = this.#reader.push(chunk)
    if (!this.#isNamed && this.#reading.responseId !== "") this.#name()
    if (this.#firstContentMs === null && (this.#reading.hasContent || !this.#isSse)) {
      this.#firstContentMs = performance.now()
    }
    const mayGoOn = !this.#isSliced || this.#mayReadOn(this.#reader)
    if (this.#isCallerGone || shown.length === 0) return mayGoOn
    if (this.#waitingHead !== null) return this.#hold(this.#waitingHead, shown)
    return this.#write(shown) && mayGoOn
  }

  /** An event that has left in part is waited for: nothing else can follow it. */
  #mayReadOn(reader: AnswerReader): boolean {
    const mayGoOn = !reader.isBetweenEvents || this.#options.slices?.slices.mayReadOn(this.#reading) !== false
    this.#isStopped = !mayGoOn
    return mayGoOn
  }

  #goOn(): void {
    this.#isStopped = false
    if (!this.#isEnded && !this.#options.response.writableNeedDrain) this.#call?.resume()
  }

  /** False where the caller is slow: the answer goes on once it has read. */
  #write(shown: Buffer): boolean {
    if (this.#writer.write(shown)) return true
    this.#options.response.once("drain", () => {
      // Later the connection to the upstream is somebody else's.
      if (!this.#isEnded && !this.#isStopped) this.#call?.resume()
    })
    return false
  }

  /** Ends the stream in its own way, and leaves the provider. */
  #cut(): void {
    const { slices: sliced, response } = this.#options
    if (sliced === null || this.#isEnded || this.#cutBy !== "") return
    const { slices, streamEnd } = sliced
    this.#cutBy = "budget"
    if (!this.#isCallerGone) {
      this.#writer.write(Buffer.from(streamEnd.end(slices.cut, slices.usageSoFar(this.#reading))))
      response.end()
    }
    this.#call?.abort(CUT)
  }

  #name(): void {
    this.#isNamed = true
    this.#options.onNamed?.(this.#reading.responseId, this.#reading)
  }

  #hold(head: string[], shown: Buffer): boolean {
    this.#held.push(shown)
    if (this.#bytes <= this.#heldBytesMax) return true
    if (this.#options.held?.isRequired === true)
      throw new Error(`The answer is longer than ${this.#heldBytesMax} bytes.`)
    // Longer than announced, or than can be held: it goes on its way as it comes.
    this.#waitingHead = null
    this.#writer.begin(this.#status, head, false)
    return this.#write(Buffer.concat(this.#held.splice(0)))
  }

  onComplete(): void {
    const rest = this.#reader?.end() ?? null
    if (!this.#isNamed && this.#reading.responseId !== "") this.#name()
    const head = this.#waitingHead
    if (head === null || this.#isCallerGone) {
      if (this.#isRelayed && !this.#isCallerGone) {
        if (rest !== null && rest.length > 0) this.#writer.write(rest)
        this.#options.response.end()
      }
      this.#completed()
      return
    }
    const body = this.#held.length === 1 && this.#held[0] ? this.#held[0] : Buffer.concat(this.#held)
    const held = this.#options.held?.finish(this.#status, body, this.#reading)
    if (!(held instanceof Promise)) {
      this.#release(head, held ?? { headers: [], body })
      return
    }
    held.then(
      (whole) => this.#release(head, whole),
      (cause: Error) => {
        this.#waitingHead = null
        this.#isRelayed = false
        this.onError(cause)
      },
    )
  }

  #release(head: string[], { headers, body }: Held): void {
    const own = head.concat(headers)
    for (let i = 0; i < own.length; i += 2) if (own[i] === "content-length") own[i + 1] = String(body.length)
    this.#writer.whole(this.#status, own, body)
    this.#completed()
  }

  #completed(): void {
    const isRefusedCredential = !this.#isRelayed
    const error = isRefusedCredential ? credentialRefused(this.#options.providerName) : null
    const isFailed = this.#status >= 400
    this.#finish({
      endState: this.#isCallerGone ? "client_abort" : isFailed ? "upstream_error" : "complete",
      error,
      errorCode: isRefusedCredential ? "upstream_auth_failed" : isFailed ? `upstream_${this.#status}` : "",
      mayBeBilled: !isFailed,
    })
  }

  onError(cause: Error): void {
    if (this.#cutBy !== "") {
      const endState = this.#isCallerGone ? "client_abort" : "cut"
      this.#finish({ endState, error: null, errorCode: "", mayBeBilled: true })
      return
    }
    const failure = failureOf(cause, this.#options.providerName)
    // What the reader still holds back is half an event, which no client could read.
    this.#reader?.end()
    // Nothing has left yet: the caller can be told properly.
    if (this.#waitingHead !== null) this.#isRelayed = false
    if (this.#isRelayed && !this.#isCallerGone) this.#breakOff(failure)
    const isAnswered = this.#status > 0 && this.#status < 400
    this.#finish({
      endState: this.#isCallerGone ? "client_abort" : failure.isTimeout ? "timeout" : "upstream_error",
      error: this.#isRelayed ? null : failure.error,
      errorCode: this.#isCallerGone ? "" : failure.error.code,
      // A provider that was reached and then was silent, or was left, may have worked; one that broke off unheard did not.
      mayBeBilled: isAnswered || (this.#isConnected && (failure.isTimeout || this.#isCallerGone)),
    })
  }

  /** The head has left, so an error status can no longer be sent: a stream says it in an event, a body is cut short. */
  #breakOff(failure: Failure): void {
    const { response, dialect } = this.#options
    if (!this.#isSse) {
      response.destroy()
      return
    }
    // A blank line first, in case the stream broke off inside an event.
    response.end(`\n\n${dialect.streamError(failure.error.message, failure.error.code)}`)
  }

  #onCallerClosed(): void {
    if (this.#isEnded || this.#options.response.writableFinished) return
    this.#isCallerGone = true
    const isInputAlone = this.#options.dialect.reportsOutputLast === true && !this.#reading.isFinished
    this.#hadUsageBefore = this.#reading.usage !== null && !isInputAlone
    // What has not been sent is not sent any more.
    if (this.#isConnected && this.#options.drainMs > 0 && this.#options.drains.enter()) {
      this.#drainTimer = setTimeout(() => this.#call?.abort(LEFT), this.#options.drainMs)
      this.#call?.resume()
    } else this.#call?.abort(LEFT)
  }

  #finish(end: Pick<Answer, "endState" | "error" | "errorCode" | "mayBeBilled">): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#options.slices?.slices.close()
    if (this.#drainTimer !== null) {
      clearTimeout(this.#drainTimer)
      this.#options.drains.leave()
    }
    this.#options.onEnd({
      ...end,
      cutBy: this.#cutBy,
      reading: this.#reading,
      upstreamStatus: this.#status,
      isDrained: this.#isCallerGone && !this.#hadUsageBefore,
      providerRequestId: this.#requestId,
      forwardedMs: this.#forwardedMs,
      headMs: this.#headMs,
      firstContentMs: this.#firstContentMs,
      endedMs: performance.now(),
      responseBytes: this.#bytes,
    })
  }
}

/** Names are in lower case already. */
function headerIn(raw: readonly string[], name: string): string {
  for (let i = 0; i + 1 < raw.length; i += 2) if (raw[i] === name) return raw[i + 1] ?? ""
  return ""
}

function isPlain(encoding: string): boolean {
  return encoding === "" || encoding === "identity"
}

function withoutLength(headers: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i] !== "content-length") kept.push(headers[i] ?? "", headers[i + 1] ?? "")
  }
  return kept
}

function credentialRefused(providerName: string): ApiError {
  return new ApiError(
    "upstream_auth_failed",
    `The provider \`${providerName}\` refused Tallygate's own credential. Your key is fine; an admin must check the provider's api_key.`,
  )
}
