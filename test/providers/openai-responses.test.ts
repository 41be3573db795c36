/** OpenAI's Responses API: what is read off a request, how it leaves, and what every shape of an answer means. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { SseSplitter } from "../../src/metering/sse.ts"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { newReading, type Reading, type RequestFacts } from "../../src/providers/dialect.ts"
import { openAiResponses } from "../../src/providers/openai-responses.ts"
import { readResponsesUsage, webSearchesIn } from "../../src/providers/openai-responses-usage.ts"
import { type WireFixture, wireFixtures } from "../support/wire-fixtures.ts"

const FORM = { model: null, isStream: null, contentType: "application/json" }
const fixtures = wireFixtures("openai-responses")
const PENDING = ["json-background-in-progress", "json-background-queued", "sse-background-cut"]
const UNFINISHED = [...PENDING, "sse-cut", "sse-cut-in-completed", "sse-error-only"]
const ERRORS = ["json-failed", "json-failed-with-usage", "sse-error-only", "sse-failed"]

function facts(body: string): RequestFacts {
  const read = openAiResponses.readRequest(Buffer.from(body), FORM)
  if (read.kind !== "read") throw new Error(read.message)
  return read.facts
}

function refusal(body: string) {
  const read = openAiResponses.readRequest(Buffer.from(body), FORM)
  return read.kind === "invalid" ? { code: read.code, param: read.param, message: read.message } : read.kind
}

function rewritten(body: string, model: string, outputTokensMax: number | null): string {
  const rewrite = { model, injectsUsage: false, outputTokensMax }
  return openAiResponses.rewriteRequest(Buffer.from(body), facts(body), rewrite, FORM).toString()
}

function readEvents(chunks: Buffer[], reading = newReading()): Reading {
  const splitter = new SseSplitter()
  const events = [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()]
  for (const { data } of events) expect(openAiResponses.readEvent(data, reading).isInjectedUsage).toBe(false)
  return reading
}

function readAnswer(answer: unknown, reading = newReading()): Reading {
  openAiResponses.readAnswer(Buffer.from(JSON.stringify(answer)), reading)
  return reading
}

function read(fixture: WireFixture): Reading {
  if (fixture.isSse) return readEvents([fixture.answer])
  const reading = newReading()
  openAiResponses.readAnswer(fixture.answer, reading)
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

describe("refused, with the reason:", () => {
  test.each(['{"model":', " "])("%j: not JSON", (body) => expect(refusal(body)).toMatchObject({ code: "invalid_json" }))
  test("what is not an object", () => expect(refusal("[1]")).toMatchObject({ code: "invalid_request" }))
  test.each(["{}", '{"model":""}', '{"model":null,"input":"a"}', '{"model":["a"]}'])("no model: %s", (body) => {
    expect(refusal(body)).toMatchObject({ code: "invalid_request", param: "model" })
  })
  test.each([
    ["model", '{"model":"cheap","input":[],"model":"dear"}'],
    ["model", '{"model":"cheap","mod\\u0065l":"dear"}'],
    ["max_output_tokens", '{"model":"a","max_output_tokens":1,"max_output_tokens":9}'],
    ["previous_response_id", '{"model":"a","previous_response_id":"resp_1","previous_response_id":"resp_2"}'],
    ["conversation", '{"model":"a","conversation":"conv_1","conversation":{"id":"conv_2"}}'],
  ])("%s twice, which two servers would read differently", (param, body) => {
    expect(refusal(body)).toMatchObject({ code: "invalid_request", param })
  })
})

describe("facts", () => {
  test("of everything that counts", () => {
    const body =
      '{"model":"a","stream":true,"max_output_tokens":10,"service_tier":"flex","safety_identifier":"s","user":"u",' +
      '"conversation":"conv_1","input":[{"role":"user","content":"Hi"}]}'
    expect(facts(body)).toEqual({
      model: "a",
      isStream: true,
      asksUsage: true,
      outputTokensMax: 10,
      tier: "flex",
      endCustomer: "s",
      conversation: "conv_1",
      units: null,
      isFree: false,
    })
  })
  test("of what is left out or something else", () => {
    const nothing = { isStream: false, outputTokensMax: null, tier: "", endCustomer: "", conversation: "" }
    expect(facts('{"model":"a"}')).toMatchObject(nothing)
    const odd = '{"model":"a","stream":"true","max_output_tokens":null,"service_tier":1,"user":{},"conversation":["c"]}'
    expect(facts(odd)).toMatchObject(nothing)
  })
  test("the older name of the user, and a conversation as an object", () => {
    expect(facts('{"model":"a","user":"u","conversation":{"id":"conv_1"}}')).toMatchObject({
      endCustomer: "u",
      conversation: "conv_1",
    })
  })
  test("no body asks for a response that was made before, which is free", () => {
    expect(facts("")).toMatchObject({ model: "", isFree: true, isStream: false, asksUsage: true, units: null })
    const streamed = openAiResponses.readRequest(Buffer.alloc(0), { ...FORM, isStream: true })
    expect(streamed).toMatchObject({ kind: "read", facts: { model: "", isStream: true } })
  })
})

describe("rewriting", () => {
  test("without a reason, not a byte changes", () => {
    const body = ' {\n "model" : "a" , "max_output_tokens":\t5,"input":[ ] }\n'
    expect(rewritten(body, "a", null)).toBe(body)
  })
  test("no body stays none", () => expect(rewritten("", "b", 7)).toBe(""))
  test("a missing bound is added", () => {
    expect(rewritten('{"model":"a"}', "a", 7)).toBe('{"max_output_tokens":7,"model":"a"}')
  })
  test("a bound is a whole number of at least one", () => {
    expect(rewritten('{"model":"a","max_output_tokens":null}', "a", 0.5)).toBe('{"model":"a","max_output_tokens":1}')
  })
  test("usage is never asked for, since it comes unasked", () => {
    const rewrite = { model: "a", injectsUsage: true, outputTokensMax: null }
    const body = Buffer.from('{"model":"a","stream":true}')
    expect(openAiResponses.rewriteRequest(body, facts(body.toString()), rewrite, FORM)).toBe(body)
  })
  test("whatever else the body holds, only the two values change", () => {
    const body = fc.record({ input: fc.jsonValue(), metadata: fc.jsonValue(), 'm\\o"d': fc.jsonValue() })
    const name = fc.string({ minLength: 1 })
    fc.assert(
      fc.property(body, fc.nat(2), name, name, fc.nat(), fc.nat(), (rest, indent, model, other, max, lower) => {
        const inside = JSON.stringify({ ...rest, zz: [{ model: 1, max_output_tokens: 2 }] }, null, indent).slice(1, -1)
        const text = (named: string, bound: number) =>
          ` { "model" :\t${JSON.stringify(named)},${inside}, "max_output_tokens": ${bound}\n}\r\n`
        expect(rewritten(text(model, max), other, lower)).toBe(text(other, Math.max(1, lower)))
      }),
    )
  })
})

describe.each(fixtures)("$name", (fixture) => {
  test("its usage is read as it stands on the wire", () => expectUsage(read(fixture), fixture))

  test("its request can be read", () => {
    expect(facts(fixture.request.toString()).isStream).toBe(fixture.isSse)
  })

  test("whether it ended, is pending, and is an error, is known", () => {
    const { isFinished, isPending, hasError } = read(fixture)
    expect({ isFinished, isPending, hasError }).toEqual({
      isFinished: !UNFINISHED.includes(fixture.name),
      isPending: PENDING.includes(fixture.name),
      hasError: ERRORS.includes(fixture.name),
    })
  })
})

describe.each(fixtures.filter(({ isSse }) => isSse))("$name, in pieces", (fixture) => {
  test("byte by byte, it means the same", () => {
    expectUsage(readEvents(Array.from(fixture.answer, (_, at) => fixture.answer.subarray(at, at + 1))), fixture)
  })

  test("cut anywhere, there is usage when it ended and else none", () => {
    const whole = read(fixture)
    for (let end = 0; end <= fixture.answer.length; end += 31) {
      const { usage, isFinished } = readEvents([fixture.answer.subarray(0, end)])
      expect(usage).toEqual(isFinished ? whole.usage : null)
    }
  })
})

describe("output kept for an estimate", () => {
  test.each([
    ["sse-plain", "Counted ✓"],
    ["sse-reasoning", "One, two.Two."],
    ["sse-function-call", '{"usage":{"output_tokens":99999}}'],
    ["sse-failed", ""],
    ["sse-cut", "Counted."],
    ["json-no-usage", 'Counted {"n":1}'],
    ["json-plain", ""],
  ])("%s", (name, text) => {
    const reading = read(fixtureNamed(name))
    expect(reading.outputText).toBe(text)
    expect(reading.hasContent).toBe(text !== "")
  })

  test("everything that the model writes counts, and what a tool answered does not", () => {
    const output = [
      { type: "reasoning", summary: [{ type: "summary_text", text: "1" }], content: [{ text: "2" }] },
      { type: "message", content: [{ type: "refusal", refusal: "3" }, null, "x"] },
      { type: "custom_tool_call", input: "4" },
      { type: "code_interpreter_call", code: "5", outputs: [{ logs: "x" }] },
      null,
    ]
    expect(readAnswer({ status: "completed", output }).outputText).toBe("12345")
    const reading = newReading()
    for (const kind of ["refusal", "mcp_call_arguments", "custom_tool_call_input", "code_interpreter_call_code"]) {
      openAiResponses.readEvent(JSON.stringify({ type: `response.${kind}.delta`, delta: `${kind} ` }), reading)
    }
    openAiResponses.readEvent('{"type":"response.audio.delta","delta":"AAAA"}', reading)
    expect(reading.outputText).toBe("refusal mcp_call_arguments custom_tool_call_input code_interpreter_call_code ")
  })
})

describe("pending", () => {
  const usage = { input_tokens: 3, output_tokens: 4 }
  test("a later answer ends it", () => {
    const reading = readAnswer({ id: "resp_1", status: "queued", usage: null })
    expect(reading).toMatchObject({ isPending: true, isFinished: false, usage: null })
    expect(readAnswer({ id: "resp_1", status: "completed", usage }, reading)).toMatchObject({
      isPending: false,
      isFinished: true,
      usage: { inputUncachedTokens: 3, outputTokens: 4 },
    })
  })
  test("what was cancelled is pending no more", () => {
    expect(readAnswer({ status: "cancelled", usage: null })).toMatchObject({ isPending: false, isFinished: true })
  })
  test("usage that is there already is not waited for", () => {
    expect(readAnswer({ status: "in_progress", usage })).toMatchObject({ isPending: false, isFinished: true })
  })
  test("what comes after the end of a stream does not make it so", () => {
    const reading = newReading()
    const response = { background: true, usage: null }
    openAiResponses.readEvent(JSON.stringify({ type: "response.completed", response: { ...response, usage } }), reading)
    const late = { type: "response.in_progress", response: { ...response, status: "in_progress" } }
    openAiResponses.readEvent(JSON.stringify(late), reading)
    expect(reading).toMatchObject({ isPending: false, isFinished: true, usage: { outputTokens: 4 } })
  })
})

describe("usage", () => {
  test("a total that is not the sum is marked", () => {
    const usage = { input_tokens: 3, output_tokens: 4, total_tokens: 8 }
    expect(readResponsesUsage(usage, 0)?.isMismatch).toBe(true)
    expect(readResponsesUsage({ ...usage, total_tokens: 7 }, 0)?.isMismatch).toBe(false)
  })
  test("no class is larger than what it is part of", () => {
    const usage = {
      input_tokens: 5,
      input_tokens_details: { cached_tokens: 4, cache_write_tokens: 9 },
      output_tokens: "6",
      output_tokens_details: { reasoning_tokens: 7 },
    }
    expect(readResponsesUsage(usage, 2)?.usage).toEqual({
      ...ZERO_USAGE,
      cacheReadTokens: 4,
      cacheWrite5mTokens: 1,
      outputTokens: 6,
      reasoningTokens: 6,
      webSearches: 2,
    })
  })
  test.each([null, [], "7", {}, { input_tokens: null }, { prompt_tokens: 3 }])("%j counts nothing", (value) => {
    expect(readResponsesUsage(value, 1)).toBeNull()
  })
  test("explicit zeros are usage", () => {
    expect(readResponsesUsage({ input_tokens: 0, output_tokens: 0 }, 0)?.usage).toEqual(ZERO_USAGE)
  })
  test("the raw usage is the provider's own", () => {
    const raw = { input_tokens: 19, output_tokens: 10, total_tokens: 29 }
    expect(read(fixtureNamed("sse-plain")).usageRaw).toMatchObject(raw)
  })
  test("searches are counted among whatever else is put out", () => {
    const call = { type: "web_search_call" }
    expect(webSearchesIn({ output: [call, { ...call, action: { type: "search" } }, { ...call, action: null }] })).toBe(
      3,
    )
    expect(
      webSearchesIn({
        output: [{ ...call, action: { type: "open_page" } }, { type: "message" }, null, "web_search_call"],
      }),
    ).toBe(0)
    expect(webSearchesIn({ output: { length: 3 } })).toBe(0)
    expect(webSearchesIn({ output: [call], tool_usage: { web_search: { num_requests: 4 } } })).toBe(4)
  })
})

test("a failing stream is told in the API's own shape, with our code", () => {
  const [event] = new SseSplitter().push(Buffer.from(openAiResponses.streamError('gone "away"\n', "upstream_failed")))
  expect(event?.event).toBe("error")
  const data = event?.data ?? ""
  expect(JSON.parse(data)).toEqual({
    type: "error",
    code: "upstream_failed",
    message: 'gone "away"\n',
    param: null,
    sequence_number: 0,
  })
  const reading = newReading()
  openAiResponses.readEvent(data, reading)
  expect(reading).toMatchObject({ hasError: true, isFinished: false })
})

describe("what no provider should send", () => {
  const anything = fc.jsonValue()
  const counts = fc.oneof(fc.nat(), fc.double(), fc.bigInt().map(String), anything)
  const details = fc.record({ cached_tokens: counts, cache_write_tokens: counts, reasoning_tokens: counts })
  const usage = fc.record(
    {
      input_tokens: counts,
      input_tokens_details: fc.oneof(anything, details),
      output_tokens: counts,
      output_tokens_details: fc.oneof(anything, details),
      total_tokens: counts,
    },
    { requiredKeys: [] },
  )
  const item = fc.record(
    {
      type: fc.constantFrom("web_search_call", "message", "function_call"),
      action: fc.oneof(anything, fc.record({ type: anything })),
      content: fc.oneof(anything, fc.array(fc.record({ text: anything }))),
      arguments: anything,
    },
    { requiredKeys: [] },
  )
  const response = fc.record(
    {
      id: anything,
      model: anything,
      service_tier: anything,
      status: fc.oneof(anything, fc.constantFrom("queued", "in_progress", "completed", "failed")),
      background: fc.oneof(fc.boolean(), anything),
      error: anything,
      output: fc.oneof(anything, fc.array(item)),
      usage: fc.oneof({ weight: 1, arbitrary: anything }, { weight: 4, arbitrary: usage }),
      ["__proto__"]: anything,
    },
    { requiredKeys: [] },
  )
  const kinds = ["created", "queued", "in_progress", "completed", "incomplete", "failed", "output_text.delta"]
  const event = fc.record(
    {
      type: fc.oneof(anything, fc.constantFrom("error", ...kinds.map((kind) => `response.${kind}`))),
      response: fc.oneof({ weight: 1, arbitrary: anything }, { weight: 4, arbitrary: response }),
      delta: anything,
      error: anything,
    },
    { requiredKeys: [] },
  )

  function expectCounts(reading: Reading): void {
    const { unitType: _, ...figures } = reading.usage ?? ZERO_USAGE
    for (const figure of Object.values(figures)) expect(Number.isSafeInteger(figure) && figure >= 0).toBe(true)
    expect([typeof reading.model, typeof reading.tier, typeof reading.responseId]).toEqual(Array(3).fill("string"))
    expect(reading.isPending && reading.isFinished).toBe(false)
  }

  test("hostile events and answers throw nothing and leave counts", () => {
    fc.assert(
      fc.property(fc.array(event), response, (events, answer) => {
        const reading = newReading()
        for (const hostile of events) openAiResponses.readEvent(JSON.stringify(hostile), reading)
        expectCounts(reading)
        expectCounts(readAnswer(answer))
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
        expectCounts(readEvents([bytes]))
        const reading = newReading()
        openAiResponses.readAnswer(bytes, reading)
        expectCounts(reading)
      }),
    )
  })

  test("hostile requests are read or refused", () => {
    const odd = anything.map((value) => JSON.stringify({ model: "a", conversation: value, max_output_tokens: value }))
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), odd), (body) => {
        expect(["read", "invalid"]).toContain(openAiResponses.readRequest(Buffer.from(body), FORM).kind)
      }),
    )
  })

  test("output nested deeper than the stack", () => {
    const deep = "[".repeat(200_000) + "]".repeat(200_000)
    const reading = newReading()
    openAiResponses.readAnswer(Buffer.from(`{"output":[{"content":[{"text":"a"}],"action":${deep}}]}`), reading)
    expect(reading).toMatchObject({ outputText: "a", isFinished: true })
  })
})
