/**
 * An error in the shape of the API that the caller speaks, so that its SDK shows and handles it like the provider's own.
 * OpenAI: `{error: {message, type, param, code}}`. Anthropic: `{type: "error", error: {type, message}, request_id}`.
 * Google: `{error: {code, message, status, details}}` with google.rpc.ErrorInfo and RetryInfo. Cohere: `{id, message}`.
 * Bedrock: `{__type, message}`. Ollama: `{error}`. ElevenLabs: `{detail: {status, message}}`.
 */
import type { ApiError } from "../platform/error-table.ts"
import type { Api } from "../providers/dialect.ts"

const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  504: "timeout_error",
}

/** Exceptions of Bedrock's runtime, by the status that each comes with. */
const AWS_TYPES: Readonly<Record<number, string>> = {
  401: "AccessDeniedException",
  403: "AccessDeniedException",
  404: "ResourceNotFoundException",
  429: "ThrottlingException",
  500: "InternalServerException",
  502: "ModelErrorException",
  503: "ServiceUnavailableException",
  504: "ModelTimeoutException",
}

/** Names of google.rpc.Code, by the HTTP status that each maps to. */
const GOOGLE_STATUSES: Readonly<Record<number, string>> = {
  400: "INVALID_ARGUMENT",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  405: "UNIMPLEMENTED",
  409: "ABORTED",
  429: "RESOURCE_EXHAUSTED",
  500: "INTERNAL",
  503: "UNAVAILABLE",
  504: "DEADLINE_EXCEEDED",
}

/** The body of an error answer. `requestId` is the answer's `x-request-id`. */
export function errorBody(api: Api, error: ApiError, requestId: string): object {
  switch (api) {
    case "openai":
      return error.toJson()
    case "anthropic":
      return anthropicError(error, requestId)
    case "google":
      return googleError(error, requestId)
    case "cohere":
      return { id: requestId, message: error.message, code: error.code }
    case "bedrock":
      return { __type: AWS_TYPES[error.status] ?? "ValidationException", message: error.message, reason: error.code }
    case "ollama":
      return { error: error.message, code: error.code }
    case "elevenlabs":
      return { detail: { status: error.code, message: error.message } }
  }
}

function anthropicError(error: ApiError, requestId: string): object {
  const { message, code, param } = error
  const type = ANTHROPIC_TYPES[error.status] ?? (error.status < 500 ? "invalid_request_error" : "api_error")
  return { type: "error", error: { type, message, code, ...(param === null ? {} : { param }) }, request_id: requestId }
}

function googleError(error: ApiError, requestId: string): object {
  const { message, status: code } = error
  const status = GOOGLE_STATUSES[code] ?? (code < 500 ? "INVALID_ARGUMENT" : "INTERNAL")
  const metadata = { request_id: requestId, ...(error.param === null ? {} : { param: error.param }) }
  const info = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    reason: error.code,
    domain: "tallygate",
    metadata,
  }
  const seconds = error.headers.find(([name]) => name === "retry-after")?.[1]
  const retry = { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: `${seconds}s` }
  return { error: { code, message, status, details: seconds === undefined ? [info] : [info, retry] } }
}
