/** Every exchange of the fixtures, through the whole proxy: the record in Postgres says what was on the wire. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { bodyOf } from "../../src/cli/verify/recorded-exchange.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type FakeProvider, type FakeRequest, startFakeProvider } from "../support/fake-provider.ts"
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
    const { body, isForm } = requestOf(exchange)
    const response = await fetch(`${app.url}/${exchange.provider}${exchange.path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, ...(isForm ? {} : { "content-type": "application/json" }) },
      body,
    })
    const bytes = Buffer.from(await response.arrayBuffer().catch(() => new ArrayBuffer()))
    const received = provider.requests.at(-1)
    if (received === undefined) throw new Error(`${exchange.name} reached no provider: ${bytes.toString()}`)
    played.set(exchange.name, {
      id: response.headers.get("x-request-id") ?? "",
      status: response.status,
      body: bytes,
      received,
    })
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
