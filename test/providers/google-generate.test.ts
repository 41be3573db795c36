/** Google's dialects: what is refused, read and rewritten, against the fixtures and against what nobody should send. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { SseSplitter } from "../../src/metering/sse.ts"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { type Dialect, newReading, type Reading, type RequestFacts } from "../../src/providers/dialect.ts"
import { googleCountTokens, googleEmbed, googlePredict } from "../../src/providers/google-embed.ts"
import { googleGenerate } from "../../src/providers/google-generate.ts"
import { type WireFixture, wireFixtures } from "../support/wire-fixtures.ts"

const MODEL = "gemini-2.5-flash"
const fixtures = wireFixtures("google-generate")

function form(model: string | null = MODEL, isStream: boolean | null = false) {
  return { model, isStream, contentType: "application/json" }
}

function facts(body: string, dialect: Dialect = googleGenerate, requestForm = form()): RequestFacts {
  const read = dialect.readRequest(Buffer.from(body), requestForm)
  if (read.kind !== "read") throw new Error(read.message)
  return read.facts
}

function refusal(body: string, dialect: Dialect = googleGenerate, requestForm = form()) {
  const read = dialect.readRequest(Buffer.from(body), requestForm)
  return read.kind === "invalid" ? { code: read.code, param: read.param, message: read.message } : read.kind
}

type Change = { model?: string; outputTokensMax?: number | null }

function rewritten(body: string, change: Change, dialect: Dialect = googleGenerate, requestForm = form()): string {
  const rewrite = { model: MODEL, outputTokensMax: null, injectsUsage: true, ...change }
  return dialect.rewriteRequest(Buffer.from(body), facts(body, dialect, requestForm), rewrite, requestForm).toString()
}

function readAnswer(answer: string | Buffer, dialect: Dialect = googleGenerate): Reading {
  const reading = newReading()
  dialect.readAnswer(Buffer.from(answer), reading)
  return reading
}

/** Reads an answer as it arrives in the given pieces. */
function readStream(chunks: readonly Buffer[]): Reading {
  const reading = newReading()
  const splitter = new SseSplitter()
  const events = [...chunks.flatMap((chunk) => [...splitter.push(chunk)]), ...splitter.end()]
  for (const { data } of events) expect(googleGenerate.readEvent(data, reading).isInjectedUsage).toBe(false)
  return reading
}

function readFixture({ answer, isSse }: WireFixture): Reading {
  return isSse ? readStream([answer]) : readAnswer(answer)
}

function fixtureReading(name: string): Reading {
  const [fixture] = fixtures.filter((candidate) => candidate.name === name)
  return fixture === undefined ? expect.unreachable(`no fixture ${name}`) : readFixture(fixture)
}

function expectUsage(reading: Reading, fixture: WireFixture): void {
  const { model, tier, responseId, usage } = reading
  const read = { usagePresent: usage !== null, ...(usage ?? ZERO_USAGE), model, tier, responseId }
  expect(read).toEqual(fixture.expected)
}

describe("a request that cannot be metered is refused with the reason", () => {
  test("not JSON", () => expect(refusal('{"contents":')).toMatchObject({ code: "invalid_json" }))
  test("not an object", () => expect(refusal("[1]")).toMatchObject({ code: "invalid_request" }))
  test.each([null, ""])("no model in the path (%j)", (model) => {
    expect(refusal("{}", googleGenerate, form(model))).toMatchObject({ code: "invalid_request", param: "model" })
  })
  test.each([
    '{"generationConfig":{},"generationConfig":{"maxOutputTokens":9}}',
    '{"generationConfig":{},"generation_config":{"maxOutputTokens":9}}',
    '{"generation_config":null,"generationConfig":{"maxOutputTokens":9}}',
    '{"generationConfig":{},"generation\\u0043onfig":{"maxOutputTokens":9}}',
    '{"generationConfig":"none"}',
    '{"generationConfig":[]}',
  ])("%s: which configuration holds?", (body) => {
    expect(refusal(body)).toMatchObject({ param: expect.stringMatching(/^generation(C|_c)onfig$/) })
  })
  test.each([
    ['{"maxOutputTokens":1,"maxOutputTokens":9}', "generationConfig.maxOutputTokens"],
    ['{"maxOutputTokens":1,"max_output_tokens":9}', "generationConfig.maxOutputTokens"],
    ['{"maxOutputTokens":1,"m\\u0061xOutputTokens":9}', "generationConfig.maxOutputTokens"],
    ['{"candidate_count":1,"x":[{"candidateCount":1}],"candidateCount":8}', "generationConfig.candidateCount"],
  ])("%s: which bound holds?", (config, param) => {
    expect(refusal(`{"contents":[{}],"generationConfig":${config}}`)).toMatchObject({ param })
    expect(refusal(`{"generation_config":${config}}`)).toMatchObject({ param })
  })
  test.each(["service_tier", "serviceTier"])("two tiers, one of them as %s", (name) => {
    expect(refusal(`{"serviceTier":"flex","${name}":"priority"}`)).toMatchObject({ param: "serviceTier" })
  })
  test.each(['"gemini-2.5-pro"', '"models/gemini-2.5-pro"', '"tunedModels/gemini-2.5-flash"', "7", '""'])(
    "a model in the body (%s) that is not the path's",
    (model) => expect(refusal(`{"model":${model}}`)).toMatchObject({ param: "model" }),
  )
  test("but the same names may stand elsewhere, and the path's model may be repeated", () => {
    const schema = '{"type":"OBJECT","properties":{"maxOutputTokens":{},"max_output_tokens":{}}}'
    const text = '[{"parts":[{"text":"\\"generationConfig\\" \\"generationConfig\\""}],"generationConfig":1}]'
    const body = `{"model":"models/${MODEL}","contents":${text},"generationConfig":{"responseSchema":${schema},"maxOutputTokens":5}}`
    expect(facts(body)).toMatchObject({ model: MODEL, outputTokensMax: 5 })
    expect(facts(`{"model":"${MODEL}"}`).model).toBe(MODEL)
    expect(facts('{"model":null}').model).toBe(MODEL)
  })
})

describe("facts", () => {
  test.each([
    ["{}", null],
    ['{"generationConfig":null}', null],
    ['{"generationConfig":{}}', null],
    ['{"generationConfig":{"candidateCount":4}}', null],
    ['{"generationConfig":{"maxOutputTokens":10}}', 10],
    ['{"generationConfig":{"maxOutputTokens":"10"}}', 10],
    ['{"generationConfig":{"maxOutputTokens":10,"candidateCount":3}}', 30],
    ['{"generation_config":{"max_output_tokens":10,"candidate_count":3}}', 30],
    ['{"generationConfig":{"max_output_tokens":10,"candidateCount":0}}', 10],
    ['{"generationConfig":{"maxOutputTokens":"1e1","candidateCount":"3.0"}}', 30],
    ['{"generationConfig":{"maxOutputTokens":0}}', null],
  ])("%s bounds the output by %j", (body, max) => expect(facts(body).outputTokensMax).toBe(max))

  test("the path says what is asked, and usage always comes", () => {
    expect(facts('{"stream":true}')).toMatchObject({ model: MODEL, isStream: false, asksUsage: true, isFree: false })
    expect(facts("{}", googleGenerate, form("m", true))).toMatchObject({ model: "m", isStream: true, units: null })
    expect(facts("{}", googleGenerate, form("m", null)).isStream).toBe(false)
  })

  test("the tier in either spelling; labels name no user", () => {
    expect(facts('{"serviceTier":"FLEX"}').tier).toBe("flex")
    expect(facts('{"service_tier":"priority"}').tier).toBe("priority")
    expect(facts('{"serviceTier":"unspecified","labels":{"user":"u"}}')).toMatchObject({ tier: "", endCustomer: "" })
  })
})

describe("rewriting", () => {
  test("without a reason, not a byte changes, whatever the model is called upstream", () => {
    const body = ' {\n "contents" : [ ] ,"generation_config":{ } }\n'
    expect(rewritten(body, {})).toBe(body)
    expect(rewritten(body, { model: "another" })).toBe(body)
  })
  test("a body that repeats the model follows the path", () => {
    expect(rewritten(`{ "model" : "models/${MODEL}" }`, { model: "real" })).toBe('{ "model" : "models/real" }')
    expect(rewritten('{"model":null}', { model: "real" })).toBe('{"model":null}')
  })
  test.each([
    ["{}", '{"generationConfig":{"maxOutputTokens":90}}'],
    ['{ "contents":[] }', '{"generationConfig":{"maxOutputTokens":90}, "contents":[] }'],
    ['{"generationConfig":null}', '{"generationConfig":{"maxOutputTokens":90}}'],
    ['{"generationConfig":{ }}', '{"generationConfig":{"maxOutputTokens":90 }}'],
    ['{"generation_config":{"topK":1}}', '{"generation_config":{"maxOutputTokens":90,"topK":1}}'],
    ['{"generationConfig":{"maxOutputTokens" : 900}}', '{"generationConfig":{"maxOutputTokens" : 90}}'],
    ['{"generationConfig":{"max_output_tokens":"900"}}', '{"generationConfig":{"max_output_tokens":90}}'],
    ['{"generationConfig":{"candidateCount":4}}', '{"generationConfig":{"maxOutputTokens":22,"candidateCount":4}}'],
    ['{"generationConfig":{"candidateCount":400}}', '{"generationConfig":{"maxOutputTokens":1,"candidateCount":400}}'],
  ])("%s is bounded", (body, expected) => expect(rewritten(body, { outputTokensMax: 90 })).toBe(expected))

  test("whatever else the body holds, only the bound and the model change", () => {
    const entries = fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue())
    const spelled = fc.constantFrom(
      ["generationConfig", "maxOutputTokens", "candidateCount"],
      ["generation_config", "max_output_tokens", "candidate_count"],
    )
    fc.assert(
      fc.property(
        fc.tuple(entries, entries, spelled, fc.nat(2), fc.integer({ min: 1, max: 8 }), fc.boolean(), fc.nat()),
        ([rest, config, [configName, maxName, countName], indent, candidates, isSet, bound]) => {
          const inside = (value: object) => JSON.stringify(value, null, indent).slice(1, -1)
          const text = (name: string, max: string) =>
            ` { "model" :\t"models/${name}",${inside({ ...rest, zz: [{ generationConfig: 1 }] })},\r\n"${configName}": {${max}` +
            `${inside({ ...config, yy: { maxOutputTokens: 2 } })}, "${countName}" :"${candidates}.0"}\n}\r\n`
          const lower = Math.max(1, Math.floor(bound / candidates))
          const given = text(MODEL, isSet ? ` "${maxName}" : 900 , ` : "")
          const wanted = text("real", isSet ? ` "${maxName}" : ${lower} , ` : `"maxOutputTokens":${lower},`)
          expect(rewritten(given, { model: "real", outputTokensMax: bound })).toBe(wanted)
        },
      ),
    )
  })
})

describe.each(fixtures)("$name", (fixture) => {
  test("its request is one that is forwarded as it is", () => {
    const body = fixture.request.toString()
    expect(rewritten(body, {})).toBe(body)
  })

  test("its usage is read as it stands on the wire, a stream cut at every byte", () => {
    const reading = readFixture(fixture)
    expectUsage(reading, fixture)
    expect(reading.usageRaw === null).toBe(!fixture.expected.usagePresent)
    expect(reading.isMismatch).toBe(false)
    for (let at = 1; at < (fixture.isSse ? fixture.answer.length : 0); at++) {
      expectUsage(readStream([fixture.answer.subarray(0, at), fixture.answer.subarray(at)]), fixture)
    }
  })
})

describe("what an answer says besides its usage", () => {
  test.each([
    ["json-plain", true, false],
    ["json-array-stream", true, false],
    ["json-array-cut", false, false],
    ["json-array-error-at-end", true, true],
    ["json-error-in-200", true, true],
    ["json-blocked-no-counts", true, false],
    ["sse-growing-usage", true, false],
    ["sse-blocked", true, false],
    ["sse-cut", false, false],
    ["sse-error-midstream", false, true],
  ])("%s is finished: %j, holds an error: %j", (name, isFinished, hasError) => {
    expect(fixtureReading(name)).toMatchObject({ isFinished, hasError })
  })

  test.each([
    ["json-no-usage", "Counted."],
    ["json-content-no-counts", "Counted."],
    ["sse-growing-usage", "Counted ✓."],
    ["sse-thoughts", "Let me see.Counted."],
    ["sse-function-call", 'weather{"place":"Oslo","days":2}'],
    ["sse-blocked", ""],
  ])("%s shows %j, for an estimate", (name, text) => {
    expect(fixtureReading(name)).toMatchObject({ outputText: text, hasContent: text !== "" })
  })

  test("an image is content without text", () => {
    const part = { inlineData: { mimeType: "image/png", data: "AA==" } }
    const answer = JSON.stringify({ candidates: [{ content: { parts: [part] } }] })
    expect(readAnswer(answer)).toMatchObject({ outputText: "", hasContent: true })
  })

  test.each([
    [{ promptTokenCount: 7, candidatesTokenCount: 3, totalTokenCount: 11 }, true],
    [{ promptTokenCount: 7, candidatesTokenCount: 3, toolUsePromptTokenCount: 1, totalTokenCount: 11 }, false],
    [{ promptTokenCount: 7, candidatesTokenCount: 3, thoughtsTokenCount: 1, totalTokenCount: 11 }, false],
    [{ promptTokenCount: 7, candidatesTokenCount: 3 }, false],
  ])("%j does not add up: %j", (usageMetadata, isMismatch) => {
    expect(readAnswer(JSON.stringify({ usageMetadata })).isMismatch).toBe(isMismatch)
  })

  test("the parts by modality never exceed what they are part of", () => {
    const details = ["AUDIO", "IMAGE"].map((modality) => ({ modality, tokenCount: 80 }))
    const counts = { promptTokenCount: 100, candidatesTokenCount: 100, thoughtsTokenCount: 50 }
    const usageMetadata = { ...counts, promptTokensDetails: details, candidatesTokensDetails: details }
    const parts = { audioInputTokens: 80, imageInputTokens: 20, audioOutputTokens: 80, imageOutputTokens: 20 }
    expect(readAnswer(JSON.stringify({ usageMetadata })).usage).toMatchObject(parts)
  })

  test("a stream that failed says so in Google's shape", () => {
    const event = googleGenerate.streamError("It broke.", "upstream_cut")
    expect(event).toMatch(/^data: .*\r\n\r\n$/)
    expect(readStream([Buffer.from(event)])).toMatchObject({ hasError: true, isFinished: false, usage: null })
    const shape = { code: 502, message: "It broke.", status: "UNAVAILABLE", details: [{ reason: "upstream_cut" }] }
    expect(JSON.parse(event.slice(6)).error).toMatchObject(shape)
  })
})

describe("what no provider should send", () => {
  test.each([
    "",
    "null",
    "[]",
    "[null,7,[{}]]",
    "[}{",
    '[{"a":"',
    "42",
    '"text"',
    "{",
    '{"candidates":7,"usageMetadata":[]}',
    '{"candidates":[null,{"content":{"parts":[null,{"text":7,"functionCall":{"args":"x"}}]}}]}',
    '{"usageMetadata":{}}',
    '{"usageMetadata":{"promptTokenCount":"many"},"promptFeedback":"none"}',
    `{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"a":${"[".repeat(200_000)}${"]".repeat(200_000)}}}}]}}]}`,
  ])("%.80s reads as nothing", (body) => {
    for (const dialect of [googleGenerate, googleEmbed, googleCountTokens, googlePredict]) {
      expect(readAnswer(body, dialect).usage).toBeNull()
      const reading = newReading()
      expect(dialect.readEvent(body, reading).isInjectedUsage).toBe(false)
      expect(reading.usage).toBeNull()
    }
  })

  function expectCounts(reading: Reading): void {
    const { unitType: _, ...figures } = reading.usage ?? ZERO_USAGE
    for (const figure of Object.values(figures)) expect(Number.isSafeInteger(figure) && figure >= 0).toBe(true)
    expect([typeof reading.model, typeof reading.tier, typeof reading.responseId]).toEqual(Array(3).fill("string"))
  }

  test("hostile answers and events never throw and leave counts", () => {
    const anything = fc.jsonValue()
    const some = (members: Record<string, fc.Arbitrary<unknown>>) =>
      fc.oneof({ weight: 1, arbitrary: anything }, { weight: 4, arbitrary: fc.record(members, { requiredKeys: [] }) })
    const counts = fc.oneof(fc.nat(), fc.double(), fc.bigInt().map(String), fc.constant(2 ** 53 - 1), anything)
    const details = fc.array(some({ modality: fc.constantFrom("AUDIO", "IMAGE", "TEXT"), tokenCount: counts }))
    const kinds = ["prompt", "candidates", "toolUsePrompt", "cachedContent", "cache", "thoughts", "total"]
    const counted = kinds.map((kind) => ({ [`${kind}TokenCount`]: counts, [`${kind}TokensDetails`]: details }))
    const usageMetadata = some(Object.assign({ serviceTier: anything, trafficType: anything }, ...counted))
    const part = some({ text: anything, functionCall: some({ name: anything, args: anything }), inlineData: anything })
    const candidate = some({ content: some({ parts: fc.array(part) }), finishReason: anything })
    const common = { modelVersion: anything, responseId: anything, error: anything, promptFeedback: anything }
    const event = some({ usageMetadata, candidates: fc.array(candidate), predictions: anything, ...common })
    fc.assert(
      fc.property(fc.array(event), (events) => {
        for (const dialect of [googleGenerate, googleEmbed, googleCountTokens, googlePredict]) {
          const reading = newReading()
          for (const hostile of [events, ...events].map((value) => JSON.stringify(value))) {
            dialect.readEvent(hostile, reading)
            dialect.readAnswer(Buffer.from(hostile), reading)
            expectCounts(reading)
          }
        }
      }),
    )
  })

  test("mutated answers never throw and leave counts", () => {
    const noise = fc.constantFrom("", "-", "{", "}", '"', "[", "\r\n\r\n", "9e99")
    const cuts = fc.array(fc.tuple(fc.nat(), fc.nat(12), noise), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(fc.constantFrom(...fixtures), cuts, ({ answer }, changes) => {
        const mutated = changes.reduce((bytes, [place, cut, put]) => {
          const at = place % answer.length
          return Buffer.concat([bytes.subarray(0, at), Buffer.from(put), bytes.subarray(at + cut)])
        }, answer)
        for (const reading of [readStream([mutated]), readAnswer(mutated)]) expectCounts(reading)
      }),
      { numRuns: 500 },
    )
  })
})

describe("embeddings", () => {
  const batch = `{ "requests": [ {"model":"models/${MODEL}","content":{"parts":[{"text":"}{ \\"model\\""}]}}, {}, {"content":{},"model" : "models/${MODEL}"} ] }`

  test("their models must be the path's, in a batch too", () => {
    expect(facts(batch, googleEmbed)).toMatchObject({ model: MODEL, outputTokensMax: 0, isFree: false })
    expect(refusal('{"requests":[{"model" "x"}]}', googleEmbed)).toMatchObject({ code: "invalid_json" })
  })

  test.each([
    ['{"model":"models/dear","content":{}}', "model"],
    [`{"requests":[{},{"model":"models/${MODEL}","model":"models/dear"}]}`, "model"],
    ['{"requests":[{}],"requests":[{"model":"x"}]}', "requests"],
    ['{"requests":["{\\"\\\\q\\":1}"]}', "requests"],
  ])("%s is refused", (body, param) => expect(refusal(body, googleEmbed)).toMatchObject({ param }))

  test("a model that is called otherwise upstream is renamed throughout, and nothing else is touched", () => {
    expect(rewritten(batch, {}, googleEmbed)).toBe(batch)
    expect(rewritten(batch, { model: "real", outputTokensMax: 9 }, googleEmbed)).toBe(
      batch.replaceAll(`"models/${MODEL}"`, '"models/real"'),
    )
  })

  test("usage is read where it is reported", () => {
    const usageMetadata = { promptTokenCount: 9, promptTokenDetails: [{ modality: "IMAGE", tokenCount: 5 }] }
    const usage = { ...ZERO_USAGE, inputUncachedTokens: 9, imageInputTokens: 5 }
    expect(readAnswer(JSON.stringify({ usageMetadata }), googleEmbed)).toMatchObject({ usage, isFinished: true })
    expect(readAnswer('{"embeddings":[{}]}', googleEmbed)).toMatchObject({ usage: null, isFinished: true })
  })
})

describe("counting tokens", () => {
  test("is free, and follows the path's model", () => {
    const body = `{"generateContentRequest":{"contents":[],"model":"models/${MODEL}"}}`
    expect(facts(body, googleCountTokens)).toMatchObject({ isFree: true, outputTokensMax: 0 })
    expect(rewritten(body, { model: "real" }, googleCountTokens)).toBe(body.replace(MODEL, "real"))
    expect(readAnswer('{"totalTokens":31}', googleCountTokens)).toMatchObject({ usage: null, isFinished: true })
  })
})

describe("Imagen", () => {
  const IMAGEN = form("imagen-4.0-generate-001")
  const image = { mimeType: "image/png", bytesBase64Encoded: "AA==" }

  test.each([
    ['{"instances":[{"prompt":"a"}],"parameters":{"sampleCount":3}}', 3],
    ['{"instances":[{"prompt":"a"}],"parameters":{"sampleCount":"2"}}', 2],
    ['{"instances":[{"prompt":"a"}],"parameters":{}}', 4],
    ['{"instances":[{"prompt":"a"}]}', 4],
  ])("%s asks for %i images, of Imagen only", (body, quantity) => {
    const units = { quantity, unitType: "images" }
    expect(facts(body, googlePredict, IMAGEN)).toMatchObject({ units, outputTokensMax: 0 })
    expect(facts(body, googlePredict, form("other")).units).toBeNull()
  })

  test.each(['{"parameters":{},"parameters":{"sampleCount":4}}', '{"parameters":{"sampleCount":1,"sampleCount":4}}'])(
    "%s: how many images?",
    (body) =>
      expect(refusal(body, googlePredict, IMAGEN)).toMatchObject({ param: expect.stringMatching(/^parameters/) }),
  )

  test("only images that came are billed", () => {
    const filtered = { raiFilteredReason: "Filtered." }
    const used = (predictions: object[]) => readAnswer(JSON.stringify({ predictions }), googlePredict).usage
    expect(used([image, filtered, image])).toEqual({ ...ZERO_USAGE, units: 2, unitType: "images" })
    expect(used([filtered])).toEqual({ ...ZERO_USAGE, unitType: "images" })
    expect(used([{ embeddings: {} }])).toBeNull()
  })
})
