/**
 * Carries an upstream's answer to the caller: a handler that writes each chunk on as it comes, pauses the
 * upstream while the caller is slow, and reads usage on the side. When the caller leaves, the answer is read on for a
 * bounded time, since the provider bills it anyway and only its last event says how much.
 */
import type { ServerResponse } from "node:http"
import { ApiError } from "../platform/error-table.ts"
import { type Dialect, newReading } from "../providers/dialect.ts"
import type { Http1Call, Http1Handler } from "../providers/http1-call.ts"
import { readResponseHead } from "../providers/upstream-headers.ts"
import { AnswerReader } from "./answer-reader.ts"
import { AnswerWriter } from "./answer-writer.ts"
import type { Answer } from "./call.ts"
import type { DrainGate } from "./drain-gate.ts"
import { type Failure, failureOf } from "./upstream-failure.ts"

export type RelayOptions = {
  readonly response: ServerResponse
  readonly dialect: Dialect
  /** Our own headers for the answer, a flat list of names and values. */
  readonly ownHeaders: readonly string[]
  readonly hidesUsage: boolean
  readonly providerName: string
  readonly drainMs: number
  readonly drains: DrainGate
  readonly onEnd: (answer: Answer) => void
}

const LEFT = new Error("The caller left.")

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
  #isSse = false
  #isEnded = false
  #status = 0
  #requestId = ""
  #headMs: number | null = null
  #firstContentMs: number | null = null
  #bytes = 0

  constructor(options: RelayOptions) {
    this.#options = options
    this.#writer = new AnswerWriter(options.response)
    options.response.once("close", () => this.#onCallerClosed())
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
    if (status === 401 || status === 403) return
    this.#isRelayed = true
    this.#isSse = head.contentType.startsWith("text/event-stream")
    const { dialect, hidesUsage, response, ownHeaders } = this.#options
    this.#reader = new AnswerReader(dialect, this.#reading, {
      isSse: this.#isSse,
      encoding: head.contentEncoding,
      hidesUsage,
    })
    if (this.#isCallerGone) return
    const headers = this.#reader.changesLength ? withoutLength(head.headers) : head.headers
    if (status >= 400) headers.push("x-tallygate-error-source", "upstream")
    this.#writer.begin(status, ownHeaders.concat(headers), this.#isSse)
    response.on("drain", () => {
      // Later the connection to the upstream is somebody else's.
      if (!this.#isEnded) this.#call?.resume()
    })
  }

  onData(chunk: Buffer): boolean {
    this.#bytes += chunk.length
    if (this.#reader === null) return true
    const shown = this.#reader.push(chunk)
    if (this.#firstContentMs === null && (this.#reading.hasContent || !this.#isSse)) {
      this.#firstContentMs = performance.now()
    }
    if (this.#isCallerGone || shown.length === 0) return true
    return this.#writer.write(shown)
  }

  onComplete(): void {
    const rest = this.#reader?.end() ?? null
    if (this.#isRelayed && !this.#isCallerGone) {
      if (rest !== null && rest.length > 0) this.#writer.write(rest)
      this.#options.response.end()
    }
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
    const failure = failureOf(cause, this.#options.providerName)
    // What the reader still holds back is half an event, which no client could read.
    this.#reader?.end()
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
    this.#hadUsageBefore = this.#reading.usage !== null
    // What has not been sent is not sent any more.
    if (this.#isConnected && this.#options.drainMs > 0 && this.#options.drains.enter()) {
      this.#drainTimer = setTimeout(() => this.#call?.abort(LEFT), this.#options.drainMs)
      this.#call?.resume()
    } else this.#call?.abort(LEFT)
  }

  #finish(end: Pick<Answer, "endState" | "error" | "errorCode" | "mayBeBilled">): void {
    if (this.#isEnded) return
    this.#isEnded = true
    if (this.#drainTimer !== null) {
      clearTimeout(this.#drainTimer)
      this.#options.drains.leave()
    }
    this.#options.onEnd({
      ...end,
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
