/**
 * Transparency as a differential promise: each request is sent once straight to a provider and once through Tallygate to
 * its twin, which is in the same state. What the two providers receive and what the two callers read may differ in the
 * ways of `DOCUMENTED` (docs/doors.md, "What is changed on the way") and in no other.
 */
import { gzipSync } from "node:zlib"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { SharedApi as Api } from "../../src/providers/dialect.ts"
import { ENDPOINTS, type Endpoint } from "../../src/providers/endpoint.ts"
import {
  type FakeAnswer,
  type FakeProvider,
  type FakeRequest,
  startFakeProvider,
  threeApis,
} from "../support/fake-provider.ts"
import { type RawResponse, rawRequest } from "../support/http-client.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"

/** What one sees that the other does not: `provider body`, `caller date` …; null where it is not there at all. */
type Difference = { readonly what: string; readonly direct: string | null; readonly proxied: string | null }
type Covers = (difference: Difference, sample: Sample, door: Door) => boolean
type Documented = readonly [what: RegExp, why: string, covers: Covers]

/** Sent with every request; not on the allow-list. */
const KEPT_BACK = ["cookie", "x-forwarded-for", "openai-organization", "openai-project"]
const isDropped: Covers = ({ direct, proxied }) => direct !== null && proxied === null
const isAdded: Covers = ({ direct, proxied }) => direct === null && proxied !== null
const isOwnId: Covers = ({ what, proxied }, _sample, { api }) =>
  what === "caller x-request-id" || api === "anthropic" ? /^[0-9a-f-]{36}$/.test(proxied ?? "") : proxied === null
/** The account's say 7. */
const isOwnLimit: Covers = ({ what, proxied }, _sample, { api }) =>
  (api === "anthropic") === what.startsWith("caller anthropic") ? proxied !== "7" : proxied === null
const isAskedFor: Covers = ({ what, direct, proxied }, { injectsUsage }) =>
  injectsUsage === true &&
  (what !== "provider body" || proxied === direct?.replace("{", '{"stream_options":{"include_usage":true},'))
const isTakenOut: Covers = ({ direct, proxied }, { injectsUsage }) =>
  injectsUsage === true && proxied === direct?.replace(/data: \{[^\n]*"choices":\[\],"usage":\{[^\n]*\n\n/, "")
const isRenamed: Covers = ({ what, direct, proxied }, { aliased: [alias, name] = ["", ""] }) =>
  alias !== "" && (what !== "provider body" || proxied === direct?.replace(alias, name))
const isOwnAddress: Covers = ({ direct, proxied }) => {
  const [theirs, ours] = [new URL(direct ?? ""), new URL(proxied ?? "")]
  return ours.host === `127.0.0.1:${app.port}` && ours.search === theirs.search
}

const DOCUMENTED: readonly Documented[] = [
  [/^provider connection$/, "A connection is between two neighbours, and so is its header.", () => true],
  [
    /^provider accept-encoding$/,
    "What is metered must be readable, so no compressed answers are asked for.",
    ({ proxied }) => proxied === "identity",
  ],
  [RegExp(`^provider (${KEPT_BACK.join("|")})$`), "What is not on the allow-list stays here.", isDropped],
  [/^provider x-tallygate-/, "What a caller tells Tallygate is not for the provider.", isDropped],
  [/^provider (body|content-length)$/, "A chat stream asks for usage where its caller did not.", isAskedFor],
  [/^caller body$/, "And the event that brings that usage is taken out of the answer.", isTakenOut],
  [/^provider (body|content-length)$/, "An alias is replaced by the model's name at the provider.", isRenamed],
  [/^caller date$/, "Who answers says when.", () => true],
  [/^caller (x-)?request-id$/, "The id is Tallygate's, under the names that the API's SDK looks for.", isOwnId],
  [
    /^caller (set-cookie|openai-organization|anthropic-organization-id)$/,
    "The account's cookies and ids are not the caller's.",
    isDropped,
  ],
  [
    /^caller (x|anthropic)-ratelimit-/,
    "Limits are those of the caller's own key, in the words of its API.",
    isOwnLimit,
  ],
  [/^caller x-tallygate-cost-usd$/, "What a call cost stands in a header.", isAdded],
  [/^caller x-tallygate-error-source$/, "An error says that it is the provider's.", isAdded],
  [/^caller x-goog-upload-url$/, "A resumable upload goes on through here.", isOwnAddress],
]

/** A way in, and what it stands for at the provider. */
type Door = {
  readonly name: string
  readonly api: Api
  readonly at: (path: string) => string
  readonly direct: (path: string) => string
  /** Where it is not the one of the API. */
  readonly credential?: string
}

type Sample = {
  readonly name: string
  readonly method: string
  /** `{id}` stands for an object of this kind, which is made first. */
  readonly path: string
  readonly query?: string
  readonly headers?: readonly string[]
  readonly body?: Buffer
  readonly answer?: FakeAnswer
  readonly injectsUsage?: boolean
  readonly aliased?: readonly [alias: string, name: string]
}

/** Google's uploads have the version behind the first segment. */
const under = (base: string, version: string) => (path: string) =>
  path.startsWith("/upload/")
    ? `${base === "/gemini" ? base : ""}/upload${base === "/gemini" ? "" : base}${version}${path.slice(7)}`
    : base + version + path

const DOORS: readonly Door[] = [
  { name: "/v1", api: "openai", at: under("", "/v1"), direct: under("", "/v1") },
  { name: "/openai", api: "openai", at: under("/openai", ""), direct: under("", "/v1") },
  { name: "/openai/v1", api: "openai", at: under("/openai", "/v1"), direct: under("", "/v1") },
  { name: "/v1", api: "anthropic", at: under("", "/v1"), direct: under("/anthropic", "/v1") },
  { name: "/claude", api: "anthropic", at: under("/claude", ""), direct: under("/anthropic", "/v1") },
  { name: "/v1beta", api: "google", at: under("", "/v1beta"), direct: under("/google", "/v1beta") },
  { name: "/v1", api: "google", at: under("", "/v1"), direct: under("/google", "/v1") },
  { name: "/gemini/v1beta", api: "google", at: under("/gemini", "/v1beta"), direct: under("/google", "/v1beta") },
]

const CREDENTIALS: Readonly<Record<Api, (secret: string) => readonly string[]>> = {
  openai: (secret) => ["Authorization", `Bearer ${secret}`],
  anthropic: (secret) => ["x-api-key", secret],
  google: (secret) => ["x-goog-api-key", secret],
}
const ACCOUNT = { openai: "sk-upstream-canary", anthropic: "sk-ant-canary", google: "AIza-canary" }
const API_HEADERS: Readonly<Record<Api, readonly string[]>> = {
  openai: ["OpenAI-Beta", "assistants=v2", "X-Stainless-Lang", "js"],
  anthropic: ["anthropic-version", "2023-06-01", "anthropic-beta", "a-1", "anthropic-beta", "b-2"],
  google: ["x-goog-api-client", "genai-js/1.0", "x-server-timeout", "30"],
}
const CALLER_HEADERS = [
  ...["Accept", "*/*", "Accept-Encoding", "gzip, br", "User-Agent", "differential/1.0", "accept-language", "de"],
  ...["idempotency-key", "k-1", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
  ...["x-tallygate-tool", "differential", ...KEPT_BACK.flatMap((name) => [name, "a=1"])],
]

const JSON_TYPE = ["content-type", "application/json"]
/** Written as no serializer of ours would, so that a body that is parsed and written anew shows. */
const json = (value: object) =>
  Buffer.from(`${JSON.stringify({ ...value, unheard_of: { n: 1.0e2 } }, null, 3)}\n`.replace("100", "1.0E2"))
const FORM_TYPE = ["content-type", "multipart/form-data; boundary=b-1"]

function form(fields: Readonly<Record<string, string>>, file: string): Buffer {
  const parts = Object.entries(fields).map(
    ([name, value]) => `--b-1\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  )
  const head = `--b-1\r\nContent-Disposition: form-data; name="${file}"; filename="é.bin"\r\nContent-Type: x/y\r\n\r\n`
  const bytes = Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256))
  return Buffer.concat([Buffer.from(parts.join("") + head), bytes, Buffer.from("\r\n--b-1--\r\n")])
}

const sse = (...events: object[]): FakeAnswer => ({ body: events.map((event) => `data: ${JSON.stringify(event)}\n\n`) })
const messages = [{ role: "user", content: "Grüße \u{1f600}" }]
const contents = [{ role: "user", parts: [{ text: "Hi" }] }]
const usage = { input_tokens: 5, output_tokens: 6, total_tokens: 11 }
const IMAGES: FakeAnswer = { body: { created: 1, data: [{ b64_json: "aGk=" }], usage } }
const IMAGE_EVENTS = sse({ type: "image_generation.completed", b64_json: "aGk=", usage })
const TEXT: FakeAnswer = { body: Buffer.from("hello\n"), headers: { "content-type": "text/plain; charset=utf-8" } }
const asksUsage = { stream: true, stream_options: { include_usage: true } }

type Variant = Omit<Sample, "name" | "method" | "path">
const jsonOf = (value: object, more: Partial<Sample> = {}): Variant => ({
  headers: JSON_TYPE,
  body: json(value),
  ...more,
})
const formOf = (fields: Readonly<Record<string, string>>, file: string, more: Partial<Sample> = {}): Variant => ({
  headers: FORM_TYPE,
  body: form(fields, file),
  ...more,
})

const gpt = { model: "gpt-4o", messages }
const response = { model: "gpt-4o", input: "Hi" }
const completion = { model: "gpt-3.5-turbo-instruct", prompt: "Hi" }
const picture = { model: "gpt-image-1", prompt: "a cat" }
const speech = { model: "gpt-4o-mini-tts", voice: "alloy", input: "Hi" }
const sound = { model: "whisper-1" }
const claude = { model: "claude-sonnet-4-5", messages }

/** What each endpoint of a model is asked, whole and as a stream. */
const ASKED: Readonly<Record<string, readonly Variant[]>> = {
  "chat.completions": [
    jsonOf(gpt),
    jsonOf({ ...gpt, ...asksUsage }),
    jsonOf({ ...gpt, stream: true }, { injectsUsage: true }),
  ],
  responses: [jsonOf(response), jsonOf({ ...response, stream: true }), jsonOf({ ...response, background: true })],
  "responses.compact": [jsonOf(response, { answer: { body: { id: "resp_c", output: [], usage } } })],
  completions: [
    jsonOf(completion),
    jsonOf({ ...completion, ...asksUsage }, { answer: sse({ choices: [{ text: "Hi" }] }, { choices: [], usage }) }),
  ],
  embeddings: [jsonOf({ model: "text-embedding-3-small", input: ["Hi"] })],
  rerank: [jsonOf({ model: "rerank-2.5", query: "Hi", documents: ["a"] })],
  multimodalembeddings: [
    jsonOf({ model: "voyage-multimodal-3", inputs: [{ content: [{ type: "text", text: "Hi" }] }] }),
  ],
  moderations: [jsonOf({ input: "Hi" })],
  "images.generations": [jsonOf(picture), jsonOf({ ...picture, stream: true }, { answer: IMAGE_EVENTS })],
  "images.edits": [
    formOf(picture, "image", { answer: IMAGES }),
    formOf({ ...picture, stream: "true" }, "image", { answer: IMAGE_EVENTS }),
    jsonOf({ ...picture, images: [] }, { answer: IMAGES }),
  ],
  "images.variations": [formOf({ n: "2" }, "image", { answer: IMAGES })],
  "audio.speech": [
    jsonOf(speech),
    jsonOf({ ...speech, stream_format: "sse" }, { answer: sse({ type: "speech.audio.delta", audio: "aGk=" }) }),
  ],
  "audio.transcriptions": [
    formOf(sound, "file"),
    formOf({ ...sound, response_format: "text" }, "file", { answer: TEXT }),
    formOf({ ...sound, stream: "true" }, "file", { answer: sse({ type: "transcript.text.done", text: "a", usage }) }),
  ],
  "audio.translations": [formOf({ ...sound, prompt: "a" }, "file")],
  messages: [jsonOf({ ...claude, max_tokens: 9 }), jsonOf({ ...claude, max_tokens: 9, stream: true })],
  "messages.count_tokens": [jsonOf(claude)],
  generate_content: [jsonOf({ contents })],
  stream_generate_content: [jsonOf({ contents }, { query: "?alt=sse" }), jsonOf({ contents })],
  embed_content: [jsonOf({ content: contents[0] })],
  batch_embed_contents: [jsonOf({ requests: [{ model: "models/gemini-2.5-flash", content: contents[0] }] })],
  count_tokens: [jsonOf({ contents })],
  raw_predict: [jsonOf({ max_tokens: 9, messages }), jsonOf({ max_tokens: 9, messages, stream: true })],
  stream_raw_predict: [jsonOf({ max_tokens: 9, messages, stream: true }, { answer: sse({ type: "message_stop" }) })],
  interactions: [
    jsonOf({ model: "gemini-2.5-flash", input: "Hi" }),
    jsonOf({ model: "gemini-2.5-flash", input: "Hi", stream: true }, { answer: sse({ event_type: "step.start" }) }),
  ],
  predict: [jsonOf({ instances: [{ prompt: "a cat" }], parameters: { sampleCount: 1 } })],
}

/** The calls of an endpoint; objects alike for all of their kinds. */
function samplesOf(endpoint: Endpoint<Api>): Sample[] {
  const path = endpoint.path.replace("{model}", "gemini-2.5-flash").replace("*", "files")
  const method = endpoint.method === "*" ? "GET" : endpoint.method
  const base = { method, path, name: `${method} ${path}` }
  if (endpoint.routedBy === "model") {
    const asked = ASKED[endpoint.name]
    if (asked === undefined) throw new Error(`${endpoint.name} has no sample: add one to ASKED.`)
    return asked.map((variant, at) => ({ ...base, ...variant, name: `${base.name} (${at + 1} of ${asked.length})` }))
  }
  const query = "?view=full&order=a%2Cb"
  if (path === "/upload/files") return googleUploads(base)
  if (method === "GET" || method === "DELETE") return [{ ...base, query }]
  if (path.endsWith("/cancel")) return [{ ...base, body: Buffer.alloc(0) }]
  const isForm = endpoint.name === "files.create" && endpoint.api !== "google"
  return [{ ...base, query, ...(isForm ? formOf({ purpose: "batch" }, "file") : jsonOf({ name: "an object" })) }]
}

/** A resumable upload's first and last step. */
function googleUploads(base: Pick<Sample, "method" | "path" | "name">): Sample[] {
  const start = ["x-goog-upload-protocol", "resumable", "x-goog-upload-command", "start", ...JSON_TYPE]
  const finish = ["x-goog-upload-command", "upload, finalize", "x-goog-upload-offset", "0"]
  return [
    { ...base, name: `${base.name} start`, ...jsonOf({ file: {} }, { headers: start }) },
    { ...base, name: `${base.name} end`, query: "?upload_id=u1", headers: finish, body: Buffer.from([0, 255, 10]) },
  ]
}

/** Where every API is the same. */
function answersOf(api: Api): Sample[] {
  const [endpoint] = ENDPOINTS.filter((candidate) => candidate.api === api)
  const [sample] = endpoint === undefined ? [] : samplesOf(endpoint)
  if (sample === undefined) throw new Error("Every API has an endpoint.")
  const errors = [400, 404, 429, 500, 529].map((status): Sample => {
    const headers = { "retry-after": "3", "x-should-retry": "false", "cache-control": "no-store" }
    return { ...sample, name: `an error ${status}`, answer: { status, headers, body: { error: { message: "é" } } } }
  })
  const packed = gzipSync(JSON.stringify({ id: "x", usage }))
  const headers = { "content-type": "application/json", "content-encoding": "gzip" }
  return [
    ...errors,
    { ...sample, name: "an answer that is compressed all the same", answer: { headers, body: packed } },
  ]
}

let alone: FakeProvider
let twin: FakeProvider
let app: TestApp
let key: string
const seen = new Set<Documented>()

beforeAll(async () => {
  ;[alone, twin] = await Promise.all([startFakeProvider(), startFakeProvider()])
  app = await startTestApp(threeApis(twin))
  const limits = [{ kind: "requests", window: "month", cap: 1_000_000 }]
  key = (await app.createKey({ unmetered: "allow", limits })).key
})
afterAll(async () => {
  await app?.close()
  await Promise.all([alone?.stop(), twin?.stop()])
})

type Exchange = { readonly answer: RawResponse; readonly received: FakeRequest }

async function exchange(port: number, provider: FakeProvider, path: string, sample: Sample, headers: string[]) {
  provider.reset()
  if (sample.answer !== undefined) provider.enqueue(sample.answer)
  const { method, body, headers: own = [] } = sample
  const sent = { port, method, path: path + (sample.query ?? ""), headers: [...headers, ...CALLER_HEADERS, ...own] }
  const answer = await rawRequest({ ...sent, ...(body === undefined ? {} : { body }) })
  const [received] = provider.requests
  if (received === undefined) throw new Error(`${path} did not arrive: ${answer.status} ${answer.bodyBytes}`)
  return { answer, received }
}

/** The same call on both ways, one after the other: the two providers stay twins. */
async function bothWays(door: Door, sample: Sample): Promise<{ direct: Exchange; proxied: Exchange }> {
  const { api, credential = ACCOUNT[api] } = door
  const [account, own] = [CREDENTIALS[api](credential), CREDENTIALS[api](key)]
  return {
    direct: await exchange(alone.port, alone, door.direct(sample.path), sample, [...account, ...API_HEADERS[api]]),
    proxied: await exchange(app.port, twin, door.at(sample.path), sample, [...own, ...API_HEADERS[api]]),
  }
}

/** Names in lower case, repeated ones joined; the port of the one provider stands for that of the other. */
function fieldsOf(raw: readonly string[], port: number): Map<string, string> {
  const fields = new Map<string, string>()
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]?.toLowerCase() ?? ""
    const value = raw[i + 1]?.replace(`127.0.0.1:${port}`, "127.0.0.1:provider") ?? ""
    fields.set(name, fields.has(name) ? `${fields.get(name)}\n${value}` : value)
  }
  return fields
}

/** All that can be seen of a call at its two ends. */
function sightsOf({ answer, received }: Exchange, port: number): Map<string, string> {
  const provider = fieldsOf(received.rawHeaders, port)
  provider.set("method", received.method).set("path", received.path).set("body", received.body.toString("latin1"))
  const caller = fieldsOf(answer.rawHeaders, 0).set("status", String(answer.status)).set("end", answer.end)
  caller.set("body", answer.bodyBytes.toString("latin1"))
  const named = (end: string, sights: Map<string, string>) =>
    [...sights].map(([what, value]) => [`${end} ${what}`, value] as const)
  return new Map([...named("provider", provider), ...named("caller", caller)])
}

function undocumented(door: Door, sample: Sample, both: { direct: Exchange; proxied: Exchange }): Difference[] {
  const [one, other] = [sightsOf(both.direct, alone.port), sightsOf(both.proxied, twin.port)]
  return [...new Set([...one.keys(), ...other.keys()])].flatMap((what) => {
    const difference = { what, direct: one.get(what) ?? null, proxied: other.get(what) ?? null }
    if (difference.direct === difference.proxied) return []
    const covering = DOCUMENTED.filter(([name, , covers]) => name.test(what) && covers(difference, sample, door))
    for (const covered of covering) seen.add(covered)
    return covering.length === 0 ? [difference] : []
  })
}

/** A new object on both ways, of the collection in which the path names one. */
async function withObject(door: Door, sample: Sample): Promise<Sample> {
  if (!sample.path.includes("{id}")) return sample
  const collection = sample.path.slice(0, sample.path.indexOf("/{id}"))
  const create = ENDPOINTS.find(({ api, path, method }) => api === door.api && path === collection && method === "POST")
  const [made] = create === undefined ? [] : samplesOf(create)
  if (made === undefined) throw new Error(`Nothing makes ${collection}.`)
  const { direct, proxied } = await bothWays(door, made)
  const named = JSON.parse(direct.answer.bodyBytes.toString()) as { id?: string; name?: string }
  expect(proxied.answer.bodyBytes.toString()).toBe(direct.answer.bodyBytes.toString())
  const id = named.id ?? named.name?.split("/")[1] ?? ""
  return { ...sample, path: sample.path.replace("{id}", id) }
}

describe.each(DOORS)("the API of $api at $name is the provider itself, but for the documented differences", (door) => {
  const samples = ENDPOINTS.filter(({ api }) => api === door.api).flatMap(samplesOf)
  const all = [...samples, ...answersOf(door.api)].map((sample) => [sample.name, sample] as const)
  test.each(all)("%s", async (_name, sample) => {
    const asked = await withObject(door, sample)
    const both = await bothWays(door, asked)
    expect(undocumented(door, asked, both)).toEqual([])
    expect(both.direct.answer.status).toBe(sample.answer?.status ?? 200)
  })
})

describe("what other paths and models change", () => {
  const [first] = DOORS
  const chat = (model: string): Sample => ({
    name: "",
    method: "POST",
    path: "/chat/completions",
    ...jsonOf({ model, messages }),
  })

  test.each([
    ["Claude", "/anthropic", "/v1", "sk-ant-canary", "claude-sonnet-4-5"],
    ["Gemini", "/google", "/v1beta/openai", "AIza-canary", "gemini-2.5-flash"],
  ])("OpenAI's API of %s is that provider's own endpoint", async (name, base, version, credential, model) => {
    const door: Door = { name, api: "openai", at: under("", "/v1"), direct: under(base, version), credential }
    const sample = chat(model)
    expect(undocumented(door, sample, await bothWays(door, sample))).toEqual([])
  })
  test("an alias, and nothing else of the body", async () => {
    const answer = { body: { id: "chatcmpl-1", choices: [], usage: { prompt_tokens: 1, completion_tokens: 1 } } }
    const sample: Sample = { ...chat("fast"), answer, aliased: ['"fast"', '"gpt-4o-mini"'] }
    if (first !== undefined) expect(undocumented(first, sample, await bothWays(first, sample))).toEqual([])
  })
  test("a part of a file", async () => {
    const door = DOORS[0] as Door
    const file = await withObject(door, { name: "", method: "GET", path: "/files/{id}/content" })
    const headers = { "content-range": "bytes 0-2/9", "accept-ranges": "bytes", "content-disposition": "inline" }
    const part = { status: 206, headers, body: Buffer.from("abc") }
    const sample: Sample = { ...file, headers: ["Range", "bytes=0-2"], answer: part }
    const both = await bothWays(door, sample)
    expect(undocumented(door, sample, both)).toEqual([])
    expect(both.proxied.answer.status).toBe(206)
  })
})

test("every documented difference is one that occurs", () => {
  // Two answers of one second say the same date.
  const isSeen = (documented: Documented) => seen.has(documented) || documented[1] === "Who answers says when."
  expect(DOCUMENTED.filter((documented) => !isSeen(documented)).map(([, why]) => why)).toEqual([])
})
