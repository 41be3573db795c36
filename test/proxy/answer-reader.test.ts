import { gzipSync } from "node:zlib"
import { describe, expect, test } from "vitest"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { newReading, type Reading } from "../../src/providers/dialect.ts"
import { openAiChat } from "../../src/providers/openai-chat.ts"
import { AnswerReader } from "../../src/proxy/answer-reader.ts"
import { type WireFixture, wireFixtures } from "../support/wire-fixtures.ts"

const fixtures = wireFixtures("openai-chat")

function relay(
  fixture: WireFixture,
  chunks: Buffer[],
  hidesUsage: boolean,
  encoding = "",
): { out: Buffer; reading: Reading } {
  const reading = newReading()
  const reader = new AnswerReader(openAiChat, reading, {
    isSse: fixture.isSse,
    contentType: fixture.isSse ? "text/event-stream" : "application/json",
    encoding,
    hidesUsage,
    streamEnd: null,
  })
  const shown = chunks.map((chunk) => reader.push(chunk))
  return { out: Buffer.concat([...shown, reader.end() ?? Buffer.alloc(0)]), reading }
}

function splits(bytes: Buffer): Buffer[][] {
  return Array.from({ length: bytes.length + 1 }, (_, at) => [bytes.subarray(0, at), bytes.subarray(at)])
}

/** The answer without the event that exists only because usage was asked for, found by another road than the proxy's. */
function withoutUsageEvent(answer: Buffer): Buffer {
  const text = answer.toString("latin1")
  const blocks = text.split(/(?<=\r\n\r\n|[^\r]\n\n|^\n\n|\r\r(?!\n))/)
  const kept = blocks.filter((block) => {
    const data = block
      .replace(/^\xef\xbb\xbf/, "")
      .split(/\r\n|\r|\n/)
      .filter((line) => line.startsWith("data:"))
    const joined = Buffer.from(data.map((line) => line.slice(5).replace(/^ /, "")).join("\n"), "latin1").toString(
      "utf8",
    )
    try {
      const chunk = JSON.parse(joined)
      return !(
        Array.isArray(chunk.choices) &&
        chunk.choices.length === 0 &&
        chunk.usage !== null &&
        typeof chunk.usage === "object"
      )
    } catch {
      return true
    }
  })
  return Buffer.from(kept.join(""), "latin1")
}

function expectUsage(reading: Reading, fixture: WireFixture): void {
  const { usagePresent, model, tier, responseId, ...usage } = fixture.expected
  expect({
    present: reading.usage !== null,
    model: reading.model,
    tier: reading.tier,
    id: reading.responseId,
    ...(reading.usage ?? ZERO_USAGE),
  }).toEqual({ present: usagePresent, model, tier, id: responseId, ...usage })
}

describe.each(fixtures)("$name", (fixture) => {
  test("its usage is read as it stands on the wire", () => {
    expectUsage(relay(fixture, [fixture.answer], false).reading, fixture)
  })

  test("cut at every byte, the bytes are the provider's own and the usage is the same", () => {
    for (const chunks of splits(fixture.answer)) {
      const { out, reading } = relay(fixture, chunks, false)
      expect(out.equals(fixture.answer)).toBe(true)
      expectUsage(reading, fixture)
    }
  })

  test("byte by byte, nothing changes either", () => {
    const bytes = Array.from(fixture.answer, (_, at) => fixture.answer.subarray(at, at + 1))
    const { out, reading } = relay(fixture, bytes, fixture.isSse)
    expect(out.equals(fixture.isSse ? withoutUsageEvent(fixture.answer) : fixture.answer)).toBe(true)
    expectUsage(reading, fixture)
  })

  test("compressed, the bytes stay compressed and the usage is read all the same", () => {
    const packed = { ...fixture, answer: gzipSync(fixture.answer) }
    const { out, reading } = relay(packed, [packed.answer.subarray(0, 20), packed.answer.subarray(20)], true, "gzip")
    expect(out.equals(packed.answer)).toBe(true)
    expectUsage(reading, fixture)
  })
})

describe.each(fixtures.filter((fixture) => fixture.isSse))("$name, whose caller did not ask for usage", (fixture) => {
  test("cut at every byte, only the injected usage event is taken out", () => {
    const expected = withoutUsageEvent(fixture.answer)
    for (const chunks of splits(fixture.answer)) {
      const { out, reading } = relay(fixture, chunks, true)
      expect(out.toString("latin1")).toBe(expected.toString("latin1"))
      expectUsage(reading, fixture)
    }
  })
})

describe("one thing under the name of another", () => {
  const read = (contentType: string, encoding: string, ...chunks: Buffer[]) => {
    const reading = newReading()
    const isSse = contentType === "text/event-stream"
    const form = { isSse, contentType, encoding, hidesUsage: true, streamEnd: null }
    const reader = new AnswerReader(openAiChat, reading, form)
    const shown = chunks.map((chunk) => reader.push(chunk))
    expect(Buffer.concat([...shown, reader.end() ?? Buffer.alloc(0)]).equals(Buffer.concat(chunks))).toBe(true)
    return reading.usage?.outputTokens
  }
  const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }
  const body = Buffer.from(`\ufeff\n ${JSON.stringify({ choices: [{}], usage })}`)
  const stream = Buffer.from(`: hello\n\ndata: ${JSON.stringify({ choices: [{}], usage })}`)

  test("is read as what it is, in any pieces", () => {
    for (let at = 0; at <= body.length; at++) {
      expect(read("text/event-stream", "", body.subarray(0, at), body.subarray(at))).toBe(4)
    }
    for (let at = 0; at <= stream.length; at++) {
      expect(read("application/json", "", stream.subarray(0, at), stream.subarray(at))).toBe(4)
    }
  })

  test("packed too", () => {
    expect(read("text/event-stream", "gzip", gzipSync(body))).toBe(4)
    expect(read("application/json", "gzip", gzipSync(stream))).toBe(4)
    expect(read("text/event-stream", "gzip", gzipSync(stream))).toBe(4)
  })
})

describe("what no provider should send", () => {
  test("an event of a megabyte flows through while it comes, and the usage after it is found", () => {
    const long = `data: {"choices":[{"delta":{"content":"${"x".repeat(1_000_000)}"}}]}\n\n`
    const usage = 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n'
    const answer = Buffer.from(`${long}${usage}data: [DONE]\n\n`)
    const reading = newReading()
    const reader = new AnswerReader(openAiChat, reading, {
      isSse: true,
      contentType: "text/event-stream",
      encoding: "",
      hidesUsage: true,
      streamEnd: null,
    })
    const shown: Buffer[] = []
    let waitingMax = 0
    for (let at = 0; at < answer.length; at += 16_384) {
      shown.push(reader.push(answer.subarray(at, at + 16_384)))
      waitingMax = Math.max(
        waitingMax,
        Math.min(at + 16_384, answer.length) - shown.reduce((sum, part) => sum + part.length, 0),
      )
    }
    shown.push(reader.end() ?? Buffer.alloc(0))
    expect(waitingMax).toBeLessThanOrEqual(32_768)
    expect(Buffer.concat(shown).toString()).toBe(`${long}data: [DONE]\n\n`)
    expect(reading.usage).toMatchObject({ inputUncachedTokens: 3, outputTokens: 4 })
  })

  test("a broken compressed answer is relayed and leaves no usage", () => {
    const broken = { ...(fixtures[0] as WireFixture), answer: Buffer.from("this is not gzip") }
    const { out, reading } = relay(broken, [broken.answer], false, "gzip")
    expect(out.toString()).toBe("this is not gzip")
    expect(reading.usage).toBeNull()
  })

  test.each([
    "",
    "null",
    "[]",
    "42",
    '"text"',
    "{",
    '{"choices":null,"usage":[]}',
    '{"choices":[null,{"message":7}]}',
    '{"usage":{}}',
  ])("%s as a whole answer reads as nothing", (body) => {
    const reading = newReading()
    openAiChat.readAnswer(Buffer.from(body), reading)
    expect(reading.usage).toBeNull()
    expect(openAiChat.readEvent(body, newReading()).isInjectedUsage).toBe(false)
  })
})
