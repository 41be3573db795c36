/** Every way in which a provider's answer can be bent, through the whole proxy: the caller's bytes, and the record in Postgres. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { type HostileAnswer, hostileAnswers, WIRE_APIS, type WireApi } from "../support/hostile-wire.ts"
import { type RawResponse, rawRequest } from "../support/http-client.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"

let upstream: FakeUpstream
let app: TestApp
let key: string
const answers = new Map<string, RawResponse>()
const records = new Map<string, UsageRecord>()

const CASES = WIRE_APIS.flatMap((wire) => hostileAnswers(wire).map((answer) => ({ wire, answer })))
const nameOf = ({ wire, answer }: (typeof CASES)[number]) => `${wire.name}: ${answer.name}`

beforeAll(async () => {
  upstream = await startFakeUpstream()
  app = await startTestApp(`
providers:
  openai: { dialect: openai, base_url: ${upstream.origin}/v1, api_key: sk-1 }
  claude: { dialect: anthropic, base_url: ${upstream.origin}/v1, api_key: sk-2, priced_as: anthropic }
  gemini: { dialect: google, base_url: ${upstream.origin}/v1beta, api_key: sk-3, priced_as: google }
models:
  - { match: "claude-*", provider: claude }
  - { match: "gemini-*", provider: gemini }
  - { match: "*", provider: openai }
`)
  key = (await app.createKey()).key
  for (const one of CASES) answers.set(nameOf(one), await play(one.wire, one.answer))
  for (const record of await app.records(CASES.length)) records.set(record.id, record)
})
afterAll(async () => {
  await app?.close()
  await upstream?.stop()
})

/** Pieces of sizes that fall inside characters, line ends and words. */
function pieces(bytes: Buffer): Buffer[] {
  const size = bytes.length > 16_384 ? 65_521 : Math.max(1, Math.ceil(bytes.length / 7))
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size))
}

async function play(wire: WireApi, answer: HostileAnswer): Promise<RawResponse> {
  const { contentType, encoding, bytes, isCut, isJson } = answer
  const headers = { "content-type": contentType, ...(encoding === undefined ? {} : { "content-encoding": encoding }) }
  upstream.enqueue({ headers, chunks: [...pieces(bytes), isCut === true ? "close" : "end"] })
  const isStream = isJson !== true
  // Asked for, so that nothing is taken out of the stream.
  const chat = wire.name === "chat completions" ? { stream_options: { include_usage: true } } : {}
  const stream = isStream && wire.api !== "google" ? { stream: true, ...chat } : {}
  return rawRequest({
    ...{ port: app.port, method: "POST", path: isStream ? wire.path : wire.jsonPath },
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ ...wire.request, ...stream }),
  })
}

describe.each(CASES.map((one) => [nameOf(one), one] as const))("%s", (name, { answer }) => {
  test("the caller gets the provider's bytes, and the record says what they mean", () => {
    const got = answers.get(name)
    expect(got?.status).toBe(200)
    expect(got?.headers["content-type"]).toBe(answer.contentType)
    expect(got?.headers["content-encoding"]).toBe(answer.encoding)
    // Behind a stream that broke off stands the error that says so.
    const same = answer.isCut === true ? got?.bodyBytes.subarray(0, answer.bytes.length) : got?.bodyBytes
    expect(same?.equals(answer.bytes)).toBe(true)
    const record = records.get(got?.headers["x-request-id"] ?? "")
    expect(record).toMatchObject({
      ...{ usage_source: answer.source, usage_mismatch: false, outcome: answer.outcome ?? "ok" },
      end_state: answer.isCut === true ? "upstream_error" : "complete",
      ...answer.record,
    })
    expect(record?.estimator).toMatch(answer.source === "estimated" ? /^v\d+ \S+ o200k_base×/ : /^$/)
  })
})

test("what was delivered before a stream broke off is counted, packed or not", () => {
  const broken = CASES.filter(({ answer }) => answer.source === "estimated" && answer.name.startsWith("stream"))
  const counted = broken.map((one) => {
    const record = records.get(answers.get(nameOf(one))?.headers["x-request-id"] ?? "")
    return [nameOf(one), record?.output_tokens ?? 0] as const
  })
  expect(counted.length).toBe(3 * WIRE_APIS.length)
  expect(counted.filter(([, tokens]) => tokens < 5 || tokens > 40)).toEqual([])
})
