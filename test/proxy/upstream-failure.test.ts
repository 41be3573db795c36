import { expect, test } from "vitest"
import { UpstreamError } from "../../src/providers/upstream-error.ts"
import { failureOf } from "../../src/proxy/upstream-failure.ts"

test.each([
  ["UPSTREAM_CONNECT_TIMEOUT", "upstream_timeout", "timeouts.connect_ms", true],
  ["UPSTREAM_HEAD_TIMEOUT", "upstream_timeout", "timeouts.first_byte_ms", true],
  ["UPSTREAM_IDLE_TIMEOUT", "upstream_timeout", "timeouts.idle_ms", true],
  ["UPSTREAM_QUEUE_TIMEOUT", "upstream_timeout", "no connection free", true],
  ["UPSTREAM_QUEUE_FULL", "upstream_error", "Nothing was sent", false],
  ["UPSTREAM_REQUEST_INVALID", "invalid_request", "the header x-odd", false],
  ["UPSTREAM_SHUT_DOWN", "shutting_down", "shutting down", false],
  ["UPSTREAM_CLOSED", "upstream_error", "(UPSTREAM_CLOSED)", false],
] as const)("%s is told to the caller as %s with what to look at", (code, told, text, isTimeout) => {
  const failure = failureOf(new UpstreamError(code, "Look at the header x-odd."), "openai")
  expect(failure).toMatchObject({ error: { code: told }, isTimeout })
  expect(failure.error.message).toContain(text)
})

test("a failure that only the system names keeps its code, and nothing of the address", () => {
  const cause = Object.assign(new Error("connect ECONNREFUSED 10.0.0.7:443"), { code: "ECONNREFUSED" })
  const { error } = failureOf(cause, "openai")
  expect(error.message).toBe(
    "The connection to the provider `openai` failed (ECONNREFUSED). The call may be tried again.",
  )
})
