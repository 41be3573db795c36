/** What a key may ask for, from where, and how much of it a single call may take. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { type NewKey, startTestApp, type TestApp } from "../support/test-app.ts"

let provider: FakeProvider
let app: TestApp

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(threeApis(provider))
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

const CHAT = "/v1/chat/completions"
const GENERATE = "/v1beta/models/quick:generateContent"
/** One metered call by each API's door; `text` is what they ask. */
const DOORS: Record<"openai" | "anthropic" | "google", (text?: string) => readonly [path: string, body: object]> = {
  openai: (text = "Hi") => [CHAT, { model: "fast", max_tokens: 10, messages: [{ role: "user", content: text }] }],
  anthropic: (text = "Hi") => [
    "/v1/messages",
    { model: "smart", max_tokens: 10, messages: [{ role: "user", content: text }] },
  ],
  google: (text = "Hi") => [GENERATE, { contents: [{ parts: [{ text }] }], generationConfig: { maxOutputTokens: 10 } }],
}
type Door = keyof typeof DOORS
const EVERY_DOOR = Object.keys(DOORS) as Door[]

/** An answer, as far as tests look into one. */
type Refusal = { readonly error: { readonly message: string } }

/** The body as it is where it is text, so that a test can say what becomes of its bytes. */
async function post(key: string, path: string, body: object | string) {
  const response = await fetch(app.url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  })
  return { status: response.status, body: (await response.json()) as Refusal }
}

const ask = (key: string, door: Door, text?: string) => post(key, ...DOORS[door](text))

/** A key as it is wanted, asking. */
async function posted(wanted: NewKey, path: string, body: object | string) {
  return post((await app.createKey(wanted)).key, path, body)
}

/** What the provider got, byte for byte. */
const sent = () => provider.requests[0]?.body.toString("utf8")

/** A refusal in the door's own shape. */
function refusal(door: Door, status: 400 | 403, code: string) {
  const type = { 400: "invalid_request_error", 403: "permission_error" }[status]
  const statusName = { 400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED" }[status]
  const shapes = {
    openai: { error: { type, code } },
    anthropic: { type: "error", error: { type, code } },
    google: { error: { code: status, status: statusName, details: [{ reason: code }] } },
  }
  return { status, body: shapes[door] }
}

describe("allowed_endpoints", () => {
  test.each(EVERY_DOOR)("lets a key of %s ask for nothing else", async (door) => {
    const { key } = await app.createKey({ allowed_endpoints: ["embeddings"] })
    expect(await ask(key, door)).toMatchObject(refusal(door, 403, "endpoint_not_allowed"))
    expect(provider.requests).toEqual([])
  })

  test("takes patterns over the names of endpoints, each for itself", async () => {
    const { key } = await app.createKey({ allowed_endpoints: ["messages*", "generate_content", "files.*"] })
    expect(await ask(key, "anthropic")).toMatchObject({ status: 200 })
    expect(await ask(key, "google")).toMatchObject({ status: 200 })
    expect(await post(key, "/v1/files", {})).toMatchObject({ status: 200 })
    expect(await post(key, "/v1/messages/count_tokens", { model: "smart", messages: [] })).toMatchObject({
      status: 200,
    })
    const streamed = await post(key, "/v1beta/models/quick:streamGenerateContent", { contents: [] })
    expect(streamed).toMatchObject(refusal("google", 403, "endpoint_not_allowed"))
    expect(await ask(key, "openai")).toMatchObject(refusal("openai", 403, "endpoint_not_allowed"))
    expect(await post(key, "/v1/batches", {})).toMatchObject(refusal("openai", 403, "endpoint_not_allowed"))
  })

  test("holds for the doors to one provider as for all others", async () => {
    const answer = await posted({ allowed_endpoints: ["embeddings"] }, `/openai${CHAT}`, DOORS.openai()[1])
    expect(answer).toMatchObject(refusal("openai", 403, "endpoint_not_allowed"))
  })
})

describe("ip_allow", () => {
  test.each([["127.0.0.1"], ["127.0.0.0/8"], ["10.0.0.1", "::ffff:127.0.0.1"]])(
    "of %s lets a local caller in",
    async (...ipAllow) => {
      const { key } = await app.createKey({ ip_allow: ipAllow })
      for (const door of EVERY_DOOR) expect(await ask(key, door)).toMatchObject({ status: 200 })
    },
  )

  test.each([["127.0.0.2"], ["10.0.0.0/8", "::1"]])(
    "of %s does not, and says from where it came",
    async (...ipAllow) => {
      const { key } = await app.createKey({ ip_allow: ipAllow })
      for (const door of EVERY_DOOR) {
        const answer = await ask(key, door)
        expect(answer).toMatchObject(refusal(door, 403, "address_not_allowed"))
        expect(answer.body.error.message).toContain("127.0.0.1")
      }
      expect(provider.requests).toEqual([])
    },
  )
})

describe("allowed_models", () => {
  test.each(EVERY_DOOR)("lets a key of %s ask for no other", async (door) => {
    const { key } = await app.createKey({ allowed_models: ["gpt-5*"] })
    expect(await ask(key, door)).toMatchObject(refusal(door, 403, "model_not_allowed"))
    expect(provider.requests).toEqual([])
  })

  test.each([["openai/gpt-4o"], ["gpt-4o"], ["openai/*"]])(
    "of %s lets gpt-4o be asked of openai outright",
    async (allowed) => {
      const { key } = await app.createKey({ allowed_models: [allowed] })
      expect(await post(key, `/openai${CHAT}`, { model: "gpt-4o", messages: [] })).toMatchObject({ status: 200 })
      const other = await post(key, `/openai${CHAT}`, { model: "o3", messages: [] })
      expect(other.status).toBe(allowed === "openai/*" ? 200 : 403)
    },
  )

  test("with a provider's name does not allow the same model of another provider", async () => {
    const answer = await posted({ allowed_models: ["openai/gpt-4o"] }, `/claude${CHAT}`, {
      model: "gpt-4o",
      messages: [],
    })
    expect(answer.status).toBe(403)
    expect(provider.requests).toEqual([])
  })

  test("allow the name that is asked for, not the one behind it", async () => {
    const { key } = await app.createKey({ allowed_models: ["fast"] })
    expect(await ask(key, "openai")).toMatchObject({ status: 200 })
    expect(await post(key, CHAT, { model: "gpt-4o-mini", messages: [] })).toMatchObject({ status: 403 })
  })
})

describe("max_output_tokens: 50", () => {
  const CLAMPED: readonly [what: string, path: string, body: string, upstream: string][] = [
    ["an open chat", CHAT, `{"messages":[]}`, `{"max_completion_tokens":50,"messages":[]}`],
    ["max_tokens", CHAT, `{"max_tokens": 51,"messages":[]}`, `{"max_tokens": 50,"messages":[]}`],
    ["max_completion_tokens", CHAT, `{"max_completion_tokens":9e3}`, `{"max_completion_tokens":50}`],
    [
      "both of them",
      CHAT,
      `{"max_tokens":60,"max_completion_tokens":60}`,
      `{"max_tokens":50,"max_completion_tokens":50}`,
    ],
    ["open choices, which share it", CHAT, `{"n":4}`, `{"max_completion_tokens":12,"n":4}`],
    ["choices that are too many together", CHAT, `{"max_tokens":20,"n":3}`, `{"max_tokens":16,"n":3}`],
    ["an open response", "/v1/responses", `{"input":"x"}`, `{"max_output_tokens":50,"input":"x"}`],
    ["a response", "/v1/responses", `{"max_output_tokens":99}`, `{"max_output_tokens":50}`],
    ["completions", "/v1/completions", `{"prompt":["a","b"],"max_tokens":40}`, `{"prompt":["a","b"],"max_tokens":25}`],
  ]
  test.each(CLAMPED)("clamps %s, and nothing else of the request is changed", async (_what, path, body, upstream) => {
    const named = (text: string) => text.replace(/\}$/, `, "model" : "gpt-4o-mini" }`)
    expect(await posted({ max_output_tokens: 50 }, path, named(body))).toMatchObject({ status: 200 })
    expect(sent()).toBe(named(upstream))
  })

  test("clamps a message", async () => {
    const body = `{ "model":"claude-sonnet-4-5", "max_tokens" : 1024, "messages":[ ] }`
    expect(await posted({ max_output_tokens: 50 }, "/v1/messages", body)).toMatchObject({ status: 200 })
    expect(sent()).toBe(body.replace("1024", "50"))
  })

  test.each([
    [`{ "contents":[ ],"generationConfig" : {"maxOutputTokens": 900, "seed":1.0} }`, "900", "50"],
    [`{"generation_config":{"max_output_tokens":900},"contents":[]}`, "900", "50"],
    [`{"contents":[],"generationConfig":{"candidateCount":2,"maxOutputTokens":30}}`, "30", "25"],
    [`{"contents":[],"generationConfig":{"seed":1}}`, `{"seed"`, `{"maxOutputTokens":50,"seed"`],
    [`{"contents":[]}`, `{`, `{"generationConfig":{"maxOutputTokens":50},`],
  ])("clamps generateContent %s by one splice", async (body, from, to) => {
    expect(await posted({ max_output_tokens: 50 }, GENERATE, body)).toMatchObject({ status: 200 })
    expect(sent()).toBe(body.replace(from, to))
  })

  test.each(EVERY_DOOR)("leaves a call of %s that asks for less as it is", async (door) => {
    const { key } = await app.createKey({ max_output_tokens: 50, cap_policy: "deny" })
    expect(await ask(key, door)).toMatchObject({ status: 200 })
    expect(sent()).toMatch(/"max\w+":10\b/)
  })

  test.each(EVERY_DOOR)("refuses a call of %s that asks for more, where the policy is deny", async (door) => {
    const { key } = await app.createKey({ max_output_tokens: 9, cap_policy: "deny" })
    const answer = await ask(key, door)
    expect(answer).toMatchObject(refusal(door, 400, "call_too_large"))
    expect(answer.body.error.message).toMatch(/10 output tokens.* 9 output tokens a call/)
    expect(provider.requests).toEqual([])
  })

  test("is asked for where a call leaves its output open, and without it what a token limit has room for", async () => {
    const limits = [{ kind: "tokens", window: "day", cap: 500 }]
    const open = { model: "fast", messages: [] }
    const bytes = Buffer.byteLength(JSON.stringify(open))
    expect(await posted({ limits }, CHAT, open)).toMatchObject({ status: 200 })
    expect(provider.requests.at(-1)?.json).toMatchObject({ max_completion_tokens: 500 - bytes })
    expect(await posted({ limits, max_output_tokens: 50 }, CHAT, open)).toMatchObject({ status: 200 })
    expect(provider.requests.at(-1)?.json).toMatchObject({ max_completion_tokens: 50 })
  })
})

test.each(EVERY_DOOR)("max_input_tokens refuses a longer call of %s and lets a shorter one pass", async (door) => {
  const { key } = await app.createKey({ max_input_tokens: 100 })
  expect(await ask(key, door)).toMatchObject({ status: 200 })
  provider.reset()
  expect(await ask(key, door, "word ".repeat(100))).toMatchObject(refusal(door, 400, "call_too_large"))
  expect(provider.requests).toEqual([])
})

describe("max_cost_usd", () => {
  /** gpt-4o-mini in the dearest tier that it may be served in (priority): pico-dollars for a token. */
  const INPUT_PICOS = 250_000
  const OUTPUT_PICOS = 1_000_000
  const CAP = { usd: "0.001", picos: 1_000_000_000 }
  /** What the cap buys beside an input of so many bytes, no token being shorter than one. */
  const bought = (body: string) => Math.floor((CAP.picos - body.length * INPUT_PICOS) / OUTPUT_PICOS)

  test.each([
    [`{"model":"gpt-4o-mini","messages":[]}`, "{", (max: number) => `{"max_completion_tokens":${max},`],
    [`{"model":"gpt-4o-mini","max_tokens":4000}`, "4000", (max: number) => `${max}`],
    [`{"model":"gpt-4o-mini","max_tokens":4000,"n":2}`, "4000", (max: number) => `${Math.floor(max / 2)}`],
  ])("lets %s ask for what it buys and no more", async (body, from, to) => {
    expect(bought(body)).toBeGreaterThan(900)
    expect(await posted({ max_cost_usd: CAP.usd }, CHAT, body)).toMatchObject({ status: 200 })
    expect(sent()).toBe(body.replace(from, to(bought(body))))
  })

  test("leaves a call that it buys as it is, to the last token", async () => {
    const body = `{"model":"gpt-4o-mini","max_tokens":900}`
    const within = body.replace("900", String(bought(body)))
    const beyond = body.replace("900", String(bought(body) + 1))
    const wanted = { max_cost_usd: CAP.usd, cap_policy: "deny" } as const
    expect(await posted(wanted, CHAT, within)).toMatchObject({ status: 200 })
    expect(sent()).toBe(within)
    expect(await posted(wanted, CHAT, beyond)).toMatchObject(refusal("openai", 400, "call_too_expensive"))
    expect(provider.requests).toHaveLength(1)
  })

  test.each(EVERY_DOOR)("refuses a call of %s whose input alone is too dear", async (door) => {
    const { key } = await app.createKey({ max_cost_usd: "0.0001" })
    const answer = await ask(key, door, "word ".repeat(1_000))
    expect(answer).toMatchObject(refusal(door, 400, "call_too_expensive"))
    expect(answer.body.error.message).toContain("$0.0001")
    expect(provider.requests).toEqual([])
  })

  test("refuses a model without a price, whose cost nobody could bound", async () => {
    const body = { model: "a-model-of-no-price", messages: [] }
    expect(await posted({ max_cost_usd: "1" }, CHAT, body)).toMatchObject(refusal("openai", 403, "model_not_priced"))
    expect(provider.requests).toEqual([])
  })

  test("and max_output_tokens apply together, the smaller of the two", async () => {
    const body = `{"model":"gpt-4o-mini","max_tokens":4000}`
    await posted({ max_cost_usd: CAP.usd, max_output_tokens: 60 }, CHAT, body)
    await posted({ max_cost_usd: CAP.usd, max_output_tokens: 3_000 }, CHAT, body)
    expect(provider.requests.map(({ json }) => json.max_tokens)).toEqual([60, bought(body)])
  })
})

describe("a project's caps", () => {
  let made = 0
  async function projectWith(caps: object): Promise<string> {
    const { id } = (await app.admin("POST", "/admin/v1/projects", { name: `project ${++made}` })).body
    const { status } = await app.admin("PATCH", `/admin/v1/projects/${id}`, caps)
    expect(status).toBe(200)
    return id
  }

  test("apply to its keys, and the smaller of the two counts", async () => {
    const projectId = await projectWith({ max_output_tokens: 50 })
    const body = { model: "fast", max_tokens: 1000, messages: [] }
    for (const wanted of [{}, { max_output_tokens: 40 }, { max_output_tokens: 60 }]) {
      await posted({ project_id: projectId, ...wanted }, CHAT, body)
    }
    expect(provider.requests.map(({ json }) => json.max_tokens)).toEqual([50, 40, 50])
  })

  test("and the key's, each of another kind, apply together from the next call on", async () => {
    const projectId = await projectWith({ max_cost_usd: "1" })
    const { key } = await app.createKey({ project_id: projectId, max_output_tokens: 5 })
    expect(await ask(key, "openai", "word ".repeat(100))).toMatchObject({ status: 200 })
    expect(provider.requests[0]?.json.max_tokens).toBe(5)
    await app.admin("PATCH", `/admin/v1/projects/${projectId}`, { max_input_tokens: 100, cap_policy: "deny" })
    const long = await ask(key, "openai", "word ".repeat(100))
    expect(long).toMatchObject(refusal("openai", 400, "call_too_large"))
    expect(long.body.error.message).toContain("max_input_tokens")
    // The project's policy is the stricter one, so it holds for the key's own cap as well.
    expect((await ask(key, "openai")).body.error.message).toContain("max_output_tokens")
  })
})

test("free calls are not capped", async () => {
  const { key } = await app.createKey({ max_output_tokens: 1, max_input_tokens: 1, max_cost_usd: "0.000000001" })
  const contents = [{ parts: [{ text: "word ".repeat(50) }] }]
  const messages = [{ role: "user", content: "word ".repeat(50) }]
  const free: [string, object][] = [
    ["/v1/moderations", { input: "word ".repeat(50) }],
    ["/v1/messages/count_tokens", { model: "smart", messages }],
    ["/v1beta/models/quick:countTokens", { contents }],
    ["/v1/files", { purpose: "batch", file: "word ".repeat(50) }],
  ]
  for (const [path, body] of free) expect([path, (await post(key, path, body)).status]).toEqual([path, 200])
  expect(provider.requests).toHaveLength(free.length)
  for (const door of EVERY_DOOR) expect((await ask(key, door)).status).toBe(400)
})

describe("max_cost_usd and calls whose output cannot be asked for", () => {
  test("leaves an open call open where what models answer with is within the cap", async () => {
    const body = `{"model":"gpt-4o-mini","messages":[]}`
    expect(await posted({ max_cost_usd: "100" }, CHAT, body)).toMatchObject({ status: 200 })
    expect(sent()).toBe(body)
    const limited: NewKey = { max_cost_usd: "100", limits: [{ kind: "tokens", window: "day", cap: 1_000_000 }] }
    expect(await posted(limited, CHAT, body)).toMatchObject({ status: 200 })
  })
  test("prices what is sold by characters and images by those", async () => {
    const speech = (input: string) => ({ model: "tts-1", voice: "alloy", input })
    const { key } = await app.createKey({ max_cost_usd: "0.001" })
    const send = (body: object) =>
      fetch(`${app.url}/v1/audio/speech`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      })
    // $15 for a million characters.
    expect((await send(speech("a".repeat(60)))).status).toBe(200)
    expect((await send(speech("a".repeat(70)))).status).toBe(400)
  })
  test("and max_input_tokens do not take the sound in a form for text", async () => {
    const { key } = await app.createKey({ max_cost_usd: "0.01", max_input_tokens: 1_000 })
    const form = new FormData()
    form.set("model", "whisper-1")
    form.set("file", new Blob([Buffer.alloc(100_000)]), "a.wav")
    const headers = { authorization: `Bearer ${key}` }
    const answer = await fetch(`${app.url}/v1/audio/transcriptions`, { method: "POST", headers, body: form })
    expect(answer.status).toBe(200)
  })
  test("with deny refuses only what the caller asked for, and clamps what it left open", async () => {
    const wanted: NewKey = { max_output_tokens: 100_000, max_cost_usd: "0.001", cap_policy: "deny" }
    expect(await posted(wanted, CHAT, `{"model":"gpt-4o-mini","messages":[]}`)).toMatchObject({ status: 200 })
    expect(Number(provider.requests[0]?.json.max_completion_tokens)).toBeLessThan(1_000)
  })
})

test("more answers than output tokens are refused, since each would have one", async () => {
  const body = { model: "gpt-4o-mini", n: 5, max_tokens: 10, messages: [] }
  expect(await posted({ max_output_tokens: 2 }, CHAT, body)).toMatchObject(refusal("openai", 400, "call_too_large"))
  expect(provider.requests).toEqual([])
})
