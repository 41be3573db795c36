/** Anthropic's dialects: what is read off a request, how it leaves, and what every recorded shape of an answer means. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { SseSplitter } from "../../src/metering/sse.ts"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { anthropicBatchResults } from "../../src/providers/anthropic-batch.ts"
import { anthropicCountTokens, anthropicMessages } from "../../src/providers/anthropic-messages.ts"
import { readAnthropicUsage } from "../../src/providers/anthropic-usage.ts"
import { type Dialect, newReading, type Reading, type RequestFacts } from "../../src/providers/dialect.ts"
import { type WireFixture, wireFixtures } from "../support/wire-fixtures.ts"

const FORM = { model: null, isStream: null, contentType: "application/json" }
const fixtures = wireFixtures("anthropic-messages")
const UNFINISHED = ["sse-cut-before-message-delta", "sse-error-first", "sse-error-midstream"]
const ERRORS = ["json-error-in-200", "sse-error-first", "sse-error-midstream"]

function facts(body: string, dialect: Dialect = anthropicMessages): RequestFacts {
  const read = dialect.readRequest(Buffer.from(body), FORM)
  if (read.kind !== "read") throw new Error(read.message)
  return read.facts
}

function refusal(body: string, dialect: Dialect = anthropicMessages) {
  const read = dialect.readRequest(Buffer.from(body), FORM)
  return read.kind === "invalid" ? { code: read.code, param: read.param, message: read.message } : read.kind
}

function rewritten(body: string, model: string, outputTokensMax: number | null, dialect = anthropicMessages): string {
  const rewrite = { model, injectsUsage: false, outputTokensMax }
  return dialect.rewriteRequest(Buffer.from(body), facts(body, dialect), rewrite, FORM).toString()
}

function caller(userId: string): { endCustomer: string; conversation: string } {
  const { endCustomer, conversation } = facts(JSON.stringify({ model: "a", metadata: { user_id: userId } }))
  return { endCustomer, conversation }
}

function readEvents(chunks: Buffer[], reading = newReading()): Reading {
  const splitter = new SseSplitter()
  const events = [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()]
  for (const { data } of events) expect(anthropicMessages.readEvent(data, reading).isInjectedUsage).toBe(false)
  return reading
}

function read(fixture: WireFixture): Reading {
  if (fixture.isSse) return readEvents([fixture.answer])
  const reading = newReading()
  anthropicMessages.readAnswer(fixture.answer, reading)
  return reading
}

function expectUsage(reading: Reading, fixture: WireFixture): void {
  const { usagePresent, model, tier, responseId, ...usage } = fixture.expected
  expect({
    present: reading.usage !== null,
    model: reading.model,
    tier: reading.tier,
    id: reading.responseId,
    isMismatch: reading.isMismatch,
    ...(reading.usage ?? ZERO_USAGE),
  }).toEqual({ present: usagePresent, model, tier, id: responseId, isMismatch: false, ...usage })
}

function fixtureNamed(name: string): WireFixture {
  const found = fixtures.find((fixture) => fixture.name === name)
  if (found === undefined) throw new Error(`no fixture ${name}`)
  return found
}

describe.each([anthropicMessages, anthropicCountTokens])("$name refuses, with the reason", (dialect) => {
  test("what is not JSON", () => expect(refusal('{"model":', dialect)).toMatchObject({ code: "invalid_json" }))
  test("what is not an object", () => expect(refusal("[1]", dialect)).toMatchObject({ code: "invalid_request" }))
  test("no model", () => expect(refusal('{"messages":[]}', dialect)).toMatchObject({ param: "model" }))
  test("an empty model", () => expect(refusal('{"model":""}', dialect)).toMatchObject({ param: "model" }))
  test("two models, which two servers would read differently", () => {
    expect(refusal('{"model":"cheap","messages":[],"model":"dear"}', dialect)).toMatchObject({ param: "model" })
  })
  test("a second model under an escaped name", () => {
    expect(refusal('{"model":"cheap","mod\\u0065l":"dear"}', dialect)).toMatchObject({ param: "model" })
  })
  test("two output bounds", () => {
    expect(refusal('{"model":"a","max_tokens":1,"max_tokens":9}', dialect)).toMatchObject({ param: "max_tokens" })
  })
})

describe("facts", () => {
  test("model, stream, bound and tier", () => {
    expect(facts('{"model":"a","stream":true,"max_tokens":10,"service_tier":"auto","messages":[]}')).toEqual({
      model: "a",
      isStream: true,
      asksUsage: true,
      outputTokensMax: 10,
      tier: "auto",
      endCustomer: "",
      conversation: "",
      units: null,
      isFree: false,
    })
  })
  test("what is left out", () => {
    expect(facts('{"model":"a"}')).toMatchObject({ isStream: false, outputTokensMax: null, tier: "" })
    expect(facts('{"model":"a","stream":"true","metadata":[]}')).toMatchObject({ isStream: false, endCustomer: "" })
  })
  test("counting tokens is free, and its bound bounds nothing", () => {
    const body = '{"model":"a","max_tokens":10,"stream":true}'
    expect(facts(body, anthropicCountTokens)).toMatchObject({ isFree: true, isStream: false, outputTokensMax: null })
  })
})

describe("the caller's user", () => {
  const account = "0f0f0f0f-1111-4222-8333-444444444444"
  const session = "5e5e5e5e-1111-4222-8333-555555555555"
  test.each([
    ["older, with an account", `user_ab12_account_${account}_session_${session}`, account, session],
    ["older, without an account", `user_ab12_account__session_${session}`, "ab12", session],
    [
      "newer, with an account",
      `{"device_id":"ab12","account_uuid":"${account}","session_id":"${session}"}`,
      account,
      session,
    ],
    ["newer, without an account", `{"device_id":"ab12","account_uuid":"","session_id":"${session}"}`, "ab12", session],
    ["newer, with the session alone", `{"session_id":"${session}"}`, "", session],
    ["no session", '{"device_id":"ab12","account_uuid":"x"}', '{"device_id":"ab12","account_uuid":"x"}', ""],
    ["broken JSON", '{"session_id":', '{"session_id":', ""],
    ["somebody else's", "customer_7", "customer_7", ""],
    ["much like Claude Code's", `user_ab12_account_${account}`, `user_ab12_account_${account}`, ""],
    ["none", "", "", ""],
  ])("%s", (_name, userId, endCustomer, conversation) => {
    expect(caller(userId)).toEqual({ endCustomer, conversation })
  })
})

describe("rewriting", () => {
  test("without a reason, not a byte changes", () => {
    const body = ' {\n "model" : "a" , "max_tokens":\t5,"messages":[ ] }\n'
    expect(rewritten(body, "a", null)).toBe(body)
    expect(rewritten(body, "a", null, anthropicCountTokens)).toBe(body)
  })
  test("a missing bound is added", () => {
    expect(rewritten('{"model":"a"}', "a", 7)).toBe('{"max_tokens":7,"model":"a"}')
  })
  test("a bound is a whole number of at least one", () => {
    expect(rewritten('{"model":"a","max_tokens":50}', "a", 0.5)).toBe('{"model":"a","max_tokens":1}')
  })
  test("counting tokens takes no bound", () => {
    expect(rewritten('{"model":"a"}', "b", 7, anthropicCountTokens)).toBe('{"model":"b"}')
  })

  test("whatever else the body holds, only the two values change", () => {
    const body = fc.record({ messages: fc.jsonValue(), metadata: fc.jsonValue(), 'm\\o"d': fc.jsonValue() })
    fc.assert(
      fc.property(
        fc.tuple(body, fc.nat(2), fc.string({ minLength: 1 }), fc.string({ minLength: 1 }), fc.nat(), fc.nat()),
        ([rest, indent, model, other, max, lower]) => {
          const inside = JSON.stringify({ ...rest, zz: [{ model: 1, max_tokens: 2 }] }, null, indent).slice(1, -1)
          const text = (name: string, bound: number) =>
            ` { "model" :\t${JSON.stringify(name)},${inside}, "max_tokens": ${bound}\n}\r\n`
          expect(rewritten(text(model, max), other, lower)).toBe(text(other, Math.max(1, lower)))
        },
      ),
    )
  })
})

describe.each(fixtures)("$name", (fixture) => {
  test("its usage is read as it stands on the wire", () => expectUsage(read(fixture), fixture))

  test("its request can be read", () => {
    expect(facts(fixture.request.toString()).isStream).toBe(fixture.isSse)
  })

  test("whether it ended, and whether it is an error, is known", () => {
    const { isFinished, hasError } = read(fixture)
    expect({ isFinished, hasError }).toEqual({
      isFinished: !UNFINISHED.includes(fixture.name),
      hasError: ERRORS.includes(fixture.name),
    })
  })
})

describe.each(fixtures.filter(({ isSse }) => isSse))("$name, in pieces", (fixture) => {
  test("byte by byte, it means the same", () => {
    expectUsage(readEvents(Array.from(fixture.answer, (_, at) => fixture.answer.subarray(at, at + 1))), fixture)
  })

  test("cut anywhere, nothing but message_start and message_delta decides the figures", () => {
    const states = fixture.answer.toString("latin1").split("message_delta").length + 3
    const seen = new Set<string>()
    for (let end = 0; end <= fixture.answer.length; end += 7) {
      const { usage, isFinished } = readEvents([fixture.answer.subarray(0, end)])
      seen.add(JSON.stringify({ usage, isFinished }))
    }
    expect(seen.size).toBeLessThanOrEqual(states)
  })
})

describe("output kept for an estimate", () => {
  test.each([
    ["sse-plain", "Counted 👋"],
    ["sse-tool-use", 'Let me count.count{"usage": {"output_tokens": 99999}}'],
    ["sse-thinking", "One, two.Two."],
    ["sse-compaction-iterations", "The user counts.Counted."],
    ["sse-error-midstream", "Coun"],
    ["json-no-usage", 'Counted count{"n":1}'],
    ["json-plain", ""],
  ])("%s", (name, text) => expect(read(fixtureNamed(name)).outputText).toBe(text))
})

describe("usage", () => {
  test("a split that exceeds its total is marked", () => {
    const usage = { input_tokens: 1, cache_creation_input_tokens: 5, cache_creation: { ephemeral_1h_input_tokens: 9 } }
    expect(readAnthropicUsage(usage)).toMatchObject({ isMismatch: true, usage: { cacheWrite1hTokens: 9 } })
  })
  test("thinking is never more than output", () => {
    const usage = { output_tokens: 5, output_tokens_details: { thinking_tokens: 9 } }
    expect(readAnthropicUsage(usage)?.usage).toMatchObject({ outputTokens: 5, reasoningTokens: 5 })
  })
  test.each([null, [], "7", {}, { input_tokens: null }, { input_tokens: "many" }])("%j counts nothing", (value) => {
    expect(readAnthropicUsage(value)).toBeNull()
  })
  test("the raw usage holds what both halves of a stream said", () => {
    expect(read(fixtureNamed("sse-cache-read")).usageRaw).toEqual({
      input_tokens: 4,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 1167,
      cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
      output_tokens: 256,
      service_tier: "standard",
    })
  })
})

test("a failing stream is told in the API's own shape, with our code", () => {
  const event = anthropicMessages.streamError('gone "away"\n', "upstream_failed")
  const [data] = new SseSplitter().push(Buffer.from(event))
  expect(data?.event).toBe("error")
  expect(JSON.parse(data?.data ?? "")).toEqual({
    type: "error",
    error: { type: "api_error", message: 'gone "away"\n', code: "upstream_failed" },
  })
})

test("a token count is not read as usage", () => {
  const reading = newReading()
  anthropicCountTokens.readAnswer(Buffer.from('{"input_tokens":14}'), reading)
  expect(reading).toEqual({ ...newReading(), isFinished: true })
})

describe("batch results", () => {
  function resultLine(message: unknown, type = "succeeded"): string {
    return JSON.stringify({ custom_id: "a", result: { type, message } })
  }
  function lines(...texts: string[]): Reading {
    const reading = newReading()
    for (const text of texts) anthropicBatchResults.readLine?.(text, reading)
    return reading
  }
  const one = { model: "m1", id: "msg_1", usage: { input_tokens: 3, output_tokens: 5, service_tier: "standard" } }
  const two = { model: "m2", id: "msg_2", usage: { input_tokens: 10, cache_read_input_tokens: 7, output_tokens: 1 } }

  test("need no body and no model", () => {
    expect(anthropicBatchResults.readRequest(Buffer.alloc(0), FORM)).toMatchObject({
      facts: { model: "", isFree: true },
    })
  })
  test("are summed over the lines", () => {
    const reading = lines(resultLine(one), resultLine({}, "errored"), "", '{"custom_id":', resultLine(two))
    expect(reading).toMatchObject({
      usage: { ...ZERO_USAGE, inputUncachedTokens: 13, cacheReadTokens: 7, outputTokens: 6 },
      usageRaw: { lines: 2, usage: two.usage },
      model: "m1",
      tier: "batch",
      isFinished: true,
    })
  })
  test("of nothing but failures use nothing", () => {
    expect(lines(resultLine({}, "expired"), resultLine(one, "canceled")).usage).toBeNull()
  })
  test("are not whole when the last line is cut", () => {
    expect(lines(resultLine(one), resultLine(two).slice(0, -9))).toMatchObject({ isFinished: false, tier: "batch" })
  })
  test("may be an error instead", () => {
    const reading = newReading()
    anthropicBatchResults.readAnswer(Buffer.from('{"type":"error","error":{"type":"not_found_error"}}'), reading)
    expect(reading).toMatchObject({ hasError: true, usage: null })
  })
})

describe("what no provider should send", () => {
  const anything = fc.jsonValue()
  const counts = fc.oneof(fc.nat(), fc.double(), fc.bigInt().map(String), anything)
  const usage = fc.oneof(
    { weight: 1, arbitrary: anything },
    {
      weight: 4,
      arbitrary: fc.record(
        {
          input_tokens: counts,
          output_tokens: counts,
          cache_read_input_tokens: counts,
          cache_creation_input_tokens: counts,
          cache_creation: fc.oneof(anything, fc.record({ ephemeral_1h_input_tokens: counts })),
          output_tokens_details: fc.oneof(anything, fc.record({ thinking_tokens: counts })),
          iterations: fc.oneof(
            anything,
            fc.array(fc.record({ type: fc.constant("compaction"), input_tokens: counts })),
          ),
          service_tier: anything,
          ["__proto__"]: anything,
        },
        { requiredKeys: [] },
      ),
    },
  )
  const event = fc.record(
    {
      type: fc.oneof(
        fc.constantFrom(
          "message_start",
          "content_block_start",
          "content_block_delta",
          "message_delta",
          "message_stop",
          "error",
        ),
        anything,
      ),
      message: fc.oneof(anything, fc.record({ id: anything, model: anything, usage })),
      content_block: fc.oneof(anything, fc.record({ text: anything, name: anything, input: anything })),
      delta: fc.oneof(anything, fc.record({ text: anything, thinking: anything, partial_json: anything })),
      usage,
      error: anything,
      content: anything,
    },
    { requiredKeys: [] },
  )

  function expectCounts(reading: Reading): void {
    const { unitType: _, ...figures } = reading.usage ?? ZERO_USAGE
    for (const figure of Object.values(figures)) expect(Number.isSafeInteger(figure) && figure >= 0).toBe(true)
    expect([typeof reading.model, typeof reading.tier, typeof reading.responseId]).toEqual(Array(3).fill("string"))
  }

  test("hostile events throw nothing and leave counts", () => {
    fc.assert(
      fc.property(fc.array(event), (events) => {
        const reading = newReading()
        for (const hostile of events) {
          const text = JSON.stringify(hostile)
          anthropicMessages.readEvent(text, reading)
          anthropicMessages.readAnswer(Buffer.from(text), reading)
          anthropicBatchResults.readLine?.(`{"result":{"type":"succeeded","message":${text}}}`, reading)
          anthropicBatchResults.readAnswer(Buffer.from(text), reading)
        }
        expectCounts(reading)
      }),
    )
  })

  test("fixtures with bytes cut out and put in throw nothing and leave counts", () => {
    const noise = fc.oneof(fc.uint8Array({ maxLength: 4 }), fc.constantFrom("{", '"', "]", "\n\n", "null", "-1e999"))
    const place = fc.double({ min: 0, max: 1, noNaN: true })
    fc.assert(
      fc.property(fc.constantFrom(...fixtures), place, fc.nat(40), noise, ({ answer }, at, cut, put) => {
        const from = Math.floor(at * answer.length)
        const bytes = Buffer.concat([answer.subarray(0, from), Buffer.from(put), answer.subarray(from + cut)])
        const reading = readEvents([bytes])
        anthropicMessages.readAnswer(bytes, reading)
        expectCounts(reading)
      }),
    )
  })

  test("a tool input nested deeper than the stack reads as nothing", () => {
    const deep = `${'{"a":'.repeat(200_000)}1${"}".repeat(200_000)}`
    const reading = newReading()
    anthropicMessages.readAnswer(Buffer.from(`{"content":[{"type":"tool_use","name":"x","input":${deep}}]}`), reading)
    anthropicMessages.readEvent(`{"type":"content_block_start","content_block":{"input":${deep}}}`, reading)
    expect(reading.outputText).toBe("x")
  })
})
