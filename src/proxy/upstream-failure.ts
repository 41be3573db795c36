/** What a call that failed on the way to its provider means for the caller. */
import { ApiError } from "../platform/error-table.ts"

export type Failure = { readonly error: ApiError; readonly isTimeout: boolean }

/** The codes of time-outs: to connect, to the first byte, between two bytes of the answer, and for a connection's turn. */
const TIMEOUTS: Readonly<Record<string, string>> = {
  UPSTREAM_CONNECT_TIMEOUT: "could not be reached in time (timeouts.connect_ms)",
  UPSTREAM_HEAD_TIMEOUT: "did not begin to answer in time (timeouts.first_byte_ms)",
  UPSTREAM_IDLE_TIMEOUT: "stopped in the middle of its answer (timeouts.idle_ms)",
  UPSTREAM_QUEUE_TIMEOUT: "had no connection free in time (timeouts.first_byte_ms)",
}

export function failureOf(cause: Error, providerName: string): Failure {
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : ""
  const timeout = TIMEOUTS[code]
  if (timeout !== undefined) {
    const error = new ApiError("upstream_timeout", `The provider \`${providerName}\` ${timeout}.`, { cause })
    return { error, isTimeout: true }
  }
  return { error: errorOf(code, cause, providerName), isTimeout: false }
}

function errorOf(code: string, cause: Error, providerName: string): ApiError {
  switch (code) {
    case "UPSTREAM_REQUEST_INVALID":
      return new ApiError("invalid_request", `This call cannot be forwarded. ${cause.message} Nothing was sent.`, {
        cause,
      })
    case "UPSTREAM_SHUT_DOWN": {
      const headers = [["retry-after", "1"]] as const
      return new ApiError("shutting_down", "This proxy is shutting down; please try again.", { headers, cause })
    }
    case "UPSTREAM_QUEUE_FULL": {
      const message = `Too many calls wait for the provider \`${providerName}\`. Nothing was sent; please try again later.`
      return new ApiError("upstream_error", message, { headers: [["retry-after", "1"]], cause })
    }
    default: {
      const shown = code === "" ? "" : ` (${code})`
      const message = `The connection to the provider \`${providerName}\` failed${shown}. The call may be tried again.`
      return new ApiError("upstream_error", message, { cause })
    }
  }
}
