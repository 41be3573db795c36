/** Files, batches, responses and the rest belong to the key that made them, whoever else has a key to the same account. */
import Anthropic from "@anthropic-ai/sdk"
import { GoogleGenAI } from "@google/genai"
import OpenAI, { toFile } from "openai"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"

let provider: FakeProvider
let app: TestApp
let owner: { id: string; key: string }
let other: { id: string; key: string }
let mine: OpenAI
let theirs: OpenAI

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(threeApis(provider))
  owner = await app.createKey({ name: "owner", limits: [{ kind: "tokens", window: "month", cap: 1_000_000 }] })
  other = await app.createKey({ name: "other" })
  mine = new OpenAI({ apiKey: owner.key, baseURL: `${app.url}/v1`, maxRetries: 0 })
  theirs = new OpenAI({ apiKey: other.key, baseURL: `${app.url}/v1`, maxRetries: 0 })
})
beforeEach(() => provider.reset())
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

const upload = (sdk: OpenAI, bytes: Buffer) =>
  toFile(bytes, "a.jsonl").then((file) => sdk.files.create({ file, purpose: "batch" }))

async function recordsOf(keyId: string) {
  return (await app.admin("GET", `/admin/v1/usage/records?limit=1000&key=${keyId}`)).body.data
}

function request(key: string, method: string, path: string, body?: object) {
  return fetch(app.url + path, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

describe("a file", () => {
  test("of 50 MB goes up and comes down byte for byte, and is recorded at no cost", async () => {
    const bytes = Buffer.alloc(50 * 1024 * 1024, "0123456789abcdef\n")
    const file = await upload(mine, bytes)
    expect(provider.requests[0]?.body.includes(bytes)).toBe(true)
    const down = Buffer.from(await (await mine.files.content(file.id)).arrayBuffer())
    expect(down.equals(provider.objects.get(file.id)?.content ?? Buffer.alloc(0))).toBe(true)
    await until(async () =>
      (await recordsOf(owner.id)).some((r) => r.endpoint === "files.content") ? true : undefined,
    )
    const record = (await recordsOf(owner.id)).find(({ endpoint }) => endpoint === "files.create")
    expect(record).toMatchObject({ price_state: "free", usage_source: "none", outcome: "ok" })
  })
  test("is not there for another key: to read, to delete, or to refer to", async () => {
    const file = await upload(mine, Buffer.from("{}"))
    provider.reset()
    for (const act of [
      () => theirs.files.retrieve(file.id),
      () => theirs.files.content(file.id),
      () => theirs.files.delete(file.id),
    ]) {
      const refused = await act().catch((error) => error)
      expect(refused).toMatchObject({ status: 404, type: "invalid_request_error" })
      expect(refused.message).toContain(`No such File object: ${file.id}`)
    }
    const content = [{ type: "file", file: { file_id: file.id } }]
    const chat = await request(other.key, "POST", "/v1/chat/completions", {
      model: "gpt-4o",
      messages: [{ role: "user", content }],
    })
    expect(chat.status).toBe(404)
    const batch = await theirs.batches
      .create({ input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" })
      .catch((error) => error)
    expect(batch.status).toBe(404)
    expect(provider.requests).toEqual([])
    expect((await mine.files.retrieve(file.id)).id).toBe(file.id)
  })
  test("that nobody here made is refused, though the account has it", async () => {
    provider.objects.set("file-of-another-program", { id: "file-of-another-program", object: "file" })
    expect(await mine.files.retrieve("file-of-another-program").catch((error) => error)).toMatchObject({ status: 404 })
  })
  test("that was deleted is gone", async () => {
    const file = await upload(mine, Buffer.from("{}"))
    expect((await mine.files.delete(file.id)).deleted).toBe(true)
    expect(await mine.files.retrieve(file.id).catch((error) => error)).toMatchObject({ status: 404 })
  })
})

describe("a list", () => {
  test("shows a key its own objects alone, past whole pages of others'", async () => {
    const lister = await app.createKey({ name: "lister" })
    const sdk = new OpenAI({ apiKey: lister.key, baseURL: `${app.url}/v1`, maxRetries: 0 })
    const first = await upload(sdk, Buffer.from("1"))
    for (let i = 0; i < 5; i++) await upload(mine, Buffer.from("x"))
    const second = await upload(sdk, Buffer.from("2"))
    const seen: string[] = []
    for await (const file of sdk.files.list()) seen.push(file.id)
    expect(seen).toEqual([second.id, first.id])
  })
})

describe.each([
  ["a vector store", "vector_stores", {}],
  ["a container", "containers", { name: "c" }],
  ["a conversation", "conversations", {}],
  ["an upload", "uploads", { bytes: 1 }],
])("%s", (_what, collection, body) => {
  test("belongs to the key that made it", async () => {
    const made = (await (await request(owner.key, "POST", `/v1/${collection}`, body)).json()) as { id: string }
    provider.reset()
    for (const path of collection === "uploads" ? ["/parts"] : ["", "/files", "/items"]) {
      expect((await request(other.key, "GET", `/v1/${collection}/${made.id}${path}`)).status, path).toBe(404)
    }
    expect(provider.requests).toEqual([])
  })
})

describe("a completed upload", () => {
  test("gives its file to the same key", async () => {
    const made = (await (await request(owner.key, "POST", "/v1/uploads", { bytes: 1 })).json()) as { id: string }
    const answer = await request(owner.key, "POST", `/v1/uploads/${made.id}/complete`, { part_ids: [] })
    const { file } = (await answer.json()) as { file: { id: string } }
    expect((await request(owner.key, "GET", `/v1/files/${file.id}`)).status).toBe(200)
    expect((await request(other.key, "GET", `/v1/files/${file.id}`)).status).toBe(404)
  })
})

describe("a response", () => {
  test("is followed up by its own key alone", async () => {
    const response = await mine.responses.create({ model: "gpt-4o-mini", input: "Hi" })
    expect((await mine.responses.retrieve(response.id)).id).toBe(response.id)
    const next = { model: "gpt-4o-mini", input: "And?", previous_response_id: response.id }
    expect((await mine.responses.create(next)).status).toBe("completed")
    expect(await theirs.responses.create(next).catch((error) => error)).toMatchObject({ status: 404 })
    expect(await theirs.responses.retrieve(response.id).catch((error) => error)).toMatchObject({ status: 404 })
  })
  test("that streamed is its key's too", async () => {
    const stream = await mine.responses.create({ model: "gpt-4o-mini", input: "Hi", stream: true })
    let id = ""
    for await (const event of stream) if (event.type === "response.completed") id = event.response.id
    expect((await mine.responses.retrieve(id)).id).toBe(id)
    expect(await theirs.responses.retrieve(id).catch((error) => error)).toMatchObject({ status: 404 })
  })
  test("in the background is booked once, however often it is asked for", async () => {
    const lone = await app.createKey({ limits: [{ kind: "tokens", window: "month", cap: 1_000_000 }] })
    const sdk = new OpenAI({ apiKey: lone.key, baseURL: `${app.url}/v1`, maxRetries: 0 })
    const started = await sdk.responses.create({ model: "gpt-4o-mini", input: "Hi", background: true })
    expect(started.status).toBe("queued")
    await Promise.all(Array.from({ length: 5 }, () => sdk.responses.retrieve(started.id)))
    await sdk.responses.retrieve(started.id)
    const records = await until(async () => {
      const all = await recordsOf(lone.id)
      return all.length >= 8 ? all : undefined
    })
    const billed = records.filter(({ usage_source: source }) => source === "provider")
    expect(billed).toHaveLength(1)
    expect(billed[0]).toMatchObject({
      endpoint: "responses",
      provider_response_id: started.id,
      input_uncached_tokens: 150,
      output_tokens: 30,
      price_state: "priced",
    })
    const answer = await sdk.responses.create({ model: "gpt-4o-mini", input: "Hi" }).withResponse()
    const left = Number(answer.response.headers.get("x-ratelimit-remaining-tokens"))
    expect(left).toBeLessThan(1_000_000 - 230)
  })
})

describe("a response that streams from the background", () => {
  test("is booked once, by its stream or by a later question", async () => {
    const lone = await app.createKey()
    const sdk = new OpenAI({ apiKey: lone.key, baseURL: `${app.url}/v1`, maxRetries: 0 })
    const stream = await sdk.responses.create({ model: "gpt-4o-mini", input: "Hi", background: true, stream: true })
    let id = ""
    for await (const event of stream) if (event.type === "response.completed") id = event.response.id
    for (let i = 0; i < 3; i++) await sdk.responses.retrieve(id)
    const records = await until(async () => {
      const all = await recordsOf(lone.id)
      return all.length >= 5 ? all : undefined
    })
    const billed = records.filter(({ usage_source: source }) => source !== "none")
    expect(billed).toHaveLength(1)
    expect(billed[0]).toMatchObject({ input_uncached_tokens: 150, output_tokens: 30, provider_response_id: id })
  })
})

describe("a response whose stream is taken up again", () => {
  test("is booked once, by whichever stream ends first", async () => {
    const lone = await app.createKey()
    const sdk = new OpenAI({ apiKey: lone.key, baseURL: `${app.url}/v1`, maxRetries: 0 })
    const { id } = await sdk.responses.create({ model: "gpt-4o-mini", input: "Hi", background: true })
    const usage = { input_tokens: 150, output_tokens: 30, total_tokens: 180 }
    const response = { id, object: "response", model: "gpt-4o-mini-2024-07-18", status: "completed", usage }
    const last = `event: response.completed\ndata: ${JSON.stringify({ type: "response.completed", response })}\n\n`
    for (let i = 0; i < 3; i++) {
      provider.enqueue({ body: [last] })
      const resumed = await sdk.responses.retrieve(id, { stream: true, starting_after: 1 })
      for await (const event of resumed) expect(event.type).toBe("response.completed")
    }
    const records = await until(async () => {
      const all = await recordsOf(lone.id)
      return all.length >= 5 ? all : undefined
    })
    const billed = records.filter(({ usage_source: source }) => source !== "none")
    expect(billed).toMatchObject([{ input_uncached_tokens: 150, output_tokens: 30, provider_response_id: id }])
  })
})

describe("an interaction at Google", () => {
  test("in the background is its key's, and booked once, however often it is asked for", async () => {
    const lone = await app.createKey()
    const interactions = "/v1beta/interactions"
    const asked = { model: "gemini-2.5-flash", input: "Hi" }
    const response = await request(lone.key, "POST", interactions, { ...asked, background: true })
    const started = (await response.json()) as { id: string; status: string }
    expect(started.status).toBe("in_progress")
    const following = { ...asked, previous_interaction_id: started.id }
    expect((await request(other.key, "GET", `${interactions}/${started.id}`)).status).toBe(404)
    expect((await request(other.key, "POST", interactions, following)).status).toBe(404)
    for (let i = 0; i < 3; i++) {
      expect((await request(lone.key, "GET", `${interactions}/${started.id}`)).status).toBe(200)
    }
    expect((await request(lone.key, "POST", interactions, { ...following, background: true })).status).toBe(200)
    const records = await until(async () => {
      const all = await recordsOf(lone.id)
      return all.length >= 6 ? all : undefined
    })
    expect(records.filter(({ usage_source: source }) => source !== "none")).toMatchObject([
      {
        ...{ endpoint: "interactions", provider_response_id: started.id, price_state: "priced" },
        ...{ input_uncached_tokens: 132, cache_read_tokens: 8, output_tokens: 39, reasoning_tokens: 30 },
      },
    ])
  })
})

describe("a batch", () => {
  test("is booked to its key when its output is read, at the batch's price, and once", async () => {
    const lone = await app.createKey()
    const sdk = new OpenAI({ apiKey: lone.key, baseURL: `${app.url}/v1`, maxRetries: 0 })
    const input = await upload(sdk, Buffer.from("{}"))
    const batch = await sdk.batches.create({
      input_file_id: input.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    })
    const line = (id: string) =>
      `${JSON.stringify({
        custom_id: id,
        response: {
          status_code: 200,
          body: {
            id,
            model: "gpt-4o-mini",
            usage: { prompt_tokens: 1000, completion_tokens: 500, total_tokens: 1500 },
          },
        },
        error: null,
      })}\n`
    const output = `file-output-of-${batch.id}`
    provider.objects.set(output, { id: output, object: "file", content: Buffer.from(line("a") + line("b")) })
    provider.objects.set(batch.id, { id: batch.id, object: "batch", status: "completed", output_file_id: output })
    expect(await sdk.files.content(output).catch((error) => error)).toMatchObject({ status: 404 })
    expect((await sdk.batches.retrieve(batch.id)).output_file_id).toBe(output)
    expect(await theirs.files.content(output).catch((error) => error)).toMatchObject({ status: 404 })
    for (let i = 0; i < 2; i++) expect(await (await sdk.files.content(output)).text()).toBe(line("a") + line("b"))
    const billed = await until(async () => {
      const found = (await recordsOf(lone.id)).filter(({ usage_source: source }) => source === "provider")
      return found.length > 0 ? found : undefined
    })
    expect(billed).toHaveLength(1)
    // 2,000 × $0.075 and 1,000 × $0.30 for a million: half of what the same calls cost at once.
    expect(billed[0]).toMatchObject({
      endpoint: "batches.create",
      model_served: "gpt-4o-mini",
      tier_served: "batch",
      input_uncached_tokens: 2000,
      output_tokens: 1000,
      cost_usd: "0.00045",
    })
  })
  test("of messages at Anthropic likewise", async () => {
    const lone = await app.createKey()
    const sdk = new Anthropic({ apiKey: lone.key, baseURL: app.url, maxRetries: 0 })
    const params = { model: "claude-sonnet-4-5", max_tokens: 9, messages: [{ role: "user" as const, content: "Hi" }] }
    const batch = await sdk.messages.batches.create({ requests: [{ custom_id: "a", params }] })
    const path = `/v1/messages/batches/${batch.id}/results`
    expect((await request(other.key, "GET", path)).status).toBe(404)
    for (let i = 0; i < 2; i++) expect((await request(lone.key, "GET", path)).status).toBe(200)
    const billed = await until(async () => {
      const found = (await recordsOf(lone.id)).filter(({ usage_source: source }) => source === "provider")
      return found.length > 0 ? found : undefined
    })
    expect(billed).toHaveLength(1)
    expect(billed[0]).toMatchObject({ tier_served: "batch", input_uncached_tokens: 80, output_tokens: 50 })
  })
})

describe("at Google", () => {
  test("cached content belongs to the key that made it, and so does what refers to it", async () => {
    const google = (key: string) => new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: app.url } })
    const cache = await google(owner.key).caches.create({ model: "gemini-2.5-flash", config: { ttl: "60s" } })
    const name = cache.name ?? ""
    expect(name).toMatch(/^cachedContents\//)
    expect((await google(owner.key).caches.get({ name })).name).toBe(name)
    expect(
      await google(other.key)
        .caches.get({ name })
        .catch((error) => error),
    ).toMatchObject({ status: 403 })
    const asked = { model: "quick", contents: "Hi", config: { cachedContent: name } }
    expect((await google(owner.key).models.generateContent(asked)).text).toBe("Hello there.")
    expect(
      await google(other.key)
        .models.generateContent(asked)
        .catch((error) => error),
    ).toMatchObject({ status: 403 })
  })
  test("a file goes up in pieces through here, though the provider names its own address for them", async () => {
    const google = (key: string) => new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: app.url } })
    const bytes = Buffer.alloc(200_000, "piece")
    const file = await google(owner.key).files.upload({ file: new Blob([bytes]), config: { mimeType: "text/plain" } })
    expect(Number(file.sizeBytes)).toBe(bytes.length)
    expect(provider.requests).toHaveLength(2)
    for (const { path } of provider.requests) expect(path).toMatch(/^\/upload\/google\/v1(beta)?\/files(\?|$)/)
    const name = file.name ?? ""
    expect((await google(owner.key).files.get({ name })).name).toBe(name)
    expect(
      await google(other.key)
        .files.get({ name })
        .catch((error) => error),
    ).toMatchObject({ status: 403 })
  })
})

describe("a form that servers could read in two ways", () => {
  const form = (lineEnd: string, id: string) =>
    ["--b", 'content-disposition: form-data; name="file_id"', "", id, "--b--", ""].join(lineEnd)
  const send = (key: string, contentType: string, path: string, body: string) =>
    fetch(app.url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": contentType },
      body,
    })

  test("does not carry another key's object past its owner", async () => {
    const file = await upload(mine, Buffer.from("{}"))
    const store = (await (await request(other.key, "POST", "/v1/vector_stores", {})).json()) as { id: string }
    const path = `/v1/vector_stores/${store.id}/files`
    provider.reset()
    for (const type of ["multipart/form-data; boundary=b", 'Multipart/Form-Data; boundary="b"']) {
      expect((await send(other.key, type, path, form("\r\n", file.id))).status).toBe(404)
      expect((await send(other.key, type, path, form("\n", file.id))).status).toBe(400)
      expect((await send(other.key, type, path, JSON.stringify({ file_id: file.id }))).status).toBe(400)
    }
    const chat = JSON.stringify({ model: "gpt-4o", messages: [{ content: [{ file: { file_id: file.id } }] }] })
    expect((await send(other.key, "multipart/form-data; boundary=b", "/v1/chat/completions", chat)).status).toBe(400)
    expect(provider.requests).toEqual([])
  })
})
