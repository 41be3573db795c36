/**
 * The one table of error codes: HTTP status and OpenAI error type of everything that Tallygate itself refuses.
 * A code is stable; its sentence may change. Types follow the OpenAI API, since its SDKs branch on them.
 */
export const ERROR_TABLE = {
  invalid_api_key: { status: 401, type: "invalid_request_error" },
  login_failed: { status: 401, type: "invalid_request_error" },
  not_logged_in: { status: 401, type: "invalid_request_error" },
  invalid_json: { status: 400, type: "invalid_request_error" },
  invalid_request: { status: 400, type: "invalid_request_error" },
  unknown_field: { status: 400, type: "invalid_request_error" },
  conflict: { status: 409, type: "invalid_request_error" },
  not_found: { status: 404, type: "invalid_request_error" },
  route_not_found: { status: 404, type: "invalid_request_error" },
  route_not_metered: { status: 403, type: "permission_error" },
  not_permitted: { status: 403, type: "permission_error" },
  csrf_refused: { status: 403, type: "permission_error" },
  too_many_attempts: { status: 429, type: "requests" },
  too_many_streams: { status: 503, type: "api_error" },
  endpoint_not_allowed: { status: 403, type: "permission_error" },
  address_not_allowed: { status: 403, type: "permission_error" },
  conflicting_api_keys: { status: 400, type: "invalid_request_error" },
  provider_credential_missing: { status: 401, type: "invalid_request_error" },
  wrong_api_for_model: { status: 400, type: "invalid_request_error" },
  provider_not_configured: { status: 404, type: "invalid_request_error" },
  object_not_found: { status: 404, type: "invalid_request_error" },
  object_not_permitted: { status: 403, type: "permission_error" },
  encryption_key_missing: { status: 409, type: "invalid_request_error" },
  provider_account_unavailable: { status: 503, type: "api_error" },
  object_store_unavailable: { status: 503, type: "api_error" },
  call_too_large: { status: 400, type: "invalid_request_error" },
  call_too_expensive: { status: 400, type: "invalid_request_error" },
  call_not_bounded: { status: 403, type: "permission_error" },
  unknown_user: { status: 400, type: "invalid_request_error" },
  method_not_allowed: { status: 405, type: "invalid_request_error" },
  model_not_found: { status: 404, type: "invalid_request_error" },
  model_not_allowed: { status: 403, type: "permission_error" },
  model_not_priced: { status: 403, type: "permission_error" },
  request_too_large: { status: 413, type: "invalid_request_error" },
  request_timeout: { status: 408, type: "invalid_request_error" },
  unsupported_encoding: { status: 415, type: "invalid_request_error" },
  rate_limit_exceeded: { status: 429, type: "requests" },
  insufficient_quota: { status: 429, type: "insufficient_quota" },
  upstream_auth_failed: { status: 502, type: "api_error" },
  upstream_error: { status: 502, type: "api_error" },
  upstream_timeout: { status: 504, type: "timeout" },
  quota_store_unavailable: { status: 503, type: "api_error" },
  usage_store_unavailable: { status: 503, type: "api_error" },
  usage_store_full: { status: 503, type: "api_error" },
  identity_store_unavailable: { status: 503, type: "api_error" },
  shutting_down: { status: 503, type: "api_error" },
  internal_error: { status: 500, type: "api_error" },
} as const satisfies Record<string, { status: number; type: string }>

export type ErrorCode = keyof typeof ERROR_TABLE

/**
 * An error with a public sentence for the caller (what was wrong and the next step), a stable code, and a cause for the
 * log. Returned where it is expected; thrown only in `admin`, where one place renders it.
 */
export class ApiError extends Error {
  readonly code: ErrorCode
  readonly param: string | null
  /** Overrides the table's type, where the same code has several (rate limits name what ran out). */
  readonly type: string
  readonly status: (typeof ERROR_TABLE)[ErrorCode]["status"]
  readonly headers: readonly (readonly [string, string])[]
  /** The whole body, where the words are a provider's own; null for ours. */
  readonly body: object | null

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      param?: string
      type?: string
      headers?: readonly (readonly [string, string])[]
      body?: object
      cause?: unknown
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = "ApiError"
    this.code = code
    this.param = options.param ?? null
    this.status = ERROR_TABLE[code].status
    this.type = options.type ?? ERROR_TABLE[code].type
    this.headers = options.headers ?? []
    this.body = options.body ?? null
  }

  /** The body in OpenAI's shape. */
  toJson(): { error: { message: string; type: string; param: string | null; code: string } } {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.code } }
  }
}
