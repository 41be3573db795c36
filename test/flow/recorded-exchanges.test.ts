/** Every exchange of the fixtures, through the whole proxy: the record in Postgres says what was on the wire. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { bodyOf } from "../../src/cli/verify/recorded-exchange.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type FakeProvider, type FakeRequest, startFakeProvider } from "../support/fake-provider.ts"
import { rawRequest } from "../support/http-client.ts"
import {
  exchangesConfig,
  expectedRecord,
  playableExchanges,
  recorded,
  requestOf,
} from "../support/recorded-exchanges.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"

const exchanges = await playableExchanges()
type Played = { readonly id: string; readonly status: number; readonly body: Buffer; readonly received: FakeRequest }

let provider: FakeProvider
let app: TestApp
const played = new Map<string, Played>()
let records: Map<string, UsageRecord>

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(exchangesConfig(provider.origin))
  const { key } = await app.createKey()
  for (const exchange of exchanges) {
    const { status, headers } = exchange.response
    provider.enqueue({ status, headers, body: bodyOf(exchange) })
    const { body, contentType } = await requestOf(exchange)
    const response = await rawRequest({
      ...{ port: app.port, method: "POST", path: `/${exchange.provider}${exchange.path}`, body },
      headers: ["authorization", `Bearer ${key}`, "content-type", contentType],
    })
    const received = provider.requests.at(-1)
    if (received === undefined) throw new Error(`${exchange.name} reached no provider: ${response.bodyBytes}`)
    const id = response.rawHeaders[response.rawHeaders.indexOf("x-request-id") + 1] ?? ""
    played.set(exchange.name, { id, status: response.status, body: response.bodyBytes, received })
    provider.reset()
  }
  records = new Map((await app.records(exchanges.length)).map((record) => [record.id, record]))
})
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

describe.each(exchanges.map((exchange) => [exchange.name, exchange] as const))("%s", (name, exchange) => {
  test("is on the record as it was on the wire", () => {
    const { id, status, received } = played.get(name) as Played
    expect(status).toBe(exchange.response.status)
    expect(received.path.replace(/%3A/gi, ":")).toBe(exchange.path.replace(/%3A/gi, ":"))
    expect(JSON.stringify(received.headers)).toContain(`canary-of-${exchange.provider}`)
    expect(recorded(records.get(id) ?? {})).toMatchObject(expectedRecord(exchange))
  })
  test("reaches the caller as it came", () => {
    const { body, received } = played.get(name) as Played
    const answer = bodyOf(exchange)
    const options = received.json.stream_options as { include_usage?: boolean } | undefined
    const asked = (exchange.request as { stream_options?: object } | null)?.stream_options !== undefined
    // The usage event that was asked for on the caller's behalf is all that may be missing.
    if (options === undefined || asked) expect(body.equals(answer)).toBe(true)
    else expect(answer.toString()).toContain(body.toString().replace("data: [DONE]\n\n", ""))
  })
})

test("the usage of a stream is asked for on the caller's behalf, but of an API that does not know the question", () => {
  const asked = (name: string) => played.get(name)?.received.json.stream_options
  expect(asked("openai-chat-stream-unasked")).toEqual({ include_usage: true })
  expect(asked("azure-chat-stream-older")).toBeUndefined()
})

test("a key of Azure's travels in Azure's header to a deployment, and as a bearer to its newer API", () => {
  const headers = (name: string) => played.get(name)?.received.headers
  expect(headers("azure-chat-router")).toMatchObject({ "api-key": "canary-of-azure" })
  expect(headers("azure-chat-router")).not.toHaveProperty("authorization")
  expect(headers("azure-responses")).toMatchObject({ authorization: "Bearer canary-of-azure" })
})
