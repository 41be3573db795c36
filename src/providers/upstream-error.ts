/**
 * How a call to a provider fails before its answer is whole, when it is not the system that names the failure: codes
 * of the system (ECONNREFUSED, ECONNRESET, ENOTFOUND, those of TLS) are passed on as they are.
 */

export type UpstreamErrorCode =
  /** No connection came about in time. */
  | "UPSTREAM_CONNECT_TIMEOUT"
  /** The request is sent; the head of its answer did not come in time. */
  | "UPSTREAM_HEAD_TIMEOUT"
  /** Silence within an answer. */
  | "UPSTREAM_IDLE_TIMEOUT"
  /** The provider closed before the answer was whole. */
  | "UPSTREAM_CLOSED"
  /** The provider broke the protocol. */
  | "UPSTREAM_PROTOCOL"
  /** The request cannot be put on the wire; nothing was sent. */
  | "UPSTREAM_REQUEST_INVALID"
  /** All connections are busy and as many calls wait as may; nothing was sent. */
  | "UPSTREAM_QUEUE_FULL"
  /** All connections stayed busy for as long as the answer may take; nothing was sent. */
  | "UPSTREAM_QUEUE_TIMEOUT"
  /** We are shutting down. */
  | "UPSTREAM_SHUT_DOWN"

export class UpstreamError extends Error {
  readonly code: UpstreamErrorCode

  constructor(code: UpstreamErrorCode, message: string) {
    super(message)
    this.name = "UpstreamError"
    this.code = code
  }
}
