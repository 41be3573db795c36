/** examples/typescript: the client keeps its promises, and the programs run as they stand there, each in a process of its own. */
import { execFile } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm, stat } from "node:fs/promises"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import path from "node:path"
import { promisify } from "node:util"
import OpenAI from "openai"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type Fault, Tallygate, type TallygateOptions } from "../../examples/typescript/tallygate-client.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { blocksRunBy } from "../support/page-blocks.ts"
import { PROJECT } from "../support/tallygate-process.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"

/** Nobody listens there. */
const NOWHERE = "http://127.0.0.1:9"
const CHAT = { provider: "openai", model: "gpt-4o-mini" }

let provider: FakeProvider
let app: TestApp
let key: { id: string; key: string }
let folder: string

beforeAll(async () => {
  provider = await startFakeProvider()
  const elevenLabs = `  elevenlabs: { dialect: elevenlabs, base_url: "${provider.origin}", api_key: canary }`
  app = await startTestApp(threeApis(provider).replace("models:", `${elevenLabs}\nmodels:`))
  folder = await mkdtemp(path.join(tmpdir(), "tallygate-examples-"))
})
beforeEach(async () => {
  provider.reset()
  key = await app.createKey({ limits: [{ kind: "usd", window: "month", cap: "5" }] })
})
afterAll(async () => {
  await app?.close()
  await provider?.stop()
  await rm(folder ?? "", { recursive: true, force: true })
})

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const seen: T[] = []
  for await (const chunk of stream) seen.push(chunk)
  return seen
}

/** The records of this test's key, as soon as there are `count`; oldest first. */
async function records(count: number): Promise<UsageRecord[]> {
  const found = await until(async () => {
    const { data } = (await app.admin("GET", `/admin/v1/usage/records?key=${key.id}&limit=1000`)).body
    return data.length >= count ? data : undefined
  }, 30_000)
  expect(found).toHaveLength(count)
  return found.toReversed()
}

describe("the programs", () => {
  const lines = blocksRunBy(import.meta.filename, "examples/README.md").flatMap(({ text }) => text.trim().split("\n"))
  const run = new Set<string>()

  /** What the README's line about it prints; it finds Tallygate in its environment, and knows nothing else. */
  async function printedBy(about: string): Promise<string> {
    const line = lines.find((one) => one.includes(about)) ?? `no line about ${about}`
    run.add(line)
    const PATH = `${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH}`
    const env = { PATH, TALLYGATE_URL: app.url, TALLYGATE_KEY: key.key }
    const options = { cwd: PROJECT, env, timeout: 25_000 }
    return (await promisify(execFile)("sh", ["-c", line.replace("/tmp/", `${folder}/`)], options)).stdout
  }

  // What is asked last: that nothing was left out.
  afterAll(() => {
    expect([...run].toSorted()).toEqual(lines.toSorted())
  })

  test("openai.ts: a whole answer and a stream, with what they are for", async () => {
    expect(await printedBy("openai.ts")).toBe("Hello there.\nIt cost $0.000027.\nHello\n")
    const [answer, stream] = await records(2)
    expect(answer).toMatchObject({ tool: "greeter", operation: "greet", stream: false, cost_usd: "0.000027" })
    expect(stream).toMatchObject({ tool: "greeter", stream: true, output_tokens: 20, usage_source: "provider" })
  })

  test("anthropic.ts: a message and a stream of one conversation", async () => {
    expect(await printedBy("anthropic.ts")).toBe("Hello there.\nHello there.\n")
    for (const record of await records(2)) {
      const usage = { input_uncached_tokens: 40, cache_read_tokens: 60, cache_write_5m_tokens: 10, output_tokens: 25 }
      expect(record).toMatchObject({
        ...usage,
        conversation: "visitor-12",
        endpoint: "messages",
        price_state: "priced",
      })
    }
  })

  test("elevenlabs.ts: speech is a file, and its characters are on record", async () => {
    provider.enqueue({ body: Buffer.alloc(3000, 7), headers: { "content-type": "audio/mpeg" } })
    const printed = await printedBy("elevenlabs.ts")
    const file = path.join(folder, "speech.mp3")
    expect((await stat(file)).size).toBe(3000)
    const [record] = await records(1)
    expect(record).toMatchObject({ tool: "announcer", units: 46, unit_type: "characters", provider: "elevenlabs" })
    expect(printed).toBe(`${file}, on record as ${record?.id}\n`)
    expect(provider.requests[0]).toMatchObject({ path: "/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb" })
  })

  test("agent.ts: each step is on record with its tool, and all of them with their conversation", async () => {
    const says = (message: object) => {
      const choices = [{ index: 0, message: { role: "assistant", ...message }, finish_reason: "stop" }]
      const usage = { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 }
      provider.enqueue({ body: { id: "chatcmpl-1", created: 1, model: "gpt-4o-mini", choices, usage } })
    }
    const calls = (name: string, input: object) =>
      says({
        tool_calls: [{ id: `call_${name}`, type: "function", function: { name, arguments: JSON.stringify(input) } }],
      })
    calls("search_flights", { from: "Zürich", to: "Wien", day: "2026-12-01" })
    calls("translate", { text: "Leaves at 07:40.", language: "German" })
    says({ content: "Ab 07:40." })
    says({ content: "Dein Flug geht um 07:40." })
    const printed = await printedBy("agent.ts")
    expect(printed).toBe("Dein Flug geht um 07:40.\n3 steps; booked beside them: $0.004\n")
    const made = await records(5)
    expect(made.map(({ tool, operation, kind }) => [tool, operation, kind])).toEqual(
      expect.arrayContaining([
        ["trip-planner", "plan", "call"],
        ["search_flights", "search", "report"],
        ["translate", "translate", "call"],
      ]),
    )
    expect(made.filter(({ tool }) => tool === "trip-planner")).toHaveLength(3)
    expect(new Set(made.map(({ conversation }) => conversation))).toEqual(new Set(["trip-1"]))
    const sums = JSON.parse(await printedBy("conversation=trip-1")) as { data: { tool: string; records: string }[] }
    expect(Object.fromEntries(sums.data.map(({ tool, records }) => [tool, records]))).toEqual({
      ...{ "trip-planner": "3", search_flights: "1", translate: "1" },
    })
    const asked = JSON.parse(provider.requests[1]?.body.toString() ?? "")
    expect(JSON.stringify(asked.messages)).toContain("119 EUR")
  })

  test("report-calls.ts: each call is on record, the failure and the hold included", async () => {
    const printed = await printedBy("report-calls.ts")
    const made = await records(13)
    expect(printed).toContain("document 5: an empty document\n")
    const [, tokens, usd] = /booked 13 records, (\d+) tokens, \$([\d.]+)\n/.exec(printed) ?? []
    expect(made.reduce((sum, one) => sum + one.input_uncached_tokens + one.output_tokens, 0)).toBe(Number(tokens))
    expect(made.reduce((sum, one) => sum + Number(one.cost_usd), 0)).toBeCloseTo(Number(usd), 9)
    expect(made.filter(({ outcome }) => outcome === "error")).toMatchObject([{ error_code: "Error" }])
    expect((await app.admin("GET", "/admin/v1/holds")).body.data).toEqual([])
  })
})

describe("the client", () => {
  const clients: Tallygate[] = []
  let faults: Fault[]
  const kinds = () => faults.map(({ kind }) => kind)
  beforeEach(() => {
    faults = []
  })
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()))
  })

  function client(options: TallygateOptions = {}): Tallygate {
    const quick = { baseUrl: app.url, key: key.key, flushMs: 20, retryMs: 20, closeMs: 50 }
    const made = new Tallygate({ ...quick, onFault: (fault) => faults.push(fault), ...options })
    clients.push(made)
    return made
  }

  test("many calls at once are booked once each, and the totals say what the ledger says", async () => {
    const tg = client({ batchSize: 50 })
    const one = () => tg.call(CHAT, (call) => call.usage({ input_tokens: 100, output_tokens: 10 }))
    await Promise.all(Array.from({ length: 240 }, one))
    expect(await tg.flush(30_000)).toBe(true)
    const made = await records(240)
    expect(tg.totals).toMatchObject({ records: 240, tokens: 240 * 110, unpriced: 0, dropped: 0 })
    const picos = (usd: string | null) => BigInt(Math.round(Number(usd) * 1e12))
    expect(picos(tg.totals.costUsd)).toBe(made.reduce((sum, { cost_usd }) => sum + picos(cost_usd), 0n))
    expect(faults).toEqual([])
  })

  describe("through a door that fails", () => {
    let door: Server
    let bodies: string[]
    let acts: ("lose" | "unavailable")[]
    beforeEach(async () => {
      bodies = []
      door = createServer(async (request, response) => {
        const body = Buffer.concat(await request.toArray()).toString()
        bodies.push(body)
        const act = acts.shift()
        if (act === "unavailable") return response.writeHead(503, { "retry-after": "0" }).end()
        const { authorization = "" } = request.headers
        const headers = { authorization, "content-type": "application/json" }
        const answer = await fetch(app.url + request.url, { method: "POST", headers, body })
        const text = await answer.text()
        // The answer is lost: booked there, and nobody here knows.
        if (act === "lose") return response.destroy()
        return response.writeHead(answer.status).end(text)
      }).listen(0, "127.0.0.1")
      await once(door, "listening")
    })
    afterEach(() => door.close())

    test("lost answers: the same records under the same keys, until they are answered", async () => {
      acts = ["lose", "unavailable", "lose"]
      const tg = client({ flushMs: 60_000, baseUrl: `http://127.0.0.1:${(door.address() as AddressInfo).port}` })
      for (let index = 0; index < 5; index += 1) tg.report({ ...CHAT, input_tokens: 10 })
      expect(await tg.flush(30_000)).toBe(true)
      expect(tg.totals.records).toBe(5)
      expect(bodies).toHaveLength(4)
      expect(new Set(bodies).size).toBe(1)
      await records(5)
      expect(kinds()).toEqual(["unavailable"])
    })
  })

  test("a queue that is full drops what is new, tells it, and holds nobody up", async () => {
    const tg = client({ baseUrl: NOWHERE, queueMax: 5, batchSize: 5 })
    for (let index = 0; index < 8; index += 1) tg.report({ ...CHAT, input_tokens: 1 })
    expect(tg.totals.dropped).toBe(3)
    await tg.close()
    expect(tg.totals.dropped).toBe(8)
    tg.report({ ...CHAT, input_tokens: 1 })
    expect(kinds().filter((kind) => kind === "queue_full")).toHaveLength(4)
    expect(kinds()).toContain("unsent")
  })

  test("one record that is wrong does not keep the others from being booked", async () => {
    const tg = client()
    tg.report({ ...CHAT, input_tokens: 10 })
    tg.report({ ...CHAT, input_tokens: -1 })
    tg.report({ ...CHAT })
    tg.report({ ...CHAT, input_tokens: 10, metadata: { count: 5n as unknown as string } })
    expect(await tg.flush(30_000)).toBe(true)
    expect(tg.totals).toMatchObject({ records: 1, refused: 1 })
    expect(kinds().sort()).toEqual(["internal", "no_usage", "refused"])
    const stranger = client({ key: "tg_nobody" })
    stranger.report({ ...CHAT, input_tokens: 1 })
    expect(await stranger.flush(30_000)).toBe(true)
    expect(stranger.totals).toMatchObject({ records: 0, refused: 1 })
  })

  test("what the caller's work throws is reported and thrown on; a listener that fails is nobody's problem", async () => {
    const tg = client({
      onFault: () => {
        throw new Error("a fault of its own")
      },
    })
    const failure = new TypeError("no")
    const failing = tg.call(CHAT, () => {
      throw failure
    })
    await expect(failing).rejects.toBe(failure)
    await tg.call(CHAT, () => undefined)
    await tg.flush(30_000)
    expect(await records(1)).toMatchObject([{ outcome: "error", error_code: "TypeError" }])
  })

  test("limits that are over are told, and a hold is refused in words", async () => {
    key = await app.createKey({ limits: [{ kind: "tokens", window: "month", cap: 500 }] })
    const tg = client()
    tg.report({ ...CHAT, input_tokens: 1000 })
    await tg.flush(30_000)
    expect([...tg.totals.overLimit.values()]).toMatchObject([{ kind: "tokens", cap: "500", used: "1000" }])
    expect(await tg.hold({ ...CHAT, input_tokens: 10 })).toMatchObject({
      state: "refused",
      reason: expect.stringContaining("500"),
    })
    expect(await client({ baseUrl: NOWHERE }).hold(CHAT)).toMatchObject({ state: "unavailable" })
  })

  test("wrong options throw where they are given", () => {
    for (const wrong of [
      { baseUrl: "tallygate:8787" },
      { key: "sk-x" },
      { batchSize: 0 },
      { queueMax: 1 },
      { retryMs: 0 },
    ]) {
      expect(() => client(wrong)).toThrow(RangeError)
    }
  })

  describe("of a stream", () => {
    const usage = { prompt_tokens: 100, completion_tokens: 20, prompt_tokens_details: { cached_tokens: 60 } }
    const chunks = [{ text: "Hel" }, { text: "lo" }, { model: "gpt-4o-mini", usage }]
    async function* stream(failure?: Error) {
      yield* chunks
      if (failure !== undefined) throw failure
    }

    test("passes every chunk as it is, and reads its usage", async () => {
      const tg = client()
      const seen = await all(tg.trackStream(stream(), { provider: "openai" }))
      seen.forEach((chunk, index) => {
        expect(chunk).toBe(chunks[index])
      })
      await tg.flush(30_000)
      expect(await records(1)).toMatchObject([
        { input_uncached_tokens: 40, cache_read_tokens: 60, output_tokens: 20, outcome: "ok" },
      ])
    })

    test("one that fails, and one that is left", async () => {
      const tg = client()
      const failure = new Error("gone")
      await expect(all(tg.trackStream(stream(failure), CHAT))).rejects.toBe(failure)
      for await (const _ of tg.trackStream(stream(), CHAT)) break
      await tg.flush(30_000)
      expect((await records(2)).map(({ outcome }) => outcome).sort()).toEqual(["aborted", "error"])
    })
  })

  test("OpenAI's SDK, wrapped, is itself: answers, streams, withResponse, and refusals", async () => {
    const tg = client()
    const sdk = new OpenAI({ baseURL: `${provider.origin}/v1`, apiKey: "sk-x", maxRetries: 0 })
    const wrapped = tg.wrap(sdk, { tool: "greeter" })
    const messages = [{ role: "user" as const, content: "Hi" }]
    const answer = await wrapped.chat.completions.create({ model: "gpt-4o-mini", messages })
    expect(answer.choices[0]?.message.content).toBe("Hello there.")
    const question = { model: "gpt-4o-mini", messages, stream: true, stream_options: { include_usage: true } } as const
    const { data, response } = await wrapped
      .withOptions({ timeout: 20_000 })
      .chat.completions.create(question)
      .withResponse()
    expect(response.status).toBe(200)
    expect(data.controller).toBeInstanceOf(AbortController)
    expect(await all(data)).toHaveLength(3)
    await wrapped.responses.create({ model: "gpt-4o-mini", input: "Hi" })
    provider.enqueue({ status: 429, body: { error: { message: "slow down" } } })
    await expect(wrapped.embeddings.create({ model: "text-embedding-3-small", input: "Hi" })).rejects.toThrow(
      "slow down",
    )
    expect(wrapped.apiKey).toBe("sk-x")
    await tg.flush(30_000)
    const made = await records(4)
    expect(made.map(({ operation, outcome, output_tokens }) => [operation, outcome, output_tokens]).sort()).toEqual([
      ["chat.completions", "ok", 20],
      ["chat.completions", "ok", 20],
      ["embeddings", "error", 0],
      ["responses", "ok", 30],
    ])
    expect(faults).toEqual([])
  })
})
