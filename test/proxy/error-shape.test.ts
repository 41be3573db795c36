import { describe, expect, test } from "vitest"
import { ApiError, ERROR_TABLE, type ErrorCode } from "../../src/platform/error-table.ts"
import { errorBody } from "../../src/proxy/error-shape.ts"

const ID = "0199-request"
const CODES = Object.keys(ERROR_TABLE) as ErrorCode[]
/** Names of google.rpc.Code that an error may have. */
const GOOGLE_CODES = [
  ...["INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "UNIMPLEMENTED", "ABORTED"],
  ...["RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"],
]

describe("OpenAI's shape", () => {
  test("has message, type, param and code", () => {
    const error = new ApiError("model_not_found", "No such model.", { param: "model" })
    expect(errorBody("openai", error, ID)).toEqual({
      error: { message: "No such model.", type: "invalid_request_error", param: "model", code: "model_not_found" },
    })
  })

  test("has a null param where none is to blame, and the type that the error names itself", () => {
    const error = new ApiError("rate_limit_exceeded", "Too many.", { type: "tokens" })
    expect(errorBody("openai", error, ID)).toMatchObject({ error: { param: null, type: "tokens" } })
  })
})

describe("Anthropic's shape", () => {
  test.each<[ErrorCode, string]>([
    ["invalid_request", "invalid_request_error"],
    ["invalid_api_key", "authentication_error"],
    ["model_not_allowed", "permission_error"],
    ["model_not_found", "not_found_error"],
    ["request_too_large", "request_too_large"],
    ["rate_limit_exceeded", "rate_limit_error"],
    ["upstream_timeout", "timeout_error"],
    ["conflict", "invalid_request_error"],
    ["unsupported_encoding", "invalid_request_error"],
    ["upstream_error", "api_error"],
    ["shutting_down", "api_error"],
  ])("of %s has the type %s, our code beside it, and the request's id", (code, type) => {
    expect(errorBody("anthropic", new ApiError(code, "Why."), ID)).toEqual({
      type: "error",
      error: { type, message: "Why.", code },
      request_id: ID,
    })
  })

  test("names the param where there is one", () => {
    const error = new ApiError("unknown_user", "Who?", { param: "x-tallygate-user" })
    expect(errorBody("anthropic", error, ID)).toMatchObject({ error: { param: "x-tallygate-user" } })
  })
})

describe("Google's shape", () => {
  const details = (reason: ErrorCode, metadata: object) => ({
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    reason,
    domain: "tallygate",
    metadata,
  })

  test("has the status as a number and as a name, and our code in ErrorInfo", () => {
    const error = new ApiError("unknown_user", "Who?", { param: "x-tallygate-user" })
    const info = details("unknown_user", { request_id: ID, param: "x-tallygate-user" })
    expect(errorBody("google", error, ID)).toEqual({
      error: { code: 400, message: "Who?", status: "INVALID_ARGUMENT", details: [info] },
    })
  })

  test("says in RetryInfo when to come again, as a duration", () => {
    const error = new ApiError("rate_limit_exceeded", "Later.", { headers: [["retry-after", "17"]] })
    const retry = { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "17s" }
    expect(errorBody("google", error, ID)).toEqual({
      error: {
        code: 429,
        message: "Later.",
        status: "RESOURCE_EXHAUSTED",
        details: [details("rate_limit_exceeded", { request_id: ID }), retry],
      },
    })
  })

  test.each<[ErrorCode, string]>([
    ["invalid_api_key", "UNAUTHENTICATED"],
    ["endpoint_not_allowed", "PERMISSION_DENIED"],
    ["object_not_found", "NOT_FOUND"],
    ["method_not_allowed", "UNIMPLEMENTED"],
    ["request_too_large", "INVALID_ARGUMENT"],
    ["insufficient_quota", "RESOURCE_EXHAUSTED"],
    ["internal_error", "INTERNAL"],
    ["upstream_error", "INTERNAL"],
    ["quota_store_unavailable", "UNAVAILABLE"],
    ["upstream_timeout", "DEADLINE_EXCEEDED"],
  ])("of %s has the status %s", (code, status) => {
    expect(errorBody("google", new ApiError(code, "Why."), ID)).toMatchObject({
      error: { code: ERROR_TABLE[code].status, status },
    })
  })
})

test.each(CODES)("%s keeps its message and its code in every shape, and its cause in none", (code) => {
  const error = new ApiError(code, "What was wrong.", { cause: new Error("a secret cause") })
  for (const api of ["openai", "anthropic", "google"] as const) {
    const body = errorBody(api, error, ID)
    expect(body).toMatchObject({ error: { message: "What was wrong." } })
    expect(JSON.stringify(body)).toContain(`"${code}"`)
    expect(JSON.stringify(body)).not.toContain("secret")
  }
  const google = errorBody("google", error, ID) as { error: { code: number; status: string } }
  expect(GOOGLE_CODES).toContain(google.error.status)
  expect(google.error.code).toBe(error.status)
})
